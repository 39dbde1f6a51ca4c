"""LiteLLM's `model_list`: each row is a deployment; rows of one address and one credential share an upstream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from gateway.config.addresses import normalised
from gateway.config.sections import Section, Source
from gateway.config.wanted import PRICES, DeploymentSpec, UpstreamSpec, hourly_price, price

PARAMS = ("litellm_params", "dheera_ai_params")
PROVIDERS = ("hosted_vllm", "vllm", "openai")
OWN_ID = "deployment-"  # what the ids begin with that the gateway gives out itself
_BASES = ("HOSTED_VLLM_API_BASE", "VLLM_API_BASE")
_CREDENTIALS = ("HOSTED_VLLM_API_KEY", "VLLM_API_KEY")
LARGEST_WEIGHT = 1_000_000
LARGEST_PRICE = 9_999_999  # US dollars, for whatever
PER_SECOND = ("cost_per_second", "input_cost_per_second", "output_cost_per_second")
"""LiteLLM's names for the price of a second of a call; of several the first one holds, as there."""


@dataclass(slots=True)
class Row:
    """One row of the list, understood."""

    section: Section
    params: Section
    url: str
    credential: str = field(repr=False)
    model_name: str
    served_name: str
    weight: float | None
    timeout: float | None
    stream_timeout: float | None
    price_per_hour: Decimal | None
    rest: dict[str, Any]


def read_rows(root: Section) -> list[Row]:
    """The rows of `model_list`. Raises ConfigError for one that cannot be served."""
    rows = [_row(section) for section in root.sections("model_list")]
    _refuse_twins(rows)
    return rows


def _row(section: Section) -> Row:
    params = section.section(_params_key(section))
    served_name, provider = _model(params)
    url = _url(params, provider)
    row = Row(
        section=section,
        params=params,
        url=url,
        credential=params.text("api_key", longest=4096) or _default_credential(section.source, url),
        model_name=section.needed("model_name"),
        served_name=served_name,
        weight=params.number("weight", least=0.01, most=LARGEST_WEIGHT),
        timeout=params.seconds("timeout"),
        stream_timeout=params.seconds("stream_timeout"),
        price_per_hour=read_hourly_price(params),
        rest={
            "rpm": params.whole("rpm"),
            "tpm": params.whole("tpm"),
            **{name: read_price(params, name) for name in PRICES},
            "cost_per_second": _price_of_a_second(params),
            "info": section.plain("model_info"),
        },
    )
    _warn_of_prices(section.section("model_info"))
    params.warn_of_the_rest()
    section.warn_of_the_rest()
    return row


def _params_key(section: Section) -> str:
    given = [key for key in PARAMS if key in section]
    if len(given) > 1:
        raise section.error(given[1], f"stands beside {given[0]}; only one of them can hold.")
    if not given:
        raise section.error(PARAMS[0], "is missing.")
    return given[0]


def read_price(section: Section, key: str) -> Decimal | None:
    """US dollars for one token, second or call."""
    return price(section.number(key, most=LARGEST_PRICE))


def read_hourly_price(section: Section) -> Decimal | None:
    """US dollars for an hour of the server."""
    return hourly_price(section.number("price_per_hour", most=LARGEST_PRICE))


def _price_of_a_second(params: Section) -> Decimal | None:
    found = {name: value for name in PER_SECOND if (value := read_price(params, name)) is not None}
    for name in list(found)[1:]:
        params.warn(name, f"has no effect: {next(iter(found))} stands beside it.")
    return next(iter(found.values()), None)


def _warn_of_prices(info: Section) -> None:
    """LiteLLM's own lists put zeros there, which nobody has set."""
    for name in (*PRICES, *PER_SECOND[1:]):
        if name in info:
            info.warn(name, f"is kept and has no effect: a price stands in {PARAMS[0]}.")


def _model(params: Section) -> tuple[str, str]:
    """The served name and the provider."""
    model = params.needed("model", longest=250)
    provider = params.text("custom_llm_provider")
    prefix, slash, name = model.partition("/")
    if slash and name and prefix in PROVIDERS and provider in (None, prefix):
        return name, prefix
    if provider in PROVIDERS:
        return model, provider
    raise params.error(
        "model",
        "cannot be served: it must be hosted_vllm/NAME or vllm/NAME, or openai/NAME with api_base; "
        "this gateway stands in front of vLLM servers only.",
    )


def _url(params: Section, provider: str) -> str:
    given = params.text("api_base")
    environment = params.source.environment
    if given is None and provider == "openai":
        raise params.error("model", "needs an api_base: without one openai/NAME is not a vLLM server.")
    address = given or next((environment[name] for name in _BASES if environment.get(name)), None)
    if address is None:
        raise params.error("api_base", f"is missing, and {_BASES[0]} is not set.")
    return normalised(params, "api_base", address)


def _default_credential(source: Source, url: str) -> str:
    """The environment's credential, for the environment's server and no other."""
    environment = source.environment
    base = next((environment[name] for name in _BASES if environment.get(name)), "")
    if base.strip().rstrip("/").removesuffix("/v1").rstrip("/").lower() != url.lower():
        return ""
    return next((environment[name].strip() for name in _CREDENTIALS if environment.get(name)), "")


def _refuse_twins(rows: Sequence[Row]) -> None:
    seen: set[tuple[str, str, str]] = set()
    ids: set[str] = set()
    for row in rows:
        identity = (row.url, row.credential, row.model_name)
        if identity in seen:
            raise row.section.error("model_name", "stands in the list twice for the same server.")
        seen.add(identity)
        own = row.rest["info"].get("id")
        if own is None:
            continue
        if not isinstance(own, str) or not 0 < len(own) <= 200 or own.startswith(OWN_ID) or own in ids:
            raise row.section.error(
                "model_info",
                f"has an id that cannot be used: it must be a text that no other row has, without {OWN_ID}.",
            )
        ids.add(own)


# --- Rows as upstreams ------------------------------------------------------------------------------------------


def add_rows(upstreams: list[UpstreamSpec], rows: Sequence[Row]) -> list[UpstreamSpec]:
    """The upstreams with the rows' deployments; a row whose server is not among them brings a new one."""
    found = list(upstreams)
    own = len(found)  # those before were written out: their time-outs are not for rows to say
    factor = _weight_factors(rows)
    for row in rows:
        number = next(
            (n for n, one in enumerate(found) if (one.url, one.credential) == (row.url, row.credential)), None
        )
        if number is None:
            number = len(found)
            found.append(UpstreamSpec(url=row.url, credential=row.credential))
        if any(one.alias == row.model_name for one in found[number].deployments):
            raise row.section.error("model_name", "stands in gateway.deployments too, for the same server.")
        deployment = DeploymentSpec(
            alias=row.model_name,
            served_name=row.served_name,
            weight=max(1, round((1 if row.weight is None else row.weight) * factor[row.model_name])),
            **row.rest,
        )
        found[number] = replace(found[number], deployments=(*found[number].deployments, deployment))
        found[number] = _with_the_server_s(found[number], row, is_new=number >= own)
    return found


def _weight_factors(rows: Sequence[Row]) -> dict[str, int]:
    """100 for a model with a fraction among its weights: whole numbers with the same proportions are kept."""
    factors: dict[str, int] = {}
    for row in rows:
        fraction = row.weight is not None and row.weight != int(row.weight)
        factors[row.model_name] = max(100 if fraction else 1, factors.get(row.model_name, 1))
    return factors


def _with_the_server_s(upstream: UpstreamSpec, row: Row, *, is_new: bool) -> UpstreamSpec:
    """LiteLLM gives each row times of its own; here they are the server's, as its price is, and the greatest holds."""
    for key, column, most, given in (
        ("timeout", "total_timeout", "longest", row.timeout),
        ("stream_timeout", "idle_timeout", "longest", row.stream_timeout),
        ("price_per_hour", "price_per_hour", "highest", row.price_per_hour),
    ):
        if given is None:
            continue
        before = getattr(upstream, column)
        if not is_new:
            row.params.warn(key, "has no effect: gateway.upstreams has this server, its times and its price.")
        elif before is not None and before != given:
            row.params.warn(
                key, f"is not that of another row of this server; the {most}, {float(max(before, given)):g}, holds."
            )
        if is_new:
            values: dict[str, Any] = {column: max(given, before or 0)}
            upstream = replace(upstream, **values)
    return upstream
