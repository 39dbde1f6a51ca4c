"""LiteLLM's keys, teams, users and customers as rows of ours. Pure: rows in, wishes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from gateway.importing import reading
from gateway.importing.columns import NO_MODELS, Row, as_object, limit_columns, moment, spent
from gateway.importing.reading import Tables
from gateway.importing.wanted import END_USER, KEY, OWNER, TEAM, Note, OldSecret, Refused, Wanted, Wishes, printable
from keys import crypto
from keys.identity import DEFAULT, LLM_API
from keys.limit_values import ROUTE_GROUPS
from keys.storable import unstorable
from keys.validation import is_the_playgrounds

IMPORTED = "imported "
LONGEST_NAME, LONGEST_KEY_OWNER, LONGEST_ALIASES = 255, 128, 1_000
_LONGEST_ID = {TEAM: 64, OWNER: 128, END_USER: 128}

# Of LiteLLM's own: the keys of people who are signed in to its pages, and the row with the budget of all.
PAGES_TEAM, BUDGET_OF_ALL = "litellm-dashboard", "litellm-proxy-budget"
_MANAGES = {"management", "management_routes", "read_only", "info_routes"}


@dataclass(slots=True)
class _Reader:
    tables: Tables
    now: datetime
    wishes: Wishes
    budgets: Mapping[str, Row] = field(default_factory=dict)
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    personal_lists: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)

    def budget(self, row: Row) -> Row | None:
        return self.budgets.get(row.get("budget_id") or "")

    def add(self, kind: str, ident: str, name: str, row: Row, values: Mapping[str, Any]) -> Wanted:
        note = partial(self.say, kind, name)
        columns = limit_columns(row, note, self.groups, self.budget(row))
        return Wanted(
            kind=kind,
            source_id=ident,
            name=name,
            values={**columns, **values},
            spent=spent(row, self.budget(row)),
        )

    def say(self, kind: str, name: str, text: str) -> None:
        self.wishes.notes.append(Note(kind, name, text))

    def refuse(self, kind: str, ident: str, name: str, reason: str) -> None:
        self.wishes.refused.append(Refused(kind, ident, name, reason))
        self.left.setdefault(kind, set()).add(ident)


def read_people_and_keys(tables: Tables, now: datetime) -> Wishes:
    """What the tables say of teams, owners, end users and keys."""
    reader = _Reader(tables, now, Wishes(tables.source))
    reader.budgets = {row["budget_id"]: row for row in tables.of(reading.BUDGETS) if row.get("budget_id")}
    reader.groups = access_groups(tables.of(reading.MODELS))
    reader.wishes.rows += _teams(reader)
    reader.wishes.rows += _owners(reader)
    reader.wishes.rows += _end_users(reader)
    reader.wishes.rows += _keys(reader)
    return reader.wishes


def access_groups(rows: Iterable[Row]) -> dict[str, list[str]]:
    """The models of each access group, as the models' rows name them."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        named = as_object(row.get("model_info")).get("access_groups")
        for group in named if isinstance(named, list) else []:
            members = groups.setdefault(str(group), [])
            if row.get("model_name") and row["model_name"] not in members:
                members.append(row["model_name"])
    return groups


# --- Teams, owners, end users -----------------------------------------------------------------------------------


def _teams(reader: _Reader) -> Iterable[Wanted]:
    limited = {row["team_id"] for row in reader.tables.of(reading.MEMBERS) if row.get("budget_id")}
    for row in reader.tables.of(reading.TEAMS):
        ident, alias = row.get("team_id") or "", _text(row.get("team_alias"))
        name = printable(alias or ident)
        if not _fits(reader, TEAM, ident, name):
            continue
        if ident in limited:
            reader.say(TEAM, name, "budgets of single members have no effect here.")
        yield reader.add(TEAM, ident, name, row, {"alias": alias, "members": _members(row)})


def _members(row: Row) -> list[Any]:
    members = row.get("members_with_roles")
    return members if isinstance(members, list) and unstorable(members) is None else []


def _owners(reader: _Reader) -> Iterable[Wanted]:
    emails: set[str] = set()
    with_team = {row.get("user_id") for row in reader.tables.of(reading.KEYS) if row.get("team_id")}
    for row in reader.tables.of(reading.USERS):
        ident = row.get("user_id") or ""
        if ident == BUDGET_OF_ALL:
            if row.get("max_budget") is not None:
                reader.refuse(OWNER, ident, ident, "a budget of the whole gateway does not exist here.")
            continue
        alias, email = _text(row.get("user_alias")), _text(row.get("user_email"))
        name = printable(alias or email or ident)
        if not _fits(reader, OWNER, ident, name):
            continue
        if email in emails:
            reader.say(OWNER, name, "another owner has its e-mail address, which is left out.")
            email = ""
        emails |= {email} - {""}
        role = _text(row.get("user_role"))[:50]
        wish = reader.add(OWNER, ident, name, row, {"alias": alias, "email": email or None, "role": role})
        yield _without_personal_list(reader, wish, has_team_keys=ident in with_team)


def _without_personal_list(reader: _Reader, wish: Wanted, *, has_team_keys: bool) -> Wanted:
    """LiteLLM's users limit only their keys without a team; here they limit all of them.

    "No models" of a user means "only those of teams": it goes to the keys without a team instead.
    """
    models = wish.values["models"]
    if NO_MODELS in models:
        reader.personal_lists[wish.source_id] = [NO_MODELS]
        wish = replace(wish, values={**wish.values, "models": []})
    limits = ("models", "max_budget", "rpm_limit", "tpm_limit", "max_parallel_requests", "model_max_budget")
    if has_team_keys and any(wish.values[name] not in (None, [], {}) for name in limits):
        reader.say(OWNER, wish.name, "its limits hold here for its keys in teams too.")
    return wish


def _end_users(reader: _Reader) -> Iterable[Wanted]:
    for row in reader.tables.of(reading.END_USERS):
        ident, alias = row.get("user_id") or "", _text(row.get("alias"))
        name = printable(alias or ident)
        if _fits(reader, END_USER, ident, name):
            yield reader.add(END_USER, ident, name, row, {"alias": alias})


def _fits(reader: _Reader, kind: str, ident: str, name: str) -> bool:
    longest = _LONGEST_ID[kind]
    if 0 < len(ident) <= longest and unstorable(ident) is None:
        return True
    reader.refuse(kind, ident, name, f"its id must have 1 to {longest} characters here.")
    return False


def _text(value: object) -> str:
    return value[:LONGEST_NAME] if isinstance(value, str) and unstorable(value) is None else ""


# --- Keys -------------------------------------------------------------------------------------------------------


def _keys(reader: _Reader) -> Iterable[Wanted]:
    aliases = {row.get("id"): as_object(row.get("aliases")) for row in reader.tables.of(reading.TEAM_ALIASES)}
    teams = {row.get("team_id"): aliases.get(row.get("model_id"), {}) for row in reader.tables.of(reading.TEAMS)}
    old = _old_secrets(reader)
    names: set[str] = set()
    for row in reader.tables.of(reading.KEYS):
        if row.get("team_id") == PAGES_TEAM:
            continue
        digest, four = row["token"], _last_four(row.get("key_name"))
        shown = printable(row.get("key_alias") or crypto.mask(four))
        reason = _why_not(reader, row)
        if reason:
            reader.refuse(KEY, digest, shown, reason)
            continue
        alias = _free_name(reader, shown, _text(row.get("key_alias")), names)
        wish = reader.add(KEY, digest, shown, row, _key_columns(reader, row, shown, alias, teams))
        yield replace(wish, secrets=(OldSecret(digest, four), *old.get(digest, ())))


def _last_four(key_name: object) -> str:
    """Of `sk-...abcd`; nothing where the name has another form."""
    name = key_name if isinstance(key_name, str) else ""
    return name[-4:] if name.startswith("sk-...") and len(name) == 10 and name.isascii() else ""


def _why_not(reader: _Reader, row: Row) -> str:
    """Why the key cannot be carried over; "" when it can."""
    if not crypto.is_digest(row["token"] or ""):
        return "what is stored of it is not a SHA-256 digest."
    for kind, column in ((TEAM, "team_id"), (OWNER, "user_id")):
        ident = row.get(column) or ""
        if len(ident) > _LONGEST_ID[kind] or ident in reader.left.get(kind, ()):
            return f"its {kind} cannot be carried over."
    routes = row.get("allowed_routes") or []
    if row.get("key_type") in _MANAGES or (routes and _MANAGES.issuperset(routes)):
        return "it is for managing: issue a management key, which may do more here than there, by hand."
    if routes and not _known_routes(routes):
        return "none of the routes that it may call exists here."
    return ""


def _known_routes(routes: Iterable[object]) -> list[str]:
    texts = [one for one in routes if isinstance(one, str) and one and len(one) <= LONGEST_NAME]
    return [one for one in texts if one in ROUTE_GROUPS or (one.startswith("/") and unstorable(one) is None)][:1000]


def _free_name(reader: _Reader, shown: str, alias: str, names: set[str]) -> str | None:
    """The alias; of two keys with one alias, which older versions allow, the second gets a number. A name that is kept
    for the playground's keys, which lists leave out, gets a word in front."""
    if not alias:
        return None
    free = f"{IMPORTED}{alias}"[:LONGEST_NAME] if is_the_playgrounds(alias) else alias
    if free != alias:
        reader.say(
            KEY, shown, f"names that begin so are for the playground's keys: it is called {printable(free)} here."
        )
    name, number = free, 1
    while name in names:
        number += 1
        name = f"{free[:240]}-{number}"
    names.add(name)
    if name != free:
        reader.say(KEY, shown, f"another key has its alias: it is called {printable(name)} here.")
    return name


def _key_columns(
    reader: _Reader, row: Row, shown: str, alias: str | None, teams: Mapping[Any, dict[str, Any]]
) -> dict[str, Any]:
    note = partial(reader.say, KEY, shown)
    routes = row.get("allowed_routes") or []
    known = _known_routes(routes)
    if len(known) < len(routes):
        note("some of the routes that it may call do not exist here, and are left out.")
    user, team = row.get("user_id") or None, row.get("team_id") or None
    values: dict[str, Any] = {
        "name": alias,
        "user_id": user,
        "team_id": team,
        "key_type": LLM_API if row.get("key_type") == LLM_API else DEFAULT,
        "allowed_routes": known,
        "aliases": _aliases({**teams.get(team, {}), **as_object(row.get("aliases"))}),
        "expires_at": moment(row.get("expires")),
    }
    if team is None and user in reader.personal_lists:
        values["models"] = reader.personal_lists[user]
    return values


def _aliases(value: Mapping[str, Any]) -> dict[str, str]:
    pairs = {
        name: model
        for name, model in value.items()
        if isinstance(model, str) and 0 < len(name) <= LONGEST_NAME and 0 < len(model) <= LONGEST_NAME
    }
    fitting = {name: model for name, model in pairs.items() if unstorable([name, model]) is None}
    return dict(list(fitting.items())[:LONGEST_ALIASES])


def _old_secrets(reader: _Reader) -> dict[str, list[OldSecret]]:
    """What a rotation there has replaced, and lets work on for a while, by the digest of the key as it is now."""
    found: dict[str, list[OldSecret]] = {}
    for row in reader.tables.of(reading.OLD_SECRETS):
        ends, digest = moment(row.get("revoke_at")), row.get("token") or ""
        if ends is not None and ends > reader.now and crypto.is_digest(digest):
            found.setdefault(row.get("active_token_id") or "", []).append(OldSecret(digest, "", ends))
    return found
