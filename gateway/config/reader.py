"""From the text of a file to what should be there. Asks no database: the same text says the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import document
from gateway.config.document import ConfigError, Mapped
from gateway.config.model_list import add_rows, read_rows
from gateway.config.own_keys import read_aliases, read_keys, read_routing, read_upstreams
from gateway.config.router import read_general, read_router
from gateway.config.sections import Section, Source
from gateway.config.wanted import AliasSpec, UpstreamSpec, Wanted


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file, understood: what should be there, and a sentence for each thing that it says in vain.

    `has_start_settings`: it also has settings that only `serve --config` reads.
    """

    wanted: Wanted
    warnings: tuple[str, ...]
    has_start_settings: bool


def read_file(path: str, environment: Mapping[str, str]) -> Configuration:
    """Raises ConfigError with one sentence."""
    return _configuration(document.read(path), path, environment)


def read_text(text: str, environment: Mapping[str, str], name: str = "config.yaml") -> Configuration:
    """Raises ConfigError with one sentence."""
    return _configuration(document.parse(text, name), name, environment)


def _configuration(values: Mapped, name: str, environment: Mapping[str, str]) -> Configuration:
    source = Source(name, environment)
    root = Section(source, values, "")
    own = root.section("gateway")
    routing, aliases = read_router(root.section("router_settings"))
    has_start_settings = read_general(root.section("general_settings"))
    upstreams = add_rows(read_upstreams(own), read_rows(root))
    _refuse_second_ids(root, upstreams)
    wanted = Wanted(
        upstreams=tuple(upstreams),
        aliases=tuple(_merged(own, aliases)),
        routing={**routing, **read_routing(own.section("routing"))},
        keys=tuple(read_keys(own)),
    )
    own.refuse_the_rest()
    root.warn_of_the_rest()
    return Configuration(wanted, source.warnings(), has_start_settings)


def _merged(own: Section, first: list[AliasSpec]) -> list[AliasSpec]:
    found = {alias.name: alias for alias in first}
    for alias in read_aliases(own):
        if alias.name in found:
            raise own.error("aliases", f"says {alias.name} twice, or router_settings.model_group_alias has it too.")
        found[alias.name] = alias
    return list(found.values())


def _refuse_second_ids(root: Section, upstreams: list[UpstreamSpec]) -> None:
    seen: set[str] = set()
    for deployment in (one for upstream in upstreams for one in upstream.deployments):
        own = deployment.info.get("id")
        if own is not None and own in seen:
            raise root.error("model_list", "and gateway.deployments have the same id twice.")
        seen.add(str(own))


__all__ = ["ConfigError", "Configuration", "read_file", "read_text"]
