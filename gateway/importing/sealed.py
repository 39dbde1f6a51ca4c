"""Opens what LiteLLM has encrypted with its salt key: NaCl's secret box (XSalsa20 and Poly1305), or AES-256-GCM.

Both are authenticated: a text opens with the right key only, so nothing has to be guessed. XSalsa20 is written out
here, since it is forty lines and what a library of its own would otherwise be needed for. Opening only. Pure.

Facts: litellm.proxy.common_utils.encrypt_decrypt_utils (1.106), and "Extending the Salsa20 nonce" (Bernstein, 2011).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

AES_PREFIX = "v2:gcm:"
_NONCE, _MAC, _BLOCK = 24, 16, 64
_AES_NONCE = 12
_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
_MASK = 0xFFFFFFFF
_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


class Sealed(Exception):
    """The text is encrypted, and this key does not open it."""


def opened(text: str, salt_key: str | None) -> str:
    """The plain text of a stored value; one that has not the form of an encrypted text is what it is.

    Raises Sealed for an encrypted one without a key, or with another key than it was made with.
    """
    box = _box(text)
    if box is None:
        return text
    if salt_key is None:
        raise Sealed
    key = hashlib.sha256(salt_key.encode()).digest()
    try:
        plain = _open_aes(box, key) if text.startswith(AES_PREFIX) else _open_nacl(box, key)
        return plain.decode()
    except (InvalidTag, InvalidSignature, ValueError) as error:
        raise Sealed from error


def _box(text: str) -> bytes | None:
    """The bytes of an encrypted text; None for any other. The older base64 has `+` and `/`, the newer `-` and `_`."""
    is_aes = text.startswith(AES_PREFIX)
    coded = text.removeprefix(AES_PREFIX).replace("-", "+").replace("_", "/")
    try:
        box = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return b"" if is_aes else None
    return box if is_aes or len(box) >= _NONCE + _MAC else None


def _open_aes(box: bytes, key: bytes) -> bytes:
    return AESGCM(key).decrypt(box[:_AES_NONCE], box[_AES_NONCE:], None)


def _open_nacl(box: bytes, key: bytes) -> bytes:
    nonce, mac, cipher = box[:_NONCE], box[_NONCE : _NONCE + _MAC], box[_NONCE + _MAC :]
    stream = _stream(key, nonce, 32 + len(cipher))
    Poly1305.verify_tag(stream[:32], cipher, mac)
    return bytes(a ^ b for a, b in zip(cipher, stream[32:], strict=True))


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    """So many bytes of XSalsa20."""
    subkey = _subkey(struct.unpack("<8I", key), struct.unpack("<4I", nonce[:16]))
    rest = struct.unpack("<2I", nonce[16:])
    blocks = range(-(-length // _BLOCK))
    return b"".join(_block(subkey, (*rest, number & _MASK, number >> 32)) for number in blocks)[:length]


def _state(key: Sequence[int], middle: Sequence[int]) -> list[int]:
    one, two, three, four = _CONSTANTS
    return [one, *key[:4], two, *middle, three, *key[4:], four]


def _block(key: Sequence[int], middle: Sequence[int]) -> bytes:
    before = _state(key, middle)
    return struct.pack("<16I", *((a + b) & _MASK for a, b in zip(before, _mixed(before), strict=True)))


def _subkey(key: Sequence[int], middle: Sequence[int]) -> list[int]:
    """HSalsa20."""
    words = _mixed(_state(key, middle))
    return [words[place] for place in (0, 5, 10, 15, 6, 7, 8, 9)]


def _mixed(words: Sequence[int]) -> list[int]:
    """Twenty rounds."""
    mixed = list(words)
    for _ in range(10):
        for a, b, c, d in (*_COLUMNS, *_ROWS):
            mixed[b] ^= _turned(mixed[a] + mixed[d], 7)
            mixed[c] ^= _turned(mixed[b] + mixed[a], 9)
            mixed[d] ^= _turned(mixed[c] + mixed[b], 13)
            mixed[a] ^= _turned(mixed[d] + mixed[c], 18)
    return mixed


def _turned(word: int, by: int) -> int:
    word &= _MASK
    return (word << by | word >> (32 - by)) & _MASK
