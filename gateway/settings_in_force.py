"""Every setting as it is in force in this process: its value, where that comes from, its default, what it means.

What there is, is known from the reading of the settings; what it means, from the tables of the README. Shows no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gateway.environment import DEFAULT, ENVIRONMENT, FILE, Reading

README = Path(__file__).resolve().parent.parent / "README.md"
OTHER = "Other"
LONGEST = 200

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_HEADING = re.compile(r"^### (.+)$")


@dataclass(frozen=True, slots=True)
class Explained:
    """What the README says of a setting: under which heading, its default, its meaning; texts with `code` in them."""

    heading: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Line:
    """One setting. `is_set` tells of a secret whether there is one; its `value` is then empty.

    `variable` is what was set, which for a file is `NAME_FILE`.
    """

    names: tuple[str, ...]
    value: str
    is_secret: bool
    is_set: bool
    source: str
    place: str
    default: str
    meaning: str
    variable: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it is as it would be in any gateway."""
        return self.source == DEFAULT

    @property
    def is_changed(self) -> bool:
        """Whether somebody has set it."""
        return self.source in {ENVIRONMENT, FILE}

    def has(self, text: str) -> bool:
        """Whether every word of the text stands in what is shown of it, in any case."""
        shown = (*self.names, self.value, self.source, self.variable, self.place, self.default, self.meaning)
        said = "\n".join(shown).replace("`", "").lower()
        return all(word in said for word in text.lower().split())


def settings_in_force(readings: Iterable[Reading]) -> dict[str, list[Line]]:
    """The settings by the README's headings, in its order."""
    known = explained()
    order = {name: at for at, name in enumerate(known)}
    found: dict[str, list[Line]] = {}
    for reading in sorted(readings, key=lambda one: order.get(one.names[0], len(order))):
        said = known.get(reading.names[0], Explained(OTHER, shown(reading.default), ""))
        found.setdefault(said.heading, []).append(_line(reading, said))
    return found


def _line(reading: Reading, said: Explained) -> Line:
    return Line(
        names=reading.names,
        value="" if reading.is_secret else shown(reading.value),
        is_secret=reading.is_secret,
        is_set=reading.source != DEFAULT,
        source=reading.source,
        place=reading.place,
        default=said.default,
        meaning=said.meaning,
        variable=reading.variable,
    )


def shown(value: object) -> str:
    """A value as one would write it into the environment; of an address without its password."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    text = without_password(str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def without_password(text: str) -> str:
    """The address without password and without the values of its query, which may hold one; other texts as they are."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        user = parts.username
    except ValueError:
        return f"{text.partition('://')[0]}://…"
    if "@" in text and "@" not in parts.netloc:  # a password with a slash in it ends what is read as the host
        return f"{parts.scheme}://…"
    host = parts.netloc.rpartition("@")[2]
    if "@" in parts.netloc:
        # A name without a password is a token more often than not; user names of databases come with one.
        host = f"{user}:…@{host}" if parts.password is not None and user else f"…@{host}"
    query = "&".join(f"{one.partition('=')[0]}=…" for one in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


@lru_cache(maxsize=1)
def explained() -> dict[str, Explained]:
    """What the README says of each setting, by its first name; nothing where the README is not installed."""
    try:
        text = README.read_text()
    except OSError:
        return {}
    return dict(_read_tables(text))


def _read_tables(text: str) -> Iterator[tuple[str, Explained]]:
    _, _, rest = text.partition("\n## Settings\n")
    heading = OTHER
    for line in re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines():
        if match := _HEADING.match(line):
            heading = match[1]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        names = re.findall(r"`([^`]+)`", cells[0]) if len(cells) == 3 else []
        if names:
            yield names[0], Explained(heading, _plain(cells[1]), _plain(cells[2]))


def _plain(cell: str) -> str:
    return _LINK.sub(r"\1", cell).replace("\\|", "|")
