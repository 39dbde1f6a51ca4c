"""Encrypts texts under GATEWAY_ENCRYPTION_KEYS (Fernet, newest key first). Knows no model."""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from upstreams.errors import CredentialUnreadable


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current() -> MultiFernet:
    return _fernet(tuple(settings.ENCRYPTION_KEYS))


def encrypt(plain: str) -> str:
    """The text as a Fernet token under the newest key."""
    return _current().encrypt(plain.encode()).decode()


def decrypt(stored: str) -> str:
    """The plain text of a token. Raises CredentialUnreadable when none of the keys fits."""
    try:
        return _current().decrypt(stored).decode()
    except InvalidToken as error:
        raise CredentialUnreadable from error


def encrypt_bytes(plain: bytes) -> str:
    """Bytes as a Fernet token under the newest key."""
    return _current().encrypt(plain).decode()


def decrypt_bytes(stored: str) -> bytes:
    """The bytes of such a token. Raises CredentialUnreadable when none of the keys fits."""
    try:
        return _current().decrypt(stored)
    except InvalidToken as error:
        raise CredentialUnreadable from error


def encrypt_again(stored: str) -> str:
    """The same text under the newest key. Raises CredentialUnreadable when none of the keys fits."""
    try:
        return _current().rotate(stored).decode()
    except InvalidToken as error:
        raise CredentialUnreadable from error
