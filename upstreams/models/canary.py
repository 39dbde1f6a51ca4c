"""What proves at start that the encryption keys fit the database."""

from django.db import models


class EncryptionCanary(models.Model):
    """One row (id 1): a known text under the encryption keys, which proves at start that they fit the database."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.TextField()

    def __str__(self) -> str:
        return "canary"
