"""Proves that the encryption keys fit the database, and moves everything to the newest key."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.dispatch import Signal

from upstreams import crypto
from upstreams.errors import CredentialUnreadable
from upstreams.fields import Credential
from upstreams.models import EncryptionCanary, Upstream, UpstreamsVersion

_CANARY = "vllm-gateway canary"

rotated = Signal()
"""Sent in the transaction in which everything is encrypted again: whoever keeps more under the keys acts now."""


def check_canary() -> None:
    """Makes the canary when it is missing. Raises ImproperlyConfigured when the keys are not this database's."""
    canary, _ = EncryptionCanary.objects.get_or_create(pk=1, defaults={"token": crypto.encrypt(_CANARY)})
    try:
        crypto.decrypt(canary.token)
    except CredentialUnreadable as error:
        raise ImproperlyConfigured(
            "GATEWAY_ENCRYPTION_KEYS does not fit this database: add the key that it was first started with "
            "(with SQLite it is in the file encryption_keys of GATEWAY_DATA_DIR) to the end of the list."
        ) from error


def rotate() -> int:
    """Encrypts all credentials and the canary again under the newest key, all or none.

    Returns the number of credentials. Raises CredentialUnreadable, naming the upstream, when no key fits one.
    """
    with transaction.atomic():
        UpstreamsVersion.lock()
        rows = list(Upstream.objects.exclude(credential=""))
        for row in rows:
            # Quietly: the plain text, which is what copies hold, stays as it is.
            Upstream.objects.filter(pk=row.pk).update_quietly(credential=_again(row))
        check_canary()
        canary = EncryptionCanary.objects.get(pk=1)
        canary.token = crypto.encrypt_again(canary.token)
        canary.save()
        rotated.send(sender=None)
    return len(rows)


def _again(row: Upstream) -> Credential:
    try:
        return Credential.from_stored(crypto.encrypt_again(row.credential.stored))
    except CredentialUnreadable as error:
        raise CredentialUnreadable(
            f"The credential of {row.name} cannot be decrypted with GATEWAY_ENCRYPTION_KEYS: "
            "add the key that it was encrypted with, or clear it in the admin. Nothing was changed."
        ) from error
