"""Secrets as text: making, recognising, digesting and masking them. Pure; knows neither tables nor HTTP.

Our own format is `sk-vgw-`, 30 random base62 characters (178 bits) and 6 base62 characters of the CRC-32 of all
that precedes, so that a typo is refused without a look-up and a scanner can tell a leaked key from noise.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "sk-vgw-"
RANDOM_CHARACTERS = 30
CHECKSUM_CHARACTERS = 6
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# For scanners. A match is one of our keys when its checksum is right too.
KEY_PATTERN = rf"sk-vgw-[0-9A-Za-z]{{{RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}}"

SHORTEST_KEY = 16  # LiteLLM's MINIMUM_CUSTOM_KEY_LENGTH
LONGEST_KEY = 512

_own = re.compile(KEY_PATTERN)
# What a header can carry: visible ASCII.
_any = re.compile(rf"sk-[\x21-\x7e]{{{SHORTEST_KEY - 3},{LONGEST_KEY - 3}}}")
_digest = re.compile(r"[0-9a-f]{64}")


def _checksum(text: str) -> str:
    rest, characters = zlib.crc32(text.encode("ascii")), []
    for _ in range(CHECKSUM_CHARACTERS):
        rest, place = divmod(rest, len(ALPHABET))
        characters.append(ALPHABET[place])
    return "".join(reversed(characters))


def generate() -> str:
    """Returns a new secret in our own format."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether this could be a key: our own format with its checksum, or another `sk-…` of 16 to 512 characters."""
    if secret.startswith(PREFIX):
        return bool(_own.fullmatch(secret)) and secret.endswith(_checksum(secret[:-CHECKSUM_CHARACTERS]))
    return bool(_any.fullmatch(secret))


def digest(secret: str) -> str:
    """SHA-256 in hex, the digest that LiteLLM stores too. Takes any text."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_digest(text: str) -> bool:
    """Whether the text has the form of a digest."""
    return bool(_digest.fullmatch(text))


def redact(secret: str) -> str:
    """`sk-...abcd`, LiteLLM's key_name. A text too short to be a key shows nothing of itself."""
    return mask(secret[-4:] if len(secret) >= SHORTEST_KEY else "")


def mask(last_four: str) -> str:
    """The masked form of a secret with these last four characters."""
    return f"sk-...{last_four}"


def visible_prefix(secret: str) -> str:
    """The start of a secret that may be kept and shown: a few characters of our own keys, nothing of short ones."""
    return secret[: len(PREFIX) + 4] if secret.startswith(PREFIX) else "sk-"
