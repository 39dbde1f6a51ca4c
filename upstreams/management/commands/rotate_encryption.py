"""`manage.py rotate_encryption`: encrypts everything again under the newest encryption key."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from upstreams import encryption
from upstreams.errors import CredentialUnreadable


class Command(BaseCommand):
    help = (
        "Encrypts all upstream credentials again under the first key of GATEWAY_ENCRYPTION_KEYS. "
        "Afterwards the older keys can be removed from the list."
    )

    def handle(self, **options: Any) -> None:
        try:
            count = encryption.rotate()
        except (CredentialUnreadable, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Encrypted {count} credential{'' if count == 1 else 's'} and the canary again.")
