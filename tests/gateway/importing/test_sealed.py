"""What LiteLLM encrypts is opened with its key, and with no other. The boxes were made with PyNaCl 1.6."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.importing.sealed import AES_PREFIX, Sealed, opened

KEY = "sk-the-salt-key-of-the-tests"
BOXES = {
    "hosted_vllm/tiny-chat": ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXTduDYB1xizcImQFNi5fsGFwPZK9nGdCM6r-unP0NkmA4fDqH7A=="),
    "": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXuxAX1-eyNdfrD_YBHoulfQ==",
    "x" * 31: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXq1JoONwLoPhXl8BewO1IykwYb6N6BfeC_qu7y_EchGFtZyqe4AcGPAgSuqgXv3g=",
    "x" * 32: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXBMy5UMSXuBeKQhNMAqXNoUwYb6N6BfeC_qu7y_EchGFtZyqe4AcGPAgSuqgXv3jP",
    "x" * 33: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX6oDILXMQc5V2VP7K6MRn1kwYb6N6BfeC_qu7y_EchGFtZyqe4AcGPAgSuqgXv3jPfQ==",
    "y" * 200: (
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXM1zRCko19QgqUY004WNvt00ZbqJ7BPaD_6q6yvAdhWBsZiuf4QYHPQkTu6kWvnnOfE_5HLF86h"
        "fa16abvai87l8yFwFH59JI_U8oQH1J_ZoDGebSJ_be4BD8rNPDD7ihi-FMMyjVnjSZzlT9z5ISkbLJHryTx5sNNTRslxYALxtTF8kNKIhw"
        "Fuf0vChZ-moXE60UPHnRG9jCwyXEPl1Q0Z1tdP_NPW0FOSbn53Q0IH6uDlfQhpDHEQ1PGy_7hhhACJeqDkIeF5lRg3kHC-4NAYSdL21FbWXl"
    ),
}


@pytest.mark.parametrize("plain", BOXES)
def test_a_box_opens_with_its_key(plain: str) -> None:
    assert opened(BOXES[plain], KEY) == plain


def test_the_older_alphabet_opens_too() -> None:
    box = BOXES["x" * 33].replace("-", "+").replace("_", "/")
    assert opened(box, KEY) == "x" * 33


@pytest.mark.parametrize("key", [None, "", "sk-another"])
def test_another_key_opens_nothing(key: str | None) -> None:
    with pytest.raises(Sealed):
        opened(BOXES["x" * 31], key)


def test_a_changed_box_does_not_open() -> None:
    box = BOXES["x" * 32]
    with pytest.raises(Sealed):
        opened(f"{box[:-4]}AAAA", KEY)


def _aes(plain: str) -> str:
    nonce = bytes(12)
    sealed = nonce + AESGCM(hashlib.sha256(KEY.encode()).digest()).encrypt(nonce, plain.encode(), None)
    return AES_PREFIX + base64.urlsafe_b64encode(sealed).decode()


def test_the_newer_cipher_opens_with_its_key_only() -> None:
    assert opened(_aes("http://gpu:8000/v1"), KEY) == "http://gpu:8000/v1"
    for text, key in ((_aes("x"), "another"), (_aes("x"), None), (AES_PREFIX, KEY), (f"{AES_PREFIX}!", KEY)):
        with pytest.raises(Sealed):
            opened(text, key)


@pytest.mark.parametrize("text", ["", "http://gpu:8000/v1", "hosted_vllm/tiny-chat", "sk-1234", "dG9vIHNob3J0"])
def test_what_is_not_encrypted_is_what_it_is(text: str) -> None:
    assert opened(text, None) == text
