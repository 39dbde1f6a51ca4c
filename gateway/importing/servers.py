"""The models that LiteLLM keeps in its database, as deployments here. Pure: rows in, wishes out.

Their parameters are encrypted with LiteLLM's salt key. What does not open is not guessed: the model is not taken over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from gateway.config.model_list import LARGEST_PRICE, LARGEST_WEIGHT, OWN_ID, PER_SECOND, PROVIDERS
from gateway.config.sections import REFERENCE
from gateway.config.wanted import PRICES, price
from gateway.importing import reading
from gateway.importing.columns import Row, as_object
from gateway.importing.reading import Tables
from gateway.importing.sealed import Sealed, opened
from gateway.importing.wanted import MODEL, Note, Refused, Wanted, Wishes, printable
from keys.storable import unstorable
from keys.validation import LARGEST_INTEGER
from upstreams import base_url

LONGEST_NAME, LONGEST_CREDENTIAL = 200, 4096
_KNOWN = {
    *("model", "custom_llm_provider", "api_base", "api_key", "weight", "rpm", "tpm", "litellm_credential_name"),
    *PRICES,
    *PER_SECOND,
}
# What goes without saying here, or is LiteLLM's own.
_MOOT = {"use_in_pass_through", "use_litellm_proxy", "merge_reasoning_content_in_choices", "model_info"}
_INFO = ("mode", "base_model", "access_groups", "max_tokens", "max_input_tokens", "max_output_tokens")


class _CannotServe(Exception):
    """The row cannot be a deployment; one sentence."""


def read_models(tables: Tables, salt_key: str | None, wishes: Wishes) -> None:
    """Adds the models to the wishes."""
    credentials = {row.get("credential_name"): row for row in tables.of(reading.CREDENTIALS)}
    factors = _weight_factors(tables.of(reading.MODELS))
    for row in tables.of(reading.MODELS):
        ident, name = str(row.get("model_id") or ""), printable(row.get("model_name") or "?")
        try:
            wishes.rows.append(_model(row, ident, name, credentials, factors, salt_key, wishes))
        except Sealed:
            why = "there is no salt key" if salt_key is None else "the salt key does not open them"
            wishes.refused.append(Refused(MODEL, ident, name, f"its values are encrypted, and {why}."))
        except _CannotServe as error:
            wishes.refused.append(Refused(MODEL, ident, name, str(error)))


def _model(
    row: Row,
    ident: str,
    name: str,
    credentials: Mapping[Any, Row],
    factors: Mapping[str, int],
    salt_key: str | None,
    wishes: Wishes,
) -> Wanted:
    info = as_object(row.get("model_info"))
    alias = row.get("model_name") or ""
    _refuse_strange(ident, alias, info)
    params = _open_all(as_object(row.get("litellm_params")), salt_key)
    params = {**_from_credential(params, credentials, salt_key), **params}
    for text in sorted(params.keys() - _KNOWN - _MOOT):
        wishes.notes.append(Note(MODEL, name, f"{printable(text)} has no effect here."))
    second = next((params[one] for one in PER_SECOND if one in params), None)
    values = {
        "alias": alias.strip(),
        "served_name": _served_name(params),
        "url": _url(params),
        "credential": _text(params, "api_key", LONGEST_CREDENTIAL),
        "weight": _weight(params.get("weight"), factors.get(alias, 1)),
        "rpm": _whole(params.get("rpm")),
        "tpm": _whole(params.get("tpm")),
        "hidden": bool(row.get("blocked")),
        "info": {"id": ident, **{one: info[one] for one in _INFO if info.get(one) and unstorable(info[one]) is None}},
        **{name: _price(params.get(name)) for name in PRICES},
        "cost_per_second": _price(second),
    }
    return Wanted(kind=MODEL, source_id=ident, name=name, values=values)


def _refuse_strange(ident: str, alias: str, info: Mapping[str, Any]) -> None:
    if not 0 < len(ident) <= LONGEST_NAME or ident.startswith(OWN_ID):
        raise _CannotServe("its id cannot be used here.")
    if not 0 < len(alias.strip()) <= LONGEST_NAME or unstorable(alias) is not None:
        raise _CannotServe(f"its name must have 1 to {LONGEST_NAME} characters here.")
    if info.get("team_id"):
        raise _CannotServe("it is for one team; here that team's list of models says so.")


def _open_all(stored: Mapping[str, Any], salt_key: str | None) -> dict[str, Any]:
    """The parameters in plain text, without those that are empty. Raises Sealed."""
    plain = {name: opened(value, salt_key) if isinstance(value, str) else value for name, value in stored.items()}
    return {name: value for name, value in plain.items() if value not in (None, "", False, [], {})}


def _from_credential(
    params: Mapping[str, Any], credentials: Mapping[Any, Row], salt_key: str | None
) -> Mapping[str, Any]:
    """Address and credential that LiteLLM keeps once for several models. Raises Sealed."""
    named = params.get("litellm_credential_name")
    if named is None:
        return {}
    if named not in credentials:
        raise _CannotServe("its credential is not in LiteLLM's database.")
    values = _open_all(as_object(credentials[named].get("credential_values")), salt_key)
    return {name: values[name] for name in ("api_base", "api_key") if name in values}


def _text(params: Mapping[str, Any], name: str, longest: int) -> str:
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise _CannotServe(f"its {name} cannot be used.")
    if value.startswith(REFERENCE):
        raise _CannotServe(f"its {name} stands in LiteLLM's environment, which is not read.")
    return value.strip()


def _served_name(params: Mapping[str, Any]) -> str:
    model = _text(params, "model", LONGEST_NAME + 20)
    provider, slash, name = model.partition("/")
    given = params.get("custom_llm_provider")
    if slash and name and provider in PROVIDERS and given in (None, provider):
        found = name
    elif given in PROVIDERS:
        found = model
    else:
        raise _CannotServe("it is not a vLLM server's: this gateway stands in front of vLLM only.")
    if not 0 < len(found) <= LONGEST_NAME:
        raise _CannotServe("the name that its server knows it by cannot be used.")
    return found


def _url(params: Mapping[str, Any]) -> str:
    address = _text(params, "api_base", 500)
    if not address:
        raise _CannotServe("it has no api_base, so nothing says where its server is.")
    try:
        return base_url.normalised(address)
    except ValidationError as error:
        raise _CannotServe("its api_base cannot be used.") from error


def _number(value: object) -> float | None:
    """A number, which LiteLLM's parameters may hold as a text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _price(value: object) -> Decimal | None:
    number = _number(value)
    return None if number is None else price(min(number, LARGEST_PRICE))


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else min(LARGEST_INTEGER, int(number))


def _weight(value: object, factor: int) -> int:
    number = _number(value)
    return min(LARGEST_WEIGHT, max(1, round((1.0 if number is None else number) * factor)))


def _weight_factors(rows: Iterable[Row]) -> dict[str, int]:
    """100 for a model with a fraction among its weights: whole numbers with the same proportions are kept."""
    factors: dict[str, int] = {}
    for row in rows:
        number = _number(as_object(row.get("litellm_params")).get("weight"))
        if number is not None and number != int(number):
            factors[row.get("model_name") or ""] = 100
    return factors
