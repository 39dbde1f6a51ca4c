"""What an upstream's URL may look like, and the one form in which it is stored. Asks nobody on the network."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ValidationError

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~@:+-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalised(url: str) -> str:
    """The base URL of an upstream as it is stored: without a trailing "/" or "/v1", scheme and host in lower case.

    Raises ValidationError with one sentence.
    """
    parts = _split(url.strip())
    host = _host(parts)
    port = _port(parts)
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{_prefix(parts.path)}"


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a normalised URL: the server to which a credential belongs (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def is_this_host(url: str) -> bool:
    """Whether calls to the URL stay on this host."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(url: str) -> tuple[str, str, int, str]:
    """What two normalised URLs have in common that lead to the same place, however they are written: the port of the
    scheme may be left out, and a host may end with the dot of the root."""
    scheme, host, port = origin(url)
    return scheme, host.rstrip("."), port, urlsplit(url).path


def _split(url: str) -> SplitResult:
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ValidationError("The URL must not contain spaces, control characters or backslashes.")
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise ValidationError("The URL must start with http:// or https://.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValidationError("The URL's host is not valid.") from error
    if "@" in parts.netloc:
        raise ValidationError("The URL must not contain a user name or password; use the credential field.")
    if "?" in url or "#" in url:
        raise ValidationError("The URL must not contain a query or a fragment.")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        return f"[{_ip6(host)}]"
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise ValidationError("The URL's host is not valid.") from error
    if not _HOST_NAME.fullmatch(host):
        raise ValidationError("The URL's host is not valid.")
    return host


def _ip6(host: str) -> str:
    try:
        return ipaddress.IPv6Address(host.replace("%", "no zones")).compressed
    except ValueError as error:
        raise ValidationError("The URL's host is not valid.") from error


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError as error:
        raise ValidationError("The URL's port must be a number from 1 to 65535.") from error
    if port == 0 or parts.netloc.endswith(":"):
        raise ValidationError("The URL's port must be a number from 1 to 65535.")
    return port


def _prefix(path: str) -> str:
    path = path.rstrip("/").removesuffix("/v1").rstrip("/")
    for segment in path.split("/")[1:]:
        if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
            raise ValidationError(
                "The URL's path may only have letters, digits and . _ ~ @ : + - between single slashes."
            )
    return path
