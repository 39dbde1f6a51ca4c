"""Addresses as people write them into settings, each judged by what would read it. Pure; ValueError refuses."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LONGEST_SOCKET_PATH = 107  # bytes that Linux takes

_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_IP6 = r"\[[0-9A-Fa-f:.]+\]"
_HOST_NAME = re.compile(rf"\*|\.?{_NAME}|{_IP6}")
_ORIGIN = re.compile(rf"https?://(?:(?:\*\.)?{_NAME}|{_IP6})(?::[0-9]{{1,5}})?")
_HOST_AND_PORT = re.compile(rf"({_NAME}|{_IP6}):([0-9]{{1,5}})")


def web_address(text: str) -> str:
    """An http or https address with a host, without trailing slash."""
    parts = urlsplit(text)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    return text.rstrip("/")


def origin_of(address: str) -> str:
    """Scheme, host and port of a web address (RFC 6454), as browsers send them in `Origin`."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def origin(text: str) -> str:
    """An entry of Django's CSRF_TRUSTED_ORIGINS; with anything behind the port it would match nothing."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(text)
    return text


def host_name(text: str) -> str:
    """An entry of Django's ALLOWED_HOSTS: a name, `.name` with all below it, or `*`; never with scheme or port."""
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def meeting_place(text: str) -> str:
    """`host:port` or `unix:/path`: where one process listens and another finds it."""
    if text.startswith("unix:/"):
        if len(text.removeprefix("unix:").encode()) > LONGEST_SOCKET_PATH:
            raise ValueError(text)
        return text
    host_and_port(text)
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """The two parts of `host:port`; an IPv6 address, which has to stand in brackets, without them."""
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise ValueError(text)
    return found[1].strip("[]"), int(found[2])
