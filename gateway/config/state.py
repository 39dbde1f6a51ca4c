"""What the database has, in the words of a file: rows of three apps as values."""

from __future__ import annotations

from gateway.config.key_limits import LIMITS
from gateway.config.plan import State, Stored, StoredKey, StoredUpstream
from gateway.config.wanted import AliasSpec, DeploymentSpec, KeySpec, UpstreamSpec, hourly_price, price
from keys.models import VirtualKey
from upstreams.errors import CredentialUnreadable
from upstreams.models import Deployment, ModelAlias, Routing, Upstream

OF_THE_FILE = "configuration file"  # `created_by` of a key that a file brought
UNREADABLE = "\0"  # a credential that no encryption key fits: equal to none that a file can say
ROUTING_COLUMNS = ("strategy", "most_attempts", "cooldown_seconds", "failures_before_cooldown", "prefix_bytes")


def current_state() -> State:
    """Everything that a file can speak of. Exact in a transaction that holds the locks."""
    return State(
        upstreams=tuple(map(_upstream, Upstream.objects.order_by("pk").prefetch_related("deployments"))),
        aliases=tuple(map(_alias, ModelAlias.objects.order_by("pk"))),
        routing=routing_values(Routing.current()),
        keys=tuple(_key(key) for key in VirtualKey.objects.exclude(name=None).prefetch_related("secrets")),
    )


def _upstream(row: Upstream) -> StoredUpstream:
    spec = UpstreamSpec(
        name=row.name,
        url=row.url,
        credential=revealed(row),
        state=row.state,
        is_default=row.is_default,
        max_parallel=row.max_parallel,
        connect_timeout=row.connect_timeout,
        first_byte_timeout=row.first_byte_timeout,
        idle_timeout=row.idle_timeout,
        total_timeout=row.total_timeout,
        price_per_hour=hourly_price(row.price_per_hour),
    )
    return StoredUpstream(row.pk, row.source, spec, tuple(map(_deployment, row.deployments.all())))


def revealed(row: Upstream) -> str:
    """The credential in plain text; UNREADABLE when the encryption keys do not fit it."""
    try:
        return row.credential.reveal()
    except CredentialUnreadable:
        return UNREADABLE


def _deployment(row: Deployment) -> Stored[DeploymentSpec]:
    spec = DeploymentSpec(
        alias=row.alias,
        served_name=row.served_name,
        weight=row.weight,
        hidden=row.hidden,
        input_cost_per_token=price(row.input_cost_per_token),
        output_cost_per_token=price(row.output_cost_per_token),
        cache_read_input_token_cost=price(row.cache_read_input_token_cost),
        cost_per_second=price(row.cost_per_second),
        cost_per_request=price(row.cost_per_request),
        rpm=row.rpm,
        tpm=row.tpm,
        info=row.info,
    )
    return Stored(row.pk, row.source, spec)


def _alias(row: ModelAlias) -> Stored[AliasSpec]:
    spec = AliasSpec(
        name=row.name, stands_for=row.stands_for, strategy=row.strategy, prefix_bytes=row.prefix_bytes
    )  # fmt: skip
    return Stored(row.pk, row.source, spec)


def routing_values(row: Routing) -> dict[str, object]:
    """The routing's columns that a file can name."""
    return {name: getattr(row, name) for name in ROUTING_COLUMNS}


def _key(row: VirtualKey) -> StoredKey:
    spec = KeySpec(
        name=str(row.name),
        secret="",
        user_id=row.user_id,
        models=tuple(row.models),
        endpoint_classes=tuple(row.endpoint_classes),
        team_id=row.team_id,
        limits={name: getattr(row, name) for name in LIMITS},
        aliases=row.aliases,
        allowed_upstreams=tuple(row.allowed_upstreams),
        priority=row.priority,
    )
    digests = frozenset(secret.digest for secret in row.secrets.all())
    return StoredKey(row.pk, is_of_the_file=row.created_by == OF_THE_FILE, spec=spec, digests=digests)
