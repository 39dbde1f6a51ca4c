"""A model field whose value is encrypted at rest and shows itself to nobody by accident."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.forms import Field as FormField
from django.forms import PasswordInput

from upstreams import crypto

_HEADER_SAFE = re.compile(r"[!-~]{1,4096}")


class Credential:
    """A secret text, held encrypted. False when empty; only `reveal()` gives the plain text."""

    __slots__ = ("stored",)

    def __init__(self, plain: str = "") -> None:
        plain = plain.strip()
        self.stored = crypto.encrypt(plain) if plain else ""

    @classmethod
    def from_stored(cls, stored: str) -> Credential:
        """The credential whose encrypted form a database row holds; it is not decrypted yet."""
        credential = cls()
        credential.stored = stored
        return credential

    def reveal(self) -> str:
        """The plain text. Raises CredentialUnreadable when it was encrypted with other keys."""
        return crypto.decrypt(self.stored) if self.stored else ""

    def check(self) -> None:
        """Raises ValidationError when the text cannot be sent in an Authorization header."""
        if self and not _HEADER_SAFE.fullmatch(self.reveal()):
            raise ValidationError(
                "The credential must be at most 4,096 ASCII characters without spaces, as vLLM was given it "
                "(without the word Bearer)."
            )

    def __bool__(self) -> bool:
        return bool(self.stored)

    def __str__(self) -> str:
        return "••••••••" if self else ""

    def __repr__(self) -> str:
        return f"<Credential: {'set' if self else 'empty'}>"


class _CredentialAttribute(DeferredAttribute):
    """Turns what is assigned into a Credential, so that no model instance holds a plain text."""

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


if TYPE_CHECKING:
    _TextField = models.TextField[str | Credential, Credential]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """A text column that holds a Fernet token, or nothing. Assign a str or a Credential; it reads as a Credential.

    A value that the keys do not fit loads like any other, and raises CredentialUnreadable only when it is revealed.
    """

    descriptor_class = _CredentialAttribute

    def to_python(self, value: object) -> Credential:
        if isinstance(value, Credential):
            return value
        return Credential("" if value is None else str(value))

    def from_db_value(self, value: str | None, *_: object) -> Credential:
        return Credential.from_stored(value or "")

    def get_prep_value(self, value: object) -> str:
        return self.to_python(value).stored

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        self.to_python(value).check()

    def value_to_string(self, obj: models.Model) -> str:
        """Nothing: a dump of the database holds no credential."""
        return ""

    def formfield(self, **kwargs: Any) -> FormField | None:
        return super().formfield(**{"widget": PasswordInput(attrs={"autocomplete": "off"}), "strip": True, **kwargs})
