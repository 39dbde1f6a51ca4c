"""Virtual keys: the identities that developers call with, and the only place where one is born."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import transaction
from django.db.models import (
    CharField,
    DateTimeField,
    Index,
    JSONField,
    Manager,
    Q,
    SmallIntegerField,
)
from django.utils import timezone

from common.versioned import VersionedQuerySet
from keys import crypto
from keys.errors import NameTaken, SecretRefused
from keys.identity import DEFAULT, MANAGEMENT
from keys.models.limited import Limited
from keys.models.secret import Secret, batches
from keys.models.versions import DeletedKey, KeysVersion
from keys.validation import (
    HIGHEST_PRIORITY,
    default_endpoint_classes,
    key_types,
    validate_aliases,
    validate_endpoint_classes,
    validate_networks,
    validate_routes,
    validate_upstreams,
)


class VirtualKeyQuerySet(VersionedQuerySet["VirtualKey"]):
    """Questions about keys, and their bulk writes."""

    def update(self, **values: Any) -> int:
        """As VersionedQuerySet.update; `updated_at` follows."""
        return super().update(**{"updated_at": timezone.now(), **values})

    update.alters_data = True  # type: ignore[attr-defined]

    def mark_changed(self) -> int:
        """Gives the keys a new version because something that belongs to them changed."""
        return self.update()

    mark_changed.alters_data = True  # type: ignore[attr-defined]

    def with_secret(self, secret_or_digest: str) -> VirtualKeyQuerySet:
        """The key that has this secret, given in plain or as its digest."""
        known = crypto.is_digest(secret_or_digest)
        digest = secret_or_digest if known else crypto.digest(secret_or_digest)
        return self.filter(secrets__digest=digest)

    def touch(self, ids: Iterable[int], at: datetime) -> None:
        """Notes the last use of the keys with these ids; quiet, never backwards."""
        for batch in batches(ids):
            unused = Q(last_used_at=None) | Q(last_used_at__lt=at)
            self.filter(unused, pk__in=batch).update_quietly(last_used_at=at)

    touch.alters_data = True  # type: ignore[attr-defined]


class VirtualKeyManager(Manager.from_queryset(VirtualKeyQuerySet)):  # type: ignore[misc]
    """The only place where a key is born."""

    def issue(self, *, secret: str | None = None, **fields: Any) -> tuple[VirtualKey, str]:
        """Makes a key with one secret and returns both; the plain secret is not kept anywhere.

        `secret` is the admin's own text. Raises SecretRefused, SecretTaken and NameTaken.
        """
        plain = crypto.generate() if secret is None else secret
        if not crypto.is_well_formed(plain):
            raise SecretRefused
        with transaction.atomic():
            KeysVersion.bump()
            Secret.objects.ensure_free(plain)
            key = VirtualKey(**fields)
            key.ensure_name_is_free()
            key.save(force_insert=True)
            key.secret_of(plain).save_with_new_key()
        return key, plain


class VirtualKey(Limited):
    """The identity that a developer calls with: what it may call, and how much."""

    version_row = KeysVersion
    tombstone = DeletedKey

    name = CharField(
        max_length=255, null=True, blank=True, unique=True, help_text="Unique. LiteLLM calls it key_alias."
    )
    user_id = CharField("owner", max_length=255, null=True, blank=True, db_index=True, help_text="Who holds the key.")
    team_id = CharField("team", max_length=64, null=True, blank=True, db_index=True, help_text="Whose limits hold too.")
    endpoint_classes = JSONField(
        default=default_endpoint_classes,
        blank=True,
        validators=[validate_endpoint_classes],
        help_text="Which kinds of endpoint the key may call: inference, monitoring, server_control.",
    )
    aliases = JSONField(
        default=dict,
        blank=True,
        validators=[validate_aliases],
        help_text='Names of the key\'s own for models, such as {"fast": "qwen-7b"}.',
    )
    allowed_upstreams = JSONField(
        default=list,
        blank=True,
        validators=[validate_upstreams],
        help_text='Upstreams that a call may name, such as ["gpu-1", "lab-*"]; ["*"] is all, [] none.',
    )
    priority = SmallIntegerField(
        default=0,
        validators=[MinValueValidator(-HIGHEST_PRIORITY), MaxValueValidator(HIGHEST_PRIORITY)],
        help_text="Who waits less while all upstreams are full: the higher.",
    )
    key_type = CharField(
        max_length=20,
        default=DEFAULT,
        choices=key_types,
        help_text="A management key manages keys and models, and calls nothing.",
    )
    allowed_routes = JSONField(
        default=list,
        blank=True,
        validators=[validate_routes],
        help_text='Routes that it may call, such as ["/v1/embeddings", "/vllm/*", "openai_routes"]; [] allows all.',
    )
    allowed_ips = JSONField(
        "allowed networks",
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text='Where it may be used, such as ["10.0.0.0/8", "2001:db8::1"]; [] allows every address.',
    )
    expires_at = DateTimeField(null=True, blank=True, help_text="Empty means never.")
    created_at = DateTimeField(default=timezone.now, editable=False, db_index=True)
    created_by = CharField(max_length=255, default="", blank=True, editable=False)
    updated_at = DateTimeField(default=timezone.now, editable=False)
    last_used_at = DateTimeField(null=True, blank=True, editable=False)

    objects = VirtualKeyManager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "virtual key"
        # What the first page asks for every few seconds: few of many keys.
        indexes = [
            Index(fields=["expires_at"], name="key_expires_at", condition=Q(expires_at__isnull=False)),
            Index(fields=["created_at"], name="key_budget_of_0", condition=Q(max_budget=0) | Q(token_budget=0)),
        ]

    def __str__(self) -> str:
        return self.name or self.masked

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name = self.name or None  # "" would be a name that only one key may have
        self.updated_at = timezone.now()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "updated_at"}
        super().save(*args, **kwargs)

    @property
    def secret(self) -> Secret | None:
        """The newest secret, which stands for the key in lists."""
        return max(self.secrets.all(), key=lambda secret: secret.pk, default=None)

    @property
    def masked(self) -> str:
        """`sk-...abcd` of the newest secret."""
        secret = self.secret if self.pk else None
        return crypto.mask(secret.last_four if secret else "")

    @property
    def granted_classes(self) -> list[str]:
        """The endpoint classes that count: a management key has none, whatever its column says."""
        return [] if self.is_management else self.endpoint_classes

    @property
    def is_management(self) -> bool:
        """Whether the key manages instead of calling."""
        return self.key_type == MANAGEMENT

    @property
    def state(self) -> str:
        """`active`, `blocked` or `expired`."""
        if self.blocked:
            return "blocked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "active"

    def block(self) -> None:
        """Refuses the key everywhere; its open calls are cut."""
        self.blocked = True
        self.save(update_fields=["blocked"])

    def unblock(self) -> None:
        """Lets the key call again."""
        self.blocked = False
        self.save(update_fields=["blocked"])

    def rotate(self, overlap: timedelta, secret: str | None = None) -> str:
        """Gives the key a new secret and returns its plain text. Old ones die after `overlap`, at once for zero.

        `secret` is the admin's own text. Raises SecretRefused and SecretTaken.
        """
        plain = crypto.generate() if secret is None else secret
        if not crypto.is_well_formed(plain):
            raise SecretRefused
        with transaction.atomic():
            self.save(update_fields=[])
            Secret.objects.ensure_free(plain)
            now = timezone.now()
            old = self.secrets.all()
            if overlap > timedelta(0):
                old.filter(Q(expires_at=None) | Q(expires_at__gt=now + overlap)).update(expires_at=now + overlap)
                old = old.filter(expires_at__lte=now)
            old.delete()
            self.add_secret(plain)
        return plain

    def add_secret(self, plain: str) -> Secret:
        """Lets the key be shown by this secret too. Of the text only digest, prefix and last four are kept."""
        secret = self.secret_of(plain)
        secret.save(force_insert=True)
        return secret

    def secret_of(self, plain: str) -> Secret:
        """What is kept of the text; not saved yet."""
        visible = {"prefix": crypto.visible_prefix(plain), "last_four": plain[-4:]}
        return Secret(key=self, digest=crypto.digest(plain), **visible)

    def ensure_name_is_free(self) -> None:
        """Raises NameTaken when another key has the name. Exact in a transaction that has bumped the version."""
        if self.name and VirtualKey.objects.filter(name=self.name).exclude(pk=self.pk).exists():
            raise NameTaken(self.name)
