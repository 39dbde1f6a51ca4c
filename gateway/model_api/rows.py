"""Finds, writes and removes the deployments that the model API is about. Every function wants a transaction."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import models

from common.errors import InvalidRequest
from gateway.config.model_list import OWN_ID, PER_SECOND
from gateway.config.naming import free_name
from gateway.config.state import revealed
from gateway.config.wanted import PRICES
from gateway.errors import DeploymentNotFound, DeploymentRefused
from upstreams import base_url
from upstreams.fields import Credential
from upstreams.models import CONFIG, Deployment, Upstream
from upstreams.sources import API, DISCOVERED

_OF_UPSTREAM = {"timeout": "total_timeout", "stream_timeout": "idle_timeout", "price_per_hour": "price_per_hour"}
_COLUMNS = ("weight", "rpm", "tpm", *PRICES)
_CLEARED = {"weight": 1}


def id_of(row: Deployment) -> str:
    """The stable `model_info.id`: the row's own, or one that the gateway gives out."""
    own = row.info.get("id") if isinstance(row.info, dict) else None
    return own if isinstance(own, str) and own else f"{OWN_ID}{row.pk}"


def find(named: str) -> Deployment:
    """The deployment of this id. Raises DeploymentNotFound."""
    rows = Deployment.objects.select_related("upstream")
    row = rows.filter(info__id=named).order_by("pk").first()
    number = named.removeprefix(OWN_ID)
    if row is None and named.startswith(OWN_ID) and number.isascii() and number.isdigit() and len(number) < 19:
        row = next((one for one in rows.filter(pk=int(number)) if id_of(one) == named), None)
    if row is None:
        raise DeploymentNotFound
    return row


def add(fields: dict[str, Any]) -> Deployment:
    """A new deployment, on the upstream of its address and credential or on a new one. Raises DeploymentRefused."""
    params, info = fields["litellm_params"], fields.get("model_info") or {}
    alias, own = fields["model_name"].strip(), info.get("id")
    if own is not None and Deployment.objects.filter(info__id=own).exists():
        raise DeploymentRefused(f"A model with the id '{own}' exists already.", param="model_info.id")
    if not params.get("api_base"):
        raise InvalidRequest("api_base: Say where the vLLM server is.", param="litellm_params.api_base")
    upstream = _upstream(params, alias)
    row = _free(upstream, alias) or Deployment(upstream=upstream)
    row.alias, row.served_name, row.info, row.source = alias, params["model"], info, API
    return _saved(row, params)


def change(row: Deployment, fields: dict[str, Any]) -> Deployment:
    """The deployment with the given fields; it moves when `api_base` or `api_key` say so. Raises DeploymentRefused."""
    refuse_others(row)
    params, before = fields.get("litellm_params") or {}, row.upstream
    alias = (fields.get("model_name") or row.alias).strip()
    if params.get("api_base") or "api_key" in params:
        # The credential stays where it was: it belongs to the old server, whoever asks.
        row.upstream = _upstream({**params, "api_base": params.get("api_base") or before.url}, alias, before)
    elif _of_upstream(params):
        _set_upstream(before, params)
    if (row.upstream_id, alias) != (before.pk, row.alias):
        taken = _free(row.upstream, alias)
        if taken is not None and taken.pk != row.pk:
            taken.delete()
    info = {**fields["model_info"], "id": id_of(row)}
    if len(info) > 1:
        row.info = info if not info["id"].startswith(OWN_ID) else {k: v for k, v in info.items() if k != "id"}
    row.alias, row.source = alias, API
    row.served_name = params.get("model") or row.served_name
    saved = _saved(row, params)
    _drop_if_unused(before)
    return saved


def remove(row: Deployment) -> None:
    """Takes the deployment away, and its upstream when the model API brought it and nothing else is on it."""
    refuse_others(row)
    upstream = row.upstream
    row.delete()
    _drop_if_unused(upstream)


def refuse_others(row: Deployment) -> None:
    """Raises DeploymentRefused for what a file keeps."""
    if row.source == CONFIG:
        raise DeploymentRefused(
            "This model is kept by the configuration file: change it there, and apply the file.", param="model_info.id"
        )


def refuse_discovered(row: Deployment) -> None:
    """Raises DeploymentRefused for what would come back by itself."""
    if row.source == DISCOVERED:
        raise DeploymentRefused(
            "This model is listed by its server and would come back: hide it in the admin.", param="model_info.id"
        )


# --- Upstreams --------------------------------------------------------------------------------------------------


def _upstream(params: dict[str, Any], alias: str, before: Upstream | None = None) -> Upstream:
    """The one of this address and credential (without a credential: of this address), or a new one.

    `before` stays the one, where it is one of those.
    """
    try:
        url = base_url.normalised(params["api_base"])
    except ValidationError as error:
        raise InvalidRequest(f"api_base: {error.messages[0]}", param="litellm_params.api_base") from error
    credential = (params.get("api_key") or "").strip()
    found = [one for one in Upstream.objects.filter(url=url).order_by("pk") if credential in {"", revealed(one)}]
    if found:
        chosen = before if before in found else found[0]
        if _of_upstream(params):
            _set_upstream(chosen, params)
        return chosen
    taken = set(Upstream.objects.values_list("name", flat=True))
    own = {_OF_UPSTREAM[name]: value for name, value in _of_upstream(params).items()}
    row = Upstream(name=free_name(alias, taken), url=url, credential=Credential(credential), source=API, **own)
    return cast("Upstream", _checked(row))


def _of_upstream(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in _OF_UPSTREAM if name in params}


def _set_upstream(upstream: Upstream, params: dict[str, Any]) -> None:
    """What is the server's, and holds for all of its models. Raises DeploymentRefused when others keep it."""
    given = _of_upstream(params)
    different = {name: value for name, value in given.items() if getattr(upstream, _OF_UPSTREAM[name]) != value}
    for name, value in different.items():
        if upstream.source != API:
            raise DeploymentRefused(
                f"The time-outs and the price of this server are kept elsewhere: leave {name} out.",
                param=f"litellm_params.{name}",
            )
        setattr(upstream, _OF_UPSTREAM[name], value)
    if different:
        upstream.save(update_fields={*map(_OF_UPSTREAM.__getitem__, different), "updated_at"})


def _drop_if_unused(upstream: Upstream) -> None:
    if upstream.source == API and not upstream.deployments.exclude(source=DISCOVERED).exists():
        upstream.delete()


# --- Deployments ------------------------------------------------------------------------------------------------


def _free(upstream: Upstream, alias: str) -> Deployment | None:
    """What the server lists under this alias by itself, which gives way. Raises DeploymentRefused when it is taken."""
    row = upstream.deployments.filter(alias=alias).first()
    if row is not None and row.source != DISCOVERED:
        raise DeploymentRefused(f"The model '{alias}' exists already on this server.")
    return row


def _saved(row: Deployment, params: dict[str, Any]) -> Deployment:
    seconds = [params[name] for name in PER_SECOND if name in params]
    if seconds:
        params = {**params, "cost_per_second": next((one for one in seconds if one is not None), None)}
    for name in _COLUMNS:
        if name in params:
            value = params[name]
            setattr(row, name, _CLEARED.get(name) if value is None else value)
    return cast("Deployment", _checked(row))


def _checked(row: models.Model) -> models.Model:
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
        row.save()
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error
    return row
