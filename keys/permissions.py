"""What a known caller may use and manage. Knows no request and no route.

The endpoint classes are inference, monitoring (health, metrics, versions, models) and server control (sleep, LoRA,
weights, caches …); which route has which class is the gateway's business.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from keys.errors import (
    AddressDenied,
    EndpointClassDenied,
    EndUserBlocked,
    HolderBlocked,
    ManagementKeyDenied,
    ManagementRefused,
    ModelDenied,
    RouteDenied,
    UpstreamDenied,
)
from keys.identity import ENDPOINT_CLASSES, INFERENCE, MANAGEMENT, MASTER, MONITORING, SERVER_CONTROL, Identity, Party
from keys.patterns import matches

__all__ = [
    "ENDPOINT_CLASSES",
    "INFERENCE",
    "MONITORING",
    "SERVER_CONTROL",
    "check_address",
    "check_class",
    "check_manager",
    "check_manages",
    "check_model",
    "check_parties",
    "check_route",
    "check_served",
    "check_upstream",
    "is_manager",
    "may_use_any",
    "may_use_model",
    "resolve_alias",
]


def check_class(identity: Identity, endpoint_class: str) -> None:
    """Raises EndpointClassDenied unless the key has the class."""
    if endpoint_class not in identity.endpoint_classes:
        raise EndpointClassDenied(endpoint_class, is_management=identity.key_type == MANAGEMENT)


def check_route(identity: Identity, path: str, groups: Iterable[str]) -> None:
    """Raises RouteDenied unless the key's routes hold the path as it was asked for, or one of its groups."""
    allowed = identity.allowed_routes
    if allowed and not any(one in groups or matches(one, path) for one in allowed):
        raise RouteDenied(allowed, path)


def check_address(identity: Identity, address: str) -> None:
    """Raises AddressDenied unless the address is in one of the key's networks."""
    if not identity.networks:
        return
    try:
        caller = ip_address(address)
    except ValueError:
        raise AddressDenied from None
    mapped = getattr(caller, "ipv4_mapped", None)
    if not any(one in network for network in identity.networks for one in (caller, mapped) if one is not None):
        raise AddressDenied


def check_parties(parties: Iterable[Party], model: str | None) -> None:
    """Raises HolderBlocked, EndUserBlocked, or ModelDenied where the list of one does not hold the model.

    The key's own list is not looked at: `check_model` knows its aliases.
    """
    for party in parties:
        if party.kind == "key":
            continue
        if party.blocked:
            raise EndUserBlocked(party.ident) if party.kind == "end_user" else HolderBlocked(party.kind, party.label)
        if party.models and model is not None and not any(matches(pattern, model) for pattern in party.models):
            raise ModelDenied(model or None, party.kind)


def check_model(identity: Identity, model: str | None) -> None:
    """Raises ModelDenied unless the key may use the model. None is a call whose model cannot be told."""
    if identity.models and (model is None or not may_use_model(identity, model)):
        raise ModelDenied(model)


def check_served(identity: Identity, model: str | None) -> None:
    """As `check_model`, of the model that answers a call which names none: the key's own names do not count."""
    if identity.models and (model is None or not _is_listed(identity, {model})):
        raise ModelDenied(model)


def may_use_model(identity: Identity, model: str) -> bool:
    """Whether the key may use the model: its list allows the name, or what that stands for. Without a list: all."""
    return not identity.models or _is_listed(identity, {model, resolve_alias(identity, model)})


def resolve_alias(identity: Identity, model: str) -> str:
    """The model that a name of the key's own stands for; all other names are what they are."""
    return identity.aliases.get(model, model)


def check_upstream(identity: Identity, name: str) -> None:
    """Raises UpstreamDenied unless calls with the key may name this upstream."""
    if not any(matches(pattern, name) for pattern in identity.allowed_upstreams):
        raise UpstreamDenied


def is_manager(identity: Identity) -> bool:
    """Whether the caller may use the management routes: it holds the master key or a management key."""
    return identity is MASTER or identity.key_type == MANAGEMENT


def check_manager(identity: Identity) -> None:
    """Raises ManagementRefused unless the caller may use the management routes."""
    if not is_manager(identity):
        raise ManagementRefused


def check_manages(identity: Identity, key_types: Iterable[str]) -> None:
    """Raises ManagementKeyDenied unless the manager may manage such keys: management keys, the master only."""
    if identity is not MASTER and MANAGEMENT in key_types:
        raise ManagementKeyDenied


def may_use_any(identity: Identity, models: Iterable[str]) -> bool:
    """Whether the key may use at least one of the models."""
    return any(may_use_model(identity, model) for model in models)


def _is_listed(identity: Identity, names: Iterable[str]) -> bool:
    return any(matches(pattern, name) for pattern in identity.models for name in names)
