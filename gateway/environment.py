"""Reads one setting after the other from the environment, through django-environ.

Every setting `NAME` may also come from the file that `NAME_FILE` points to (Docker and Kubernetes secrets). An
empty value counts as unset. A wrong value is an ImproperlyConfigured with one sentence.
"""

from __future__ import annotations

import ipaddress
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from gateway import address_settings

Value = TypeVar("Value")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


ENVIRONMENT, FILE, GENERATED, DEFAULT = "environment", "file", "generated", "default"


@dataclass(slots=True)
class Reading:
    """How one setting was read: its names, aliases last, and where its value comes from.

    `source` is one of the four above; `place` is the variable that was set, or the file, which for a FILE the
    `variable` names. `value` is what was made of it, and `default` what it would be unset; of what may be a secret both
    are empty.
    """

    names: tuple[str, ...]
    source: str
    place: str
    value: object = ""
    default: object = ""
    is_secret: bool = False
    variable: str = ""


def may_be_secret(name: str) -> bool:
    """Whether a text of this name is not for showing."""
    return any(word in name for word in ("KEY", "PASSWORD", "SECRET", "TOKEN"))


class Environment:
    """The settings in `variables` (default: the process's environment). `readings` tells how each was read."""

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self.readings: dict[str, Reading] = {}
        self._env = environ.Env()
        # Env.ENVIRON is where django-environ reads; its own `$NAME` references would misread secrets with a `$`.
        self._env.ENVIRON = dict(os.environ) if variables is None else variables

    def text(self, *names: str, default: str = "") -> str:
        """The first of `names` (a setting and its aliases) that is set."""
        for name in names:
            value = self._raw(name)
            if value:
                self._note(names, name, value, default)
                return value
        self._note(names, "", default, default)
        return default

    def _note(self, names: tuple[str, ...], found: str, value: str, default: str) -> None:
        if names[0] in self.readings:
            return
        is_direct = bool(str(self._env.ENVIRON.get(found, "")).strip())
        source = (ENVIRONMENT if is_direct else FILE) if found else DEFAULT
        place = found if is_direct or not found else str(self._env.ENVIRON.get(f"{found}_FILE", "")).strip()
        variable = f"{found}_FILE" if source == FILE else found
        if may_be_secret(names[0]):
            self.readings[names[0]] = Reading(names, source, place, is_secret=True, variable=variable)
        else:
            self.readings[names[0]] = Reading(names, source, place, value, default, variable=variable)

    def _note_parsed(self, name: str, value: object, default: object) -> None:
        """A value of a kind that holds no secret."""
        reading = self.readings[name]
        reading.value, reading.default, reading.is_secret = value, default, False

    def note_generated(self, name: str, file: Path) -> None:
        """The setting was not set, and has what stands in this file of ours."""
        reading = self.readings[name]
        reading.source, reading.place = GENERATED, str(file)

    def variable(self, name: str) -> str:
        """What the setting `name`, which was read, was set by: itself, an alias, or one of these with `_FILE`."""
        return self.readings[name].variable or name

    def _raw(self, name: str) -> str:
        value = str(self._env.ENVIRON.get(name, "")).strip()
        file = str(self._env.ENVIRON.get(f"{name}_FILE", "")).strip()
        if value or not file:
            return value
        try:
            return Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ImproperlyConfigured(f"{name}_FILE points to {file}, which cannot be read: {reason}.") from error

    def _parsed(self, name: str, parse: Callable[[str], Value], default: Value, wanted: str) -> Value:
        text = self.text(name)
        try:
            value = parse(text) if text else default
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} must be {wanted}.") from error
        self._note_parsed(name, value, default)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false (also yes/no, on/off, 1/0)."""

        def parse(value: str) -> bool:
            if value.lower() in TRUE | FALSE:
                return value.lower() in TRUE
            raise ValueError(value)

        return self._parsed(name, parse, default, "true or false")

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""

        def parse(value: str) -> int:
            number = int(value)
            if not least <= number <= most:
                raise ValueError(value)
            return number

        return self._parsed(name, parse, default, f"a whole number from {least} to {most}")

    def seconds(self, name: str, *, default: float) -> float:
        """A time in seconds, more than zero."""

        def parse(value: str) -> float:
            number = float(value)
            if not 0 < number < 1e6:
                raise ValueError(value)
            return number

        return self._parsed(name, parse, default, "a number of seconds greater than 0")

    def choice(self, name: str, default: str | int, *others: str | int) -> Any:
        """One of a few values, the first of which is the default."""
        known = {str(value): value for value in (default, *others)}

        def parse(value: str) -> str | int:
            if value.lower() not in known:
                raise ValueError(value)
            return known[value.lower()]

        return self._parsed(name, parse, default, f"one of these: {', '.join(known)}")

    def items(self, name: str, *, default: list[str], each: Callable[[str], str] = str, wanted: str = "") -> list[str]:
        """A list, separated by commas. `each` raises ValueError for an item that is not `wanted`; the default is."""
        value = self.text(name, default=",".join(default))
        if self.readings[name].source == DEFAULT:
            return default
        try:
            return [each(item.strip()) for item in value.split(",") if item.strip()]
        except ValueError as error:
            raise ImproperlyConfigured(f"{self.variable(name)} must be {wanted}.") from error

    def host_names(self, name: str, *, default: list[str]) -> list[str]:
        """Django's ALLOWED_HOSTS; with an empty list nobody would be answered."""
        wanted = "a list of host names such as gateway.example.com, without scheme and port, separated by commas"
        found = self.items(name, default=default, each=address_settings.host_name, wanted=wanted)
        if not found:
            raise ImproperlyConfigured(f"{self.variable(name)} must be {wanted}.")
        return found

    def origins(self, name: str, *, default: list[str]) -> list[str]:
        """Django's CSRF_TRUSTED_ORIGINS."""
        wanted = "a list of origins such as https://gateway.example.com, without a path, separated by commas"
        return self.items(name, default=default, each=address_settings.origin, wanted=wanted)

    def meeting_place(self, name: str) -> str:
        """`host:port` or `unix:/path`; empty when unset."""
        wanted = "host:port, such as 127.0.0.1:4001 or [::1]:4001, or unix:/path of at most 107 bytes"
        return self._parsed(name, address_settings.meeting_place, "", wanted)

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """A list of `one=other`, separated by commas; the last `=` divides, since names of groups may hold some."""
        found = [tuple(part.strip() for part in item.rpartition("=")[::2]) for item in self.items(name, default=[])]
        if not all(one and other for one, other in found):
            raise ImproperlyConfigured(f"{name} must be a list such as group=Role, separated by commas.")
        return [(one, other) for one, other in found]

    def networks(self, name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """A list of IP addresses and networks."""
        try:
            return [ipaddress.ip_network(item, strict=False) for item in self.items(name, default=[])]
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name} must be a list of IP addresses or networks such as 10.0.0.0/8, separated by commas."
            ) from error

    def web_address(self, *names: str) -> str:
        """An http or https address, without trailing slash; empty when unset."""
        value = self.text(*names)
        try:
            return address_settings.web_address(value) if value else ""
        except ValueError as error:
            wanted = "must start with http:// or https:// and name a host, whose port is a number"
            raise ImproperlyConfigured(f"{self.variable(names[0])} {wanted}.") from error

    def redis_address(self, name: str) -> str:
        """The URL of a Redis, with whatever options redis-py knows; empty when unset. No error repeats it."""
        value = self.text(name)
        if not value:
            return ""
        from redis import ConnectionPool, RedisError  # only where one is used

        try:
            ConnectionPool.from_url(value).make_connection()  # which connects to nothing yet
        except (ValueError, TypeError, OSError, RedisError):
            wanted = (
                f"{name} must be a redis://, rediss:// or unix:// address; in its password write / as %2F, @ as %40."
            )
            raise ImproperlyConfigured(wanted) from None
        return value

    def database(self, name: str, *, default: str) -> dict[str, object]:
        """Django's description of the database that the URL names: SQLite or PostgreSQL."""
        value = self.text(name, default=default)
        wanted = f"{name} must be a sqlite:// or postgresql:// address."
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an engine that it does not know; the sentence below says so
                parsed = self._env.db_url_config(value)
        except (ValueError, KeyError, ImproperlyConfigured) as error:
            raise ImproperlyConfigured(wanted) from error
        if parsed.get("ENGINE") not in {"django.db.backends.sqlite3", "django.db.backends.postgresql"}:
            raise ImproperlyConfigured(wanted)
        _check_database(name, parsed)
        _check_options(name, value, parsed)
        return dict(parsed)


def _check_options(name: str, url: str, parsed: Mapping[str, Any]) -> None:
    """Whoever writes an option means something by it; how SQLite is opened, the gateway's promises rest on."""
    options = urlsplit(url).query
    if options and parsed["ENGINE"] == "django.db.backends.sqlite3":
        raise ImproperlyConfigured(
            f"{name} has options, which a SQLite database does not take here; leave out “?{options}”."
        )


def _check_database(name: str, parsed: Mapping[str, Any]) -> None:
    embedded = parsed["ENGINE"] == "django.db.backends.sqlite3"
    options = parsed.get("OPTIONS", {})
    if embedded and (":memory:" in parsed["NAME"] or options.get("mode") == "memory"):
        raise ImproperlyConfigured(
            f"{name} names a database in memory, which no two processes share; use sqlite:///path/to/file."
        )
    if not embedded and not parsed["NAME"] and not options.get("service"):
        raise ImproperlyConfigured(
            f"{name} names no database; it must end with one, as in postgresql://user:password@host:5432/name."
        )
