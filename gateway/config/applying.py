"""Carries a plan out: everything in one transaction, with the locks that keep other writers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from common.errors import GatewayError
from gateway.config import plan as words
from gateway.config.document import ConfigError
from gateway.config.history import record
from gateway.config.plan import Change, Plan, make_plan
from gateway.config.state import OF_THE_FILE, current_state
from gateway.config.wanted import Wanted
from keys.models import Secret, VirtualKey
from upstreams.fields import Credential
from upstreams.models import CONFIG, Deployment, ModelAlias, Routing, Upstream, UpstreamsVersion

_FLAGS = {words.ADD: (ADDITION, "Added"), words.CHANGE: (CHANGE, "Changed"), words.REMOVE: (DELETION, "Removed")}


class PlanChanged(ConfigError):
    """The database is not any more what it was when the plan was shown."""


def plan_now(wanted: Wanted) -> Plan:
    """What would have to change now. Raises ConfigError."""
    return make_plan(current_state(), wanted)


def apply(wanted: Wanted, *, shown: Plan | None = None) -> Plan:
    """Makes the database say what the file says; all or nothing. Returns what was done.

    `shown` is the plan that a person has agreed to. Raises PlanChanged when it is not what would be done now, and
    ConfigError when a row cannot be what the file wants.
    """
    try:
        with transaction.atomic():
            UpstreamsVersion.lock()  # one node after the other, for keys as well
            plan = plan_now(wanted)
            if shown is not None and plan.changes != shown.changes:
                raise PlanChanged("The database was changed meanwhile; nothing was applied. Look at the plan again.")
            for change in plan.changes:
                _carry_out(change)
    except ValidationError as error:
        raise ConfigError(f"The database refuses this: {' '.join(error.messages)}") from error
    except IntegrityError as error:
        raise ConfigError("Two rows would have the same name; nothing was applied.") from error
    return plan


def _carry_out(change: Change) -> None:
    action, word = _FLAGS[change.action]
    try:
        row = _WRITERS[change.table](change)
    except (ValidationError, GatewayError) as error:
        reason = " ".join(error.messages) if isinstance(error, ValidationError) else error.message
        raise ConfigError(f"The {change.table} {change.name} cannot be as the file says. {reason}") from error
    record([row], action, f"{word} by the configuration file: {change}"[:1000], OF_THE_FILE)


def _id(change: Change) -> int:
    return cast("int", change.id)


def _upstream(change: Change) -> models.Model:
    values = dict(change.values)
    if change.action == words.REMOVE:
        return _removed(Upstream.objects.get(pk=_id(change)))
    row = Upstream(source=CONFIG) if change.id is None else Upstream.objects.get(pk=_id(change))
    if "url" in values and change.id is not None:
        # A new address clears the credential unless it is given too; the file has said that it belongs there.
        values.setdefault("credential", row.credential.reveal())
    if "credential" in values:
        values["credential"] = Credential(values["credential"])
    return _written(row, values)


def _deployment(change: Change) -> models.Model:
    if change.action == words.REMOVE:
        return _removed(Deployment.objects.get(pk=_id(change)))
    if change.id is None:
        row = Deployment(upstream=Upstream.objects.get(name=change.upstream))
    else:
        row = Deployment.objects.get(pk=_id(change))
    return _written(row, {**change.values, "source": CONFIG})


def _alias(change: Change) -> models.Model:
    if change.action == words.REMOVE:
        return _removed(ModelAlias.objects.get(pk=_id(change)))
    row = ModelAlias(source=CONFIG) if change.id is None else ModelAlias.objects.get(pk=_id(change))
    return _written(row, change.values)


def _routing(change: Change) -> models.Model:
    return _written(Routing.current(), change.values)


def _key(change: Change) -> models.Model:
    values: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in change.values.items()
    }
    if change.id is None:
        secret = values.pop("secret")
        VirtualKey(**values).full_clean(validate_unique=False)
        key, _ = VirtualKey.objects.issue(created_by=OF_THE_FILE, secret=secret, **values)
        return cast("models.Model", key)
    key = VirtualKey.objects.get(pk=_id(change))
    if change.action == words.REMOVE:
        return _removed(key)
    new_secret = values.pop("secret", None)
    if new_secret is not None:
        _replace_secret(key, new_secret)
    return _written(key, values)


def _replace_secret(key: VirtualKey, plain: str) -> None:
    """The old ones are refused at once: the file says which secret the key has."""
    Secret.objects.ensure_free(plain)
    key.secrets.all().delete()
    key.add_secret(plain)


def _written(row: models.Model, values: Mapping[str, Any]) -> models.Model:
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean(validate_unique=False, validate_constraints=False)
    if row.pk is None or isinstance(row, Routing):
        row.save()
    else:
        stamp = {"updated_at"} if hasattr(row, "updated_at") else set()
        row.save(update_fields={*values, *stamp})  # what the prober noted meanwhile stays
    return row


def _removed(row: models.Model) -> models.Model:
    pk = row.pk
    row.delete()
    row.pk = pk  # the history names it
    return row


_WRITERS: Mapping[str, Callable[[Change], models.Model]] = {
    words.UPSTREAM: _upstream,
    words.DEPLOYMENT: _deployment,
    words.ALIAS: _alias,
    words.ROUTING: _routing,
    words.KEY: _key,
}
