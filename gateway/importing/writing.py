"""Carries a plan out: everything in one transaction, with the locks that keep other writers out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from django.contrib.admin.models import ADDITION, CHANGE
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from common.errors import GatewayError
from gateway.account.spending import add_spend
from gateway.config.history import record, record_each
from gateway.config.wanted import PRICES
from gateway.importing.errors import CannotImport
from gateway.importing.here import TABLES, compared, look
from gateway.importing.memory import ImportedRow
from gateway.importing.plan import ADD, Change, Plan, make_plan
from gateway.importing.wanted import END_USER, KINDS, MODEL, OWNER, TEAM, Wishes
from gateway.model_api import rows as deployments
from keys.limits import spend_counter
from keys.models import KeysVersion, Secret
from keys.spending import party_named
from upstreams.models import Deployment, UpstreamsVersion

WHO = "LiteLLM import"  # `created_by`, and the name in the history
PREFIX = "sk-"
_IDS = {TEAM: "team_id", OWNER: "user_id", END_USER: "end_user_id"}
_BATCH = 500


def plan_now(wishes: Wishes, *, overwrite: bool, now: datetime) -> Plan:
    """What would have to change now; writes nothing."""
    as_of = KeysVersion.current(), UpstreamsVersion.current()
    plan = make_plan(wishes, look(wishes), overwrite=overwrite, now=now)
    plan.as_of = as_of
    return plan


def carry_out(wishes: Wishes, shown: Plan, *, overwrite: bool, now: datetime) -> None:
    """Does what was shown; all or nothing. Raises CannotImport, also when something was changed here meanwhile."""
    if not (shown.changes or shown.remember or shown.forget):
        return
    try:
        with transaction.atomic():
            UpstreamsVersion.lock()  # one import, or one file, after the other
            plan = shown
            if shown.as_of != (KeysVersion.bump() - 1, UpstreamsVersion.current()):
                plan = plan_now(wishes, overwrite=overwrite, now=now)
            if plan.changes != shown.changes:
                raise CannotImport("The database was changed meanwhile; nothing was written. Look at the plan again.")
            _write(plan, wishes, now)
    except ValidationError as error:
        raise CannotImport(f"The database refuses this; nothing was written. {' '.join(error.messages)}") from error
    except IntegrityError as error:
        raise CannotImport("Two rows would have the same name; nothing was written.") from error


def _write(plan: Plan, wishes: Wishes, now: datetime) -> None:
    source_ids = {one.change: one.wish.source_id for one in plan.remember if one.change is not None}
    written: dict[int, Any] = {}
    for kind in KINDS:
        new = [(place, one) for place, one in enumerate(plan.changes) if one.kind == kind and one.sign == ADD]
        made = _made(kind, [one for _, one in new], [source_ids[place] for place, _ in new])
        written |= dict(zip([place for place, _ in new], made, strict=True))
        old = [(place, one) for place, one in enumerate(plan.changes) if one.kind == kind and one.sign != ADD]
        for batch in _batches(old):
            written |= _changed(kind, batch)
    _write_secrets(plan.changes, written)
    _write_spend(plan.changes, written, now)
    _write_memory(plan, wishes.source, written)


# --- Rows -------------------------------------------------------------------------------------------------------


def _made(kind: str, changes: Sequence[Change], source_ids: Sequence[str]) -> list[Any]:
    """New rows, in one statement for each batch: an import may be a hundred thousand keys."""
    if not changes:
        return []
    if kind == MODEL:
        made = [_new_model(change) for change in changes]
    else:
        table: Any = TABLES[kind]
        rows = []
        for change, source_id in zip(changes, source_ids, strict=True):
            ident = {_IDS[kind]: source_id} if kind in _IDS else {}
            row = table(**change.values, **ident, created_by=WHO)
            _check(row)
            rows.append(row)
        made = table.objects.bulk_create(rows, batch_size=_BATCH)
    for batch in _batches(made):
        record(batch, ADDITION, "Imported from LiteLLM.", WHO)
    return made


def _check(row: models.Model) -> None:
    row.full_clean(validate_unique=False, validate_constraints=False)


def _changed(kind: str, changes: Sequence[tuple[int, Change]]) -> dict[int, Any]:
    """Rows that are here already, by the places of their changes."""
    is_model = kind == MODEL
    rows = {place: _change_model(one) for place, one in changes} if is_model else _change_rows(kind, changes)
    told = ((rows[place], f"Changed by the import from LiteLLM: {', '.join(one.details)}") for place, one in changes)
    record_each(told, CHANGE, WHO)
    return rows


def _change_rows(kind: str, changes: Sequence[tuple[int, Change]]) -> dict[int, Any]:
    table: Any = TABLES[kind]
    found = table.objects.in_bulk([change.row_id for _, change in changes])
    rows = {place: found[change.row_id] for place, change in changes}
    together: dict[frozenset[str], list[Any]] = {}
    for place, change in changes:
        if change.values:
            row = rows[place]
            for name, value in {**change.values, "updated_at": timezone.now()}.items():
                setattr(row, name, value)
            _check(row)
            together.setdefault(frozenset(change.values), []).append(row)
    for names, alike in together.items():
        table.objects.bulk_update(alike, sorted({*names, "updated_at"}))
    return rows


# --- Models -----------------------------------------------------------------------------------------------------


def _new_model(change: Change) -> Deployment:
    values = change.values
    try:
        row = deployments.add(
            {
                "model_name": values["alias"],
                "litellm_params": {**_params(values), "model": values["served_name"]},
                "model_info": values["info"],
            }
        )
    except GatewayError as error:
        raise CannotImport(f"The model {change.name} cannot be taken over. {error.message}") from error
    return _hidden(row, values)


def _change_model(change: Change) -> Deployment:
    values = change.values
    row = Deployment.objects.select_related("upstream").get(pk=cast("int", change.row_id))
    params = _params(values)
    if "served_name" in values:
        params["model"] = values["served_name"]
    fields: dict[str, Any] = {"litellm_params": params, "model_info": values.get("info", row.info)}
    if "alias" in values:
        fields["model_name"] = values["alias"]
    try:
        row = deployments.change(row, fields)
    except GatewayError as error:
        raise CannotImport(f"The model {change.name} cannot be changed. {error.message}") from error
    return _hidden(row, values)


def _params(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the model API takes them. Where the address changes, the credential goes along."""
    names = {"url": "api_base", "credential": "api_key"}
    columns = ("url", "credential", "weight", "rpm", "tpm", *PRICES)
    return {names.get(name, name): values[name] for name in columns if name in values}


def _hidden(row: Deployment, values: Mapping[str, Any]) -> Deployment:
    if "hidden" in values and row.hidden != values["hidden"]:
        row.hidden = values["hidden"]
        row.save()
    return row


# --- What belongs to rows ---------------------------------------------------------------------------------------


def _write_secrets(changes: Sequence[Change], written: Mapping[int, Any]) -> None:
    dropped = [digest for change in changes for digest in change.drop]
    for batch in _batches(dropped):
        Secret.objects.filter(digest__in=batch).delete()
    for change in changes:
        for digest, ends in change.ends.items():
            Secret.objects.filter(digest=digest).update(expires_at=ends)
    new = [
        Secret(
            key=written[place],
            digest=one.digest,
            prefix=PREFIX,
            last_four=one.last_four,
            expires_at=one.expires_at,
        )
        for place, change in enumerate(changes)
        for one in reversed(change.secrets)  # the newest stands for the key
    ]
    for batch in _batches(new):
        Secret.objects.bulk_create(batch)


def _write_spend(changes: Sequence[Change], written: Mapping[int, Any], now: datetime) -> None:
    at = now.timestamp()
    spend = []
    for place, change in enumerate(changes):
        if change.spend:
            counter, seconds = spend_counter(party_named(written[place]), at)
            spend.append((counter, change.spend, seconds))
    add_spend([{"received_at": at, "spend": spend}])


def _write_memory(plan: Plan, source: str, written: Mapping[int, Any]) -> None:
    ImportedRow.objects.filter(pk__in=plan.forget).delete()
    stale = [one.memory_id for one in plan.remember if one.memory_id is not None]
    for batch in _batches(stale):
        ImportedRow.objects.filter(pk__in=batch).delete()
    at = timezone.now()
    rows = [
        ImportedRow(
            source=source,
            kind=one.wish.kind,
            source_id=one.wish.source_id,
            row_id=cast("int", one.row_id if one.change is None else written[one.change].pk),
            values=compared(one.wish.values),
            digests=[secret.digest for secret in one.wish.secrets],
            spend=one.wish.spent.units,
            resets_at=one.wish.spent.resets_at,
            imported_at=at,
        )
        for one in plan.remember
    ]
    for batch in _batches(rows):
        ImportedRow.objects.bulk_create(batch)


def _batches(values: Iterable[Any]) -> Iterable[list[Any]]:
    every = list(values)
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
