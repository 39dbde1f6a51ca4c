"""What of a file belongs to a start: read before Django's settings are, and handed on through the environment.

Imports nothing that needs settings.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

from gateway.config import document
from gateway.config.document import ConfigError
from gateway.config.sections import Section, Source

# Keys of general_settings, and the variables that they stand for: the first is the one that is set.
AT_START: Mapping[str, tuple[str, ...]] = {
    "master_key": ("GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY", "DHEERA_AI_MASTER_KEY"),
    "database_url": ("DATABASE_URL",),
}


def prepare_environment(arguments: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """For `manage.py serve --config FILE`: sets what the file's general_settings say and the environment does not.

    `arguments` are those after `manage.py`. Raises ConfigError.
    """
    path = named_file(arguments)
    if path:
        environment.update(start_settings(path, environment))


def named_file(arguments: Sequence[str]) -> str | None:
    """The FILE of `serve --config FILE`, None without one."""
    if not arguments or arguments[0] != "serve":
        return None
    for number, argument in enumerate(arguments):
        if argument.startswith("--config="):
            return argument.partition("=")[2] or None
        if argument == "--config":
            return arguments[number + 1] if number + 1 < len(arguments) else None
    return None


def start_settings(path: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the file sets. What the environment sets wins, also as NAME_FILE. Raises ConfigError."""
    general = Section(Source(path, environment), document.read(path), "").section("general_settings")
    found = {}
    for key, names in AT_START.items():
        if any(environment.get(name) or environment.get(f"{name}_FILE") for name in names):
            continue
        text = general.text(key, longest=4096)
        if text:
            found[names[0]] = text
    return found


def sets_master_key(path: str, environment: Mapping[str, str]) -> bool:
    """Whether the master key in this environment is the one that the file has put there. Raises ConfigError."""
    first, *_ = names = AT_START["master_key"]
    without = {name: value for name, value in environment.items() if name not in names}
    return first in environment and start_settings(path, without).get(first) == environment[first]


__all__ = ["AT_START", "ConfigError", "named_file", "prepare_environment", "sets_master_key", "start_settings"]
