"""Texts under the encryption keys."""

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from upstreams import crypto
from upstreams.errors import CredentialUnreadable


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_what_was_encrypted_can_be_decrypted() -> None:
    stored = crypto.encrypt("secret")
    assert "secret" not in stored
    assert crypto.decrypt(stored) == "secret"


def test_an_older_key_still_decrypts(settings: Settings) -> None:
    stored = crypto.encrypt("secret")
    settings.ENCRYPTION_KEYS = [new_key(), *settings.ENCRYPTION_KEYS]
    assert crypto.decrypt(stored) == "secret"


def test_the_newest_key_encrypts_again(settings: Settings) -> None:
    stored, newest = crypto.encrypt("secret"), new_key()
    settings.ENCRYPTION_KEYS = [newest, *settings.ENCRYPTION_KEYS]
    again = crypto.encrypt_again(stored)
    settings.ENCRYPTION_KEYS = [newest]
    assert crypto.decrypt(again) == "secret"


def test_a_foreign_token_is_unreadable(settings: Settings) -> None:
    stored = crypto.encrypt("secret")
    settings.ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(CredentialUnreadable):
        crypto.decrypt(stored)
    with pytest.raises(CredentialUnreadable):
        crypto.encrypt_again(stored)
