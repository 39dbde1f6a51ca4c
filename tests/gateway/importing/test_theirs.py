"""LiteLLM's rows as rows of ours: what they become, and what is said of the rest. The rows are as 1.106 has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.importing import reading
from gateway.importing.reading import Tables
from gateway.importing.theirs import read_people_and_keys
from gateway.importing.wanted import KEY, OWNER, TEAM, Wanted, Wishes
from tests.support.litellm_database import digest, key_row

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "sk-a-developers-old-key"


def read(**tables: list[dict[str, Any]]) -> Wishes:
    """Of tables by the names that `reading` has for them."""
    return read_people_and_keys(Tables("test", {getattr(reading, name): rows for name, rows in tables.items()}), NOW)


def key(**columns: Any) -> Wanted:
    wishes = read(KEYS=[key_row(SECRET, "ada", **columns)])
    assert not wishes.refused
    return wishes.rows[0]


def notes(wishes: Wishes) -> list[str]:
    return [note.text for note in wishes.notes]


def reasons(wishes: Wishes) -> list[str]:
    return [one.reason for one in wishes.refused]


def test_a_key_keeps_its_digest_name_and_last_four() -> None:
    wish = key(user_id="u", team_id="t", key_type="llm_api", blocked=None)
    assert (wish.kind, wish.source_id, wish.name) == (KEY, digest(SECRET), "ada")
    assert [(one.digest, one.last_four, one.expires_at) for one in wish.secrets] == [(digest(SECRET), "-key", None)]
    values = wish.values
    assert (values["name"], values["user_id"], values["team_id"], values["key_type"]) == ("ada", "u", "t", "llm_api")
    assert values["blocked"] is False
    assert digest(SECRET) not in repr(wish)


def test_a_key_has_its_limits() -> None:
    wish = key(
        rpm_limit=5,
        tpm_limit=100,
        max_parallel_requests=2,
        max_budget=1.5,
        budget_duration="30d",
        models=["qwen-*"],
        aliases={"fast": "qwen-7b"},
        expires=datetime(2027, 1, 1),  # noqa: DTZ001 - as the column is
        allowed_routes=["/vllm/*", "llm_api_routes"],
        tpd_limit=9_000_000_000,
        budget_limits=[{"budget_duration": "1h", "max_budget": 2, "reset_at": "2026-11-21T13:00:00Z"}],
        model_max_budget={"qwen-7b": {"max_budget": 3, "budget_duration": "1d"}, "old": 4},
    )
    values = wish.values
    assert (values["rpm_limit"], values["tpm_limit"], values["max_parallel_requests"]) == (5, 100, 2)
    assert (values["max_budget"], values["budget_duration"]) == (Decimal("1.5"), "30d")
    assert (values["models"], values["aliases"]) == (["qwen-*"], {"fast": "qwen-7b"})
    assert values["expires_at"] == datetime(2027, 1, 1, tzinfo=UTC)
    assert values["allowed_routes"] == ["/vllm/*", "llm_api_routes"]
    assert (values["token_budget"], values["token_budget_duration"]) == (9_000_000_000, "1d")
    assert values["budget_limits"] == [{"max_budget": 2.0, "budget_duration": "1h"}]
    assert values["model_max_budget"] == {
        "qwen-7b": {"budget_limit": 3.0, "time_period": "1d"},
        "old": {"budget_limit": 4.0},
    }


def test_limits_inside_the_metadata_become_columns() -> None:
    metadata = {"model_rpm_limit": {"m": 3}, "model_tpm_limit": {"m": 30}, "tags": ["a", 1], "note": "x"}
    values = key(metadata=metadata).values
    assert (values["model_rpm_limit"], values["model_tpm_limit"]) == ({"m": 3}, {"m": 30})
    assert values["metadata"] == {"tags": ["a"], "note": "x"}


def test_credentials_of_logging_services_are_left_out_and_said() -> None:
    wishes = read(KEYS=[key_row(SECRET, metadata={"logging": [{"langfuse_secret_key": "hunter2"}]})])
    assert wishes.rows[0].values["metadata"] == {}
    assert notes(wishes) == ["metadata.logging has no effect here, and is left out."]


def test_a_budget_behind_the_row_holds_where_the_row_says_nothing() -> None:
    budget = {"budget_id": "b", "max_budget": 7.0, "soft_budget": 5.0, "rpm_limit": 9, "budget_duration": "1d"}
    values = read(BUDGETS=[budget], KEYS=[key_row(SECRET, budget_id="b", rpm_limit=2)]).rows[0].values
    assert (values["max_budget"], values["soft_budget"], values["budget_duration"]) == (Decimal(7), Decimal(5), "1d")
    assert values["rpm_limit"] == 2


def test_an_end_user_has_the_budget_behind_it() -> None:
    resets_at = NOW + timedelta(hours=12)
    budget = {"budget_id": "b", "max_budget": 7.0, "budget_duration": "1d", "budget_reset_at": resets_at}
    row = {"user_id": "c", "alias": "Carla", "spend": 2.5, "budget_id": "b", "blocked": True}
    wish = read(BUDGETS=[budget], END_USERS=[row]).rows[0]
    assert (wish.source_id, wish.values["alias"], wish.values["blocked"]) == ("c", "Carla", True)
    assert wish.values["max_budget"] == Decimal(7)
    assert (wish.spent.units, wish.spent.resets_at) == (25_000_000_000, resets_at)


@pytest.mark.parametrize(
    ("models", "kept"),
    [
        ([], []),
        (None, []),
        (["all-team-models"], []),
        (["all-proxy-models", "a"], []),
        (["no-default-models"], ["no-default-models"]),
        (["beta-models", "z"], ["a", "b", "z"]),
        (["x" * 300], ["no-default-models"]),
    ],
)
def test_a_list_of_models_never_becomes_wider(models: list[str] | None, kept: list[str]) -> None:
    rows = [{"model_name": name, "model_info": {"access_groups": ["beta-models"]}} for name in ("a", "b")]
    assert read(MODELS=rows, KEYS=[key_row(SECRET, models=models)]).rows[0].values["models"] == kept


def test_names_of_a_team_s_own_for_models_come_to_its_keys() -> None:
    wishes = read(
        TEAM_ALIASES=[{"id": 3, "aliases": {"fast": "qwen", "good": "llama"}}],
        TEAMS=[{"team_id": "t", "team_alias": "Research", "model_id": 3}],
        KEYS=[key_row(SECRET, team_id="t", aliases={"fast": "mine"})],
    )
    assert wishes.rows[1].values["aliases"] == {"fast": "mine", "good": "llama"}


def test_no_models_of_a_user_is_about_keys_without_a_team() -> None:
    wishes = read(
        USERS=[{"user_id": "u", "models": ["no-default-models"]}],
        KEYS=[key_row("sk-one-of-her-own-1", user_id="u"), key_row("sk-one-of-a-team-2", user_id="u", team_id="t")],
    )
    assert [one.values["models"] for one in wishes.rows] == [[], ["no-default-models"], []]


def test_an_owner_whose_keys_are_in_teams_is_told_of() -> None:
    row = key_row(SECRET, user_id="u", team_id="t")
    wishes = read(USERS=[{"user_id": "u", "user_email": "u@x", "max_budget": 1.0}], KEYS=[row])
    assert notes(wishes) == ["its limits hold here for its keys in teams too."]
    assert wishes.notes[0].name == "u@x"


def test_a_team_has_its_members() -> None:
    members = [{"user_id": "u", "role": "admin"}]
    wishes = read(
        TEAMS=[{"team_id": "t", "team_alias": "Research", "members_with_roles": members}],
        MEMBERS=[{"team_id": "t", "user_id": "u", "budget_id": "b"}],
    )
    assert (wishes.rows[0].values["alias"], wishes.rows[0].values["members"]) == ("Research", members)
    assert notes(wishes) == ["budgets of single members have no effect here."]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"token": "sk-in-plain-text-0123"}, "what is stored of it is not a SHA-256 digest."),
        ({"key_type": "management"}, "it is for managing"),
        ({"allowed_routes": ["management_routes"]}, "it is for managing"),
        ({"key_type": "read_only"}, "it is for managing"),
        ({"allowed_routes": ["mcp_routes"]}, "none of the routes"),
        ({"team_id": "t" * 65}, "its team cannot be carried over."),
        ({"user_id": "u" * 129}, "its owner cannot be carried over."),
    ],
)
def test_a_key_that_would_mean_something_else_is_refused(columns: dict[str, Any], reason: str) -> None:
    wishes = read(KEYS=[{**key_row(SECRET, "ada"), **columns}])
    assert not wishes.rows
    assert reasons(wishes)[0].startswith(reason)
    assert "sk-in-plain" not in repr(wishes.refused)


def test_what_belongs_to_a_team_that_cannot_be_carried_over_is_not_carried_over() -> None:
    wishes = read(TEAMS=[{"team_id": "t" * 65}], KEYS=[key_row(SECRET, team_id="t" * 65)])
    assert [one.kind for one in wishes.refused] == [TEAM, KEY]


def test_keys_of_litellm_s_own_pages_are_not_looked_at() -> None:
    wishes = read(KEYS=[key_row(SECRET, team_id="litellm-dashboard")])
    assert (wishes.rows, wishes.refused) == ([], [])


def test_a_budget_of_the_whole_proxy_is_told_of() -> None:
    wishes = read(USERS=[{"user_id": "litellm-proxy-budget", "max_budget": 5.0}])
    assert [(one.kind, one.reason) for one in wishes.refused] == [
        (OWNER, "a budget of the whole gateway does not exist here.")
    ]


def test_some_routes_that_do_not_exist_here_are_left_out_and_said() -> None:
    wishes = read(KEYS=[key_row(SECRET, allowed_routes=["/v1/embeddings", "mcp_routes"])])
    assert wishes.rows[0].values["allowed_routes"] == ["/v1/embeddings"]
    assert notes(wishes) == ["some of the routes that it may call do not exist here, and are left out."]


def test_the_second_of_two_aliases_and_mail_addresses_is_told_apart() -> None:
    wishes = read(
        USERS=[{"user_id": "u", "user_email": "x@x"}, {"user_id": "v", "user_email": "x@x"}],
        KEYS=[key_row("sk-the-first-of-two", "ada"), key_row("sk-the-second-of-two", "ada")],
    )
    assert [one.values.get("email") for one in wishes.rows[:2]] == ["x@x", None]
    assert [one.values["name"] for one in wishes.rows[2:]] == ["ada", "ada-2"]
    assert len(wishes.notes) == 2


def test_a_name_that_lists_leave_out_is_told_apart_too() -> None:
    aliases = ("Playground of Ada", "imported Playground of Ada", "ada's playground of old")
    wishes = read(KEYS=[key_row(f"sk-number-{number}-of-three", alias) for number, alias in enumerate(aliases)])
    assert [one.values["name"] for one in wishes.rows] == [
        "imported Playground of Ada",
        "imported Playground of Ada-2",
        "ada's playground of old",
    ]
    assert "names that begin so are for the playground's keys" in notes(wishes)[0]


def test_fields_without_effect_are_named() -> None:
    columns = {"permissions": {"x": 1}, "config": {}, "auto_rotate": False, "organization_id": "o"}
    assert notes(read(KEYS=[key_row(SECRET, **columns)])) == [
        "organization_id has no effect here.",
        "permissions has no effect here.",
    ]


def test_numbers_that_no_column_takes_become_stricter_and_are_said() -> None:
    wishes = read(
        KEYS=[
            key_row(
                SECRET,
                rpm_limit=10**12,
                tpm_limit=-1,
                max_budget=float("inf"),
                soft_budget=float("nan"),
                budget_duration="soon",
            )
        ]
    )
    values = wishes.rows[0].values
    assert (values["rpm_limit"], values["tpm_limit"]) == (2_147_483_647, 0)
    assert (values["max_budget"], values["soft_budget"], values["budget_duration"]) == (100_000_000, 0, "")
    assert len(wishes.notes) == 5


@pytest.mark.parametrize("value", ["[", "{}", 3, None, [{"max_budget": None}], ["x"]])
def test_damaged_json_is_nothing(value: object) -> None:
    values = key(budget_limits=value, metadata=value, model_max_budget=value, aliases=value).values
    assert (values["budget_limits"], values["metadata"]) == ([], {})
    assert (values["model_max_budget"], values["aliases"]) == ({}, {})


def test_json_inside_a_text_is_read() -> None:
    values = key(metadata='{"a": 1}', budget_limits='[{"max_budget": 1, "budget_duration": "1d"}]').values
    assert (values["metadata"], values["budget_limits"]) == ({"a": 1}, [{"max_budget": 1, "budget_duration": "1d"}])


def test_metadata_that_no_database_keeps_are_left_out() -> None:
    wishes = read(KEYS=[key_row(SECRET, metadata={"a": "\0"})])
    assert (wishes.rows[0].values["metadata"], notes(wishes)) == ({}, ["its metadata cannot be kept."])


def test_columns_that_an_older_version_lacks_are_empty() -> None:
    wishes = read(KEYS=[{"token": digest(SECRET)}], TEAMS=[{"team_id": "t"}], USERS=[{"user_id": "u"}])
    assert len(wishes.rows) == 3
    assert wishes.rows[2].name == "sk-..."
    assert wishes.rows[2].values["name"] is None


def test_a_secret_that_a_rotation_there_lets_work_on_comes_along() -> None:
    def old(secret: str, ends: datetime) -> dict[str, Any]:
        return {"token": digest(secret), "active_token_id": digest(SECRET), "revoke_at": ends.replace(tzinfo=None)}

    rows = [old("sk-still-good-0001", NOW + timedelta(hours=1)), old("sk-ended-00000001", NOW)]
    secrets = read(KEYS=[key_row(SECRET)], OLD_SECRETS=rows).rows[0].secrets
    assert [(one.digest, one.expires_at) for one in secrets] == [
        (digest(SECRET), None),
        (digest("sk-still-good-0001"), NOW + timedelta(hours=1)),
    ]


def test_names_cannot_write_to_a_terminal() -> None:
    wishes = read(KEYS=[key_row(SECRET, "evil\x1b[2J\nname")], TEAMS=[{"team_id": "x" * 60, "team_alias": "y" * 200}])
    assert [one.name for one in wishes.rows] == ["y" * 79 + "…", "evil?[2J?name"]
