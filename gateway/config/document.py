"""YAML as plain values that remember their lines. Refuses duplicate keys, and all that is not plain data."""

from __future__ import annotations

from typing import Any

import yaml

LONGEST_FILE = 10_000_000  # bytes


class ConfigError(Exception):
    """The file cannot be applied as it is. One sentence that names the place; never a value that may be secret."""


class Mapped(dict[str, Any]):
    """A mapping of the file. `lines` holds the line of each key, from 1; `line` its own."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Listed(list[Any]):
    """A list of the file. `lines` holds the line of each item, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class _Wrong(yaml.MarkedYAMLError):
    """What we refuse where YAML would not."""


class _Loader(yaml.SafeLoader):
    """Knows plain data only. A time stays the text that it is written as: JSON, where it ends, has none."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Mapped:
    _refuse_duplicates(node)
    loader.flatten_mapping(node)  # `<<: *anchor`, whose keys come first
    found = Mapped(node.start_mark.line + 1)
    for key_node, value_node in node.value:
        key = _key(key_node)
        found[key] = loader.construct_object(value_node, deep=True)
        found.lines[key] = key_node.start_mark.line + 1
    return found


def _refuse_duplicates(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = _key(key_node)
        if key in seen:
            raise _Wrong(problem=f"the key {key} stands here twice", problem_mark=key_node.start_mark)
        seen.add(key)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Wrong(problem="a key must be plain text", problem_mark=node.start_mark)
    return str(node.value)


def _list(loader: _Loader, node: yaml.SequenceNode) -> Listed:
    found = Listed()
    for item in node.value:
        found.append(loader.construct_object(item, deep=True))
        found.lines.append(item.start_mark.line + 1)
    return found


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _list)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def parse(text: str, name: str) -> Mapped:
    """The file's top mapping; an empty file is an empty one. `name` is for messages. Raises ConfigError."""
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader that refuses more
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}, line {mark.line + 1}" if mark else name
        raise ConfigError(f"{place}: {_sentence(error.problem or error.context or 'it is not YAML')}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}, line {line}: There is a character that YAML does not allow.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: It is not valid YAML.") from error
    if found is None:
        return Mapped(1)
    if not isinstance(found, Mapped):
        raise ConfigError(f"{name}, line 1: The file must hold keys such as model_list.")
    return found


def _sentence(problem: str) -> str:
    words = " ".join(problem.split())
    return f"{words[:1].upper()}{words[1:]}."


def read(path: str) -> Mapped:
    """The top mapping of the file. Raises ConfigError."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as the person wrote it, "-" and all
            raw = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > LONGEST_FILE:
        raise ConfigError(f"{path} is larger than {LONGEST_FILE // 1_000_000} MB.")
    try:
        return parse(raw.decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
