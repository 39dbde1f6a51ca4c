"""The file's own section `gateway:`, for what LiteLLM's format has no words for. A slip here is an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.config.addresses import normalised
from gateway.config.key_limits import read_limits
from gateway.config.model_list import LARGEST_WEIGHT, read_hourly_price, read_price
from gateway.config.sections import Section
from gateway.config.wanted import PRICES, AliasSpec, DeploymentSpec, KeySpec, UpstreamSpec
from keys import crypto
from keys.identity import DEFAULT_ENDPOINT_CLASSES, ENDPOINT_CLASSES
from keys.validation import HIGHEST_PRIORITY, PLAYGROUND, is_the_playgrounds
from upstreams.models import ACTIVE, DISABLED, DRAINING
from upstreams.selection import STRATEGIES

_TIMEOUTS = ("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout")
_STATES = (ACTIVE, DRAINING, DISABLED)
LARGEST_PREFIX = 1_000_000  # bytes


def read_upstreams(section: Section) -> list[UpstreamSpec]:
    """`gateway.upstreams`, with the deployments of `gateway.deployments`."""
    upstreams: dict[str, UpstreamSpec] = {}
    for one in section.sections("upstreams"):
        upstream = _upstream(one)
        if upstream.name in upstreams:
            raise one.error("name", "is the name of another upstream too.")
        if upstream.is_default and any(other.is_default for other in upstreams.values()):
            raise one.error("default", "is true for another upstream too; only one can be it.")
        upstreams[str(upstream.name)] = upstream
    for one in section.sections("deployments"):
        name, deployment = one.needed("upstream"), _deployment(one)
        if name not in upstreams:
            raise one.error("upstream", "is not the name of one of gateway.upstreams.")
        if any(other.alias == deployment.alias for other in upstreams[name].deployments):
            raise one.error("alias", "stands here twice for the same upstream.")
        upstreams[name] = replace(upstreams[name], deployments=(*upstreams[name].deployments, deployment))
    return list(upstreams.values())


def _upstream(section: Section) -> UpstreamSpec:
    times: dict[str, Any] = {name: section.seconds(name) for name in _TIMEOUTS}
    upstream = UpstreamSpec(
        name=section.needed("name", longest=100),
        url=normalised(section, "url", section.needed("url", longest=500)),
        credential=section.text("credential", longest=4096) or "",
        state=section.choice("state", _STATES),
        is_default=section.flag("default") or None,  # the mark moves only by being given to another
        max_parallel=section.whole("max_parallel", least=1),
        price_per_hour=read_hourly_price(section),
        **times,
    )
    section.refuse_the_rest()
    return upstream


def _deployment(section: Section) -> DeploymentSpec:
    alias = section.needed("alias")
    prices: dict[str, Any] = {name: read_price(section, name) for name in PRICES}
    deployment = DeploymentSpec(
        alias=alias,
        served_name=section.text("served_name", longest=200) or alias,
        weight=section.whole("weight", least=1, most=LARGEST_WEIGHT) or 1,
        hidden=section.flag("hidden") or False,
        rpm=section.whole("rpm"),
        tpm=section.whole("tpm"),
        info=section.plain("info"),
        **prices,
    )
    section.refuse_the_rest()
    return deployment


def read_aliases(section: Section) -> list[AliasSpec]:
    """`gateway.aliases`."""
    return [_alias(one) for one in section.sections("aliases")]


def _alias(section: Section) -> AliasSpec:
    alias = AliasSpec(
        name=section.needed("name"),
        stands_for=section.text("stands_for", longest=200) or "",
        strategy=section.choice("strategy", tuple(STRATEGIES)) or "",
        prefix_bytes=section.whole("prefix_bytes", most=LARGEST_PREFIX),
    )
    if alias.stands_for == alias.name:
        raise section.error("stands_for", "cannot be the alias itself.")
    section.refuse_the_rest()
    return alias


def read_routing(section: Section) -> dict[str, Any]:
    """`gateway.routing`: only what it names."""
    found = {
        "strategy": section.choice("strategy", tuple(STRATEGIES)),
        "most_attempts": section.whole("most_attempts", least=1, most=1000),
        "cooldown_seconds": section.number("cooldown_seconds", most=1e6),
        "failures_before_cooldown": section.whole("failures_before_cooldown", least=1, most=1_000_000),
        "prefix_bytes": section.whole("prefix_bytes", most=LARGEST_PREFIX),
    }
    section.refuse_the_rest()
    return {name: value for name, value in found.items() if value is not None}


def read_keys(section: Section) -> list[KeySpec]:
    """`gateway.keys`: virtual keys whose secrets the environment holds."""
    keys: dict[str, KeySpec] = {}
    for one in section.sections("keys"):
        key = _key(one)
        if key.name in keys:
            raise one.error("name", "is the name of another key too.")
        if any(key.secret == other.secret for other in keys.values()):
            raise one.error("secret", "is the secret of another key too.")
        keys[key.name] = key
    return list(keys.values())


def _key(section: Section) -> KeySpec:
    if not section.is_reference("secret"):
        raise section.error("secret", "must be os.environ/NAME: no secret stands in the file.")
    secret = section.needed("secret", longest=crypto.LONGEST_KEY)
    if not crypto.is_well_formed(secret):
        raise section.error("secret", "cannot be a virtual key: it must start with sk- and have 16 characters or more.")
    classes = section.texts("endpoint_classes")
    if not set(classes) <= set(ENDPOINT_CLASSES):
        raise section.error("endpoint_classes", f"may only have {', '.join(ENDPOINT_CLASSES)}.")
    name = section.needed("name")
    if is_the_playgrounds(name):
        raise section.error("name", f"must not begin with “{PLAYGROUND}”: such names are for the playground's keys.")
    key = KeySpec(
        name=name,
        secret=secret,
        user_id=section.text("user_id", longest=255),
        models=section.texts("models"),
        endpoint_classes=classes or DEFAULT_ENDPOINT_CLASSES,
        team_id=section.text("team_id", longest=64),
        limits=read_limits(section),
        aliases=section.plain("aliases"),
        allowed_upstreams=section.texts("allowed_upstreams"),
        priority=section.whole("priority", least=-HIGHEST_PRIORITY, most=HIGHEST_PRIORITY) or 0,
    )
    section.refuse_the_rest()
    return key
