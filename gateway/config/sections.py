"""Reads one mapping of the file key by key: typed, with `os.environ/NAME` replaced, and nothing passed over in silence.

A wrong value is a ConfigError that names line and key, and never shows the value: it may be a secret.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.document import ConfigError, Listed, Mapped
from keys.storable import unstorable

REFERENCE = "os.environ/"


@dataclass(slots=True)
class Source:
    """Where the file's values come from: its name, the environment, and the warnings so far."""

    name: str
    environment: Mapping[str, str]
    _warnings: list[tuple[int, str]] = field(default_factory=list)

    def error(self, line: int, sentence: str) -> ConfigError:
        """A ConfigError that names the line."""
        return ConfigError(f"{self.name}, line {line}: {sentence}")

    def warn(self, line: int, sentence: str) -> None:
        """Notes something that is not done as the file says."""
        self._warnings.append((line, sentence))

    def warnings(self) -> tuple[str, ...]:
        """The warnings so far, in the order of the file."""
        ordered = sorted(self._warnings, key=lambda warning: warning[0])
        return tuple(f"{self.name}, line {line}: {sentence}" for line, sentence in ordered)


class Section:
    """One mapping of the file. What nobody has asked for when it is finished was not supported."""

    def __init__(self, source: Source, values: Mapped, place: str) -> None:
        """`place` is what messages call it, such as `model_list[0].litellm_params`."""
        self.source = source
        self.line = values.line
        self._values = values
        self._place = place
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def line_of(self, key: str) -> int:
        """The key's line; the section's when it has none."""
        return self._values.lines.get(key, self.line)

    def name_of(self, key: str) -> str:
        """The key with its place, as messages name it."""
        return f"{self._place}.{key}" if self._place else key

    def error(self, key: str, sentence: str) -> ConfigError:
        """A ConfigError about the key; `sentence` goes on after its name."""
        return self.source.error(self.line_of(key), f"{self.name_of(key)} {sentence}")

    def warn(self, key: str, sentence: str) -> None:
        """A warning about the key; `sentence` goes on after its name."""
        self.source.warn(self.line_of(key), f"{self.name_of(key)} {sentence}")

    # --- Values -----------------------------------------------------------------------------------

    def value(self, key: str) -> Any:
        """The value as it is, a reference to the environment replaced; None when there is none."""
        self._asked.add(key)
        found = self._values.get(key)
        return self._resolved(key, found) if isinstance(found, str) else found

    def _resolved(self, key: str, text: str) -> str:
        if not text.startswith(REFERENCE):
            return text
        variable = text.removeprefix(REFERENCE)
        found = self.source.environment.get(variable)
        if not found:
            raise self.error(key, f"is {text}, but the environment variable {variable} is not set.")
        return found

    def leave(self, key: str) -> None:
        """Somebody else reads the key."""
        self._asked.add(key)

    def is_reference(self, key: str) -> bool:
        """Whether the file leaves the value to the environment."""
        return str(self._values.get(key, "")).startswith(REFERENCE)

    def text(self, key: str, *, longest: int = 500) -> str | None:
        """A text, without blanks around it; None when there is none."""
        found = self.value(key)
        if found is None:
            return None
        if not isinstance(found, str):
            raise self.error(key, "must be text; put quotes around it.")
        found = found.strip()
        if len(found) > longest:
            raise self.error(key, f"must have at most {longest} characters.")
        if any(character < " " or "\ud800" <= character <= "\udfff" for character in found):
            raise self.error(key, "must not hold control characters.")
        return found or None

    def needed(self, key: str, *, longest: int = 200) -> str:
        """A text that must be there."""
        found = self.text(key, longest=longest)
        if found is None:
            raise self.error(key, "is missing.")
        return found

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        """One of some words."""
        found = self.text(key)
        if found is not None and found not in words:
            raise self.error(key, f"must be one of {', '.join(words)}.")
        return found

    def number(self, key: str, *, least: float = 0, most: float = 1e9) -> float | None:
        """A number from `least` to `most`; also from a text of the environment."""
        number = self._number(key)
        if number is not None and not least <= number <= most:
            raise self.error(key, f"must be a number from {least:g} to {most:g}.")
        return number

    def whole(self, key: str, *, least: int = 0, most: int = 2_147_483_647) -> int | None:
        """A whole number from `least` to `most`."""
        number = self._number(key)
        if number is None:
            return None
        if not least <= number <= most or number != int(number):
            raise self.error(key, f"must be a whole number from {least} to {most}.")
        return int(number)

    def _number(self, key: str) -> float | None:
        """None when there is none; what is no number is not one (NaN), which no range holds."""
        found = self.value(key)
        if found is None:
            return None
        try:
            return math.nan if isinstance(found, bool) else float(found)
        except (TypeError, ValueError, OverflowError):
            return math.nan

    def seconds(self, key: str) -> float | None:
        """A time in seconds, more than zero."""
        number = self.number(key, least=0, most=1e6)
        if number == 0:
            raise self.error(key, "must be a number of seconds greater than 0.")
        return number

    def flag(self, key: str) -> bool | None:
        """true or false; also from a text of the environment."""
        found = self.value(key)
        if isinstance(found, str):
            found = {"true": True, "false": False}.get(found.strip().lower(), found)
        if found is not None and not isinstance(found, bool):
            raise self.error(key, "must be true or false.")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.value(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
            raise self.error(key, "must be a list of texts.")
        texts = tuple(self._resolved(key, item) for item in found)
        reason = unstorable(list(texts))
        if reason:
            raise self.error(key, f"cannot be kept. {reason}")
        return texts

    def plain(self, key: str) -> dict[str, Any]:
        """A mapping of any plain data, references replaced; an empty one when there is none."""
        found = self.value(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise self.error(key, "must be a mapping.")
        plain = {name: self._plain(key, value, 0) for name, value in found.items()}
        reason = unstorable(plain)
        if reason:
            raise self.error(key, f"cannot be kept. {reason}")
        return plain

    def plain_list(self, key: str) -> list[Any]:
        """A list of any plain data, references replaced; an empty one when there is none."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.error(key, "must be a list.")
        plain = [self._plain(key, value, 0) for value in found]
        reason = unstorable(plain)
        if reason:
            raise self.error(key, f"cannot be kept. {reason}")
        return plain

    def _plain(self, key: str, found: object, depth: int) -> object:
        if depth > 15:
            raise self.error(key, "is nested too deeply.")
        if isinstance(found, dict):
            return {name: self._plain(key, value, depth + 1) for name, value in found.items()}
        if isinstance(found, list):
            return [self._plain(key, value, depth + 1) for value in found]
        if isinstance(found, str):
            return self._resolved(key, found)
        if found is None or isinstance(found, bool | int) or (isinstance(found, float) and math.isfinite(found)):
            return found
        raise self.error(key, "holds a value that is neither text nor number.")

    # --- Parts ------------------------------------------------------------------------------------

    def section(self, key: str) -> Section:
        """The mapping under the key; an empty one when there is none."""
        found = self.value(key)
        if found is None:
            found = Mapped(self.line_of(key))
        if not isinstance(found, Mapped):
            raise self.error(key, "must be a mapping.")
        return Section(self.source, found, self.name_of(key))

    def sections(self, key: str) -> list[Section]:
        """The mappings in the list under the key."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, Listed):
            raise self.error(key, "must be a list.")
        return list(self._items(key, found))

    def _items(self, key: str, found: Listed) -> Iterator[Section]:
        for number, (item, line) in enumerate(zip(found, found.lines, strict=True)):
            place = f"{self.name_of(key)}[{number}]"
            if not isinstance(item, Mapped):
                raise self.source.error(line, f"{place} must be a mapping.")
            yield Section(self.source, item, place)

    def keys(self) -> list[str]:
        """All keys, asked for or not."""
        return list(self._values)

    # --- The end ----------------------------------------------------------------------------------

    def _left(self) -> list[str]:
        return [key for key in self._values if key not in self._asked]

    def warn_of_the_rest(self) -> None:
        """A warning for each key that nobody asked for."""
        for key in self._left():
            inner = self._values[key]
            names = f" ({', '.join(inner)})" if isinstance(inner, dict) and inner else ""
            self.warn(key, f"is not supported and has no effect{names}.")

    def refuse_the_rest(self) -> None:
        """A ConfigError for a key that nobody asked for: in our own sections it can only be a slip."""
        for key in self._left():
            raise self.error(key, f"is not known here; known are {', '.join(sorted(self._asked))}.")
