from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection

from gateway.account.log_store import LogStore
from gateway.account.rollups import OTHER, Cap
from gateway.models import UsageDay, UsageHour, UsageHourModel, UsageHourTag, UsageHourTotal, UsageOfAll
from tests.support.entries import NOON, an_entry

pytestmark = pytest.mark.django_db
HOUR = datetime.fromtimestamp(NOON, tz=UTC).replace(minute=0)


def store(*entries: dict[str, object], cap: Cap | None = None) -> None:
    LogStore(cap).store(list(entries), pytest.fail)


def test_it_works() -> None:
    store(an_entry(), an_entry(status=500))
    row = UsageHour.objects.get()
    assert (row.hour, row.key_id, row.user_id, row.end_user, row.model) == (HOUR, 7, "ann", "bob", "qwen")
    assert (row.calls, row.errors, row.prompt_tokens, row.completion_tokens, row.cached_tokens) == (2, 1, 6, 10, 2)
    assert (row.upstream_id, row.upstream_name, row.key_name, row.team_id) == (2, "gpu-1", "dev", "")
    assert str(row) == "2026-05-04 12:00 dev"


def test_refused_calls_and_cut_ones_are_told_apart_from_failed_ones() -> None:
    ends = [("completed", 200), ("refused", 429), ("upstream_failed", 502), ("revoked", 200), ("drained", 503)]
    store(*(an_entry(outcome=outcome, status=status, tags=["t"]) for outcome, status in ends))
    for table in (UsageHour, UsageHourTotal, UsageHourModel, UsageHourTag, UsageDay):
        row = table._default_manager.first()
        assert row is not None
        assert (row.calls, row.errors, row.refused, row.cut) == (5, 4, 1, 2)


def test_each_hour_is_told_by_team_and_model() -> None:
    store(an_entry(), an_entry(key_id=8), an_entry(model="phi"), an_entry(team_id="red"), an_entry(model=None))
    told = UsageHourModel.objects.order_by("team_id", "model").values_list("team_id", "model", "calls")
    assert list(told) == [("", "", 1), ("", "phi", 1), ("", "qwen", 2), ("red", "qwen", 1)]


def test_later_calls_are_added() -> None:
    store(an_entry())
    store(an_entry(key_name="renamed"))
    row = UsageHour.objects.get()
    assert (row.calls, row.key_name) == (2, "renamed")


def test_a_call_without_key_model_or_upstream_is_counted_too() -> None:
    unknown = dict.fromkeys(["key_id", "user_id", "end_user", "model", "upstream_id", "upstream_name"])
    store(an_entry(**unknown))
    store(an_entry(**unknown))
    assert UsageHour.objects.get(key_id=0, user_id="", end_user="", model="", upstream_id=0).calls == 2


def test_each_hour_has_its_own_row() -> None:
    store(an_entry(at=NOON), an_entry(at=NOON + 3600))
    assert [row.hour for row in UsageHour.objects.order_by("hour")] == [HOUR, HOUR + timedelta(hours=1)]


def test_each_team_has_its_own_row() -> None:
    store(an_entry(team_id="a"), an_entry(team_id="b"))
    assert set(UsageHour.objects.values_list("team_id", flat=True)) == {"a", "b"}


@pytest.mark.parametrize(
    ("costs", "total"), [([None, None], None), ([None, "0.5"], "0.5"), (["0.5", None], "0.5"), (["0.5", "1"], "1.5")]
)
def test_cost_is_unknown_until_one_is_known(costs: list[str | None], total: str | None) -> None:
    for cost in costs:
        store(an_entry(cost=cost))
    assert UsageHour.objects.get().cost == (None if total is None else Decimal(total))


def test_costs_of_one_batch_are_added() -> None:
    store(an_entry(cost="0.25"), an_entry(cost="0.5"), an_entry())
    assert UsageHour.objects.get().cost == Decimal("0.75")


def test_times_are_read_off_as_percentiles() -> None:
    store(*[an_entry(ttft_ms=ttft) for ttft in (15, 15, 15, 1000)], an_entry(ttft_ms=None, ended_at=None))
    read = UsageHour.objects.percentiles([0.5, 1.0])
    assert 10 <= read["ttft"][0] <= 20  # type: ignore[operator]
    assert 640 <= read["ttft"][1] <= 1280  # type: ignore[operator]
    assert 800 <= read["duration"][1] <= 1600  # type: ignore[operator]


def test_nothing_has_no_percentiles() -> None:
    assert UsageHour.objects.percentiles([0.5]) == {"ttft": [None], "duration": [None]}


def test_each_tag_has_a_row() -> None:
    store(an_entry(tags=["a", "b"]), an_entry(tags=["b"]))
    assert dict(UsageHourTag.objects.values_list("tag", "calls")) == {"a": 1, "b": 2}
    assert str(UsageHourTag.objects.get(tag="a")) == "2026-05-04 12:00 a"


def test_end_users_beyond_the_cap_are_others() -> None:
    store(*[an_entry(end_user=f"u{n}") for n in range(4)], cap=Cap(2))
    assert dict(UsageHour.objects.values_list("end_user", "calls")) == {"u0": 1, "u1": 1, OTHER: 2}


def test_the_cap_is_remembered_by_the_table() -> None:
    store(an_entry(end_user="u0"), an_entry(end_user="u1"))
    store(an_entry(end_user="u1"), an_entry(end_user="u2"), cap=Cap(2))
    assert dict(UsageHour.objects.values_list("end_user", "calls")) == {"u0": 1, "u1": 2, OTHER: 1}


def test_models_and_tags_are_capped_too() -> None:
    store(*[an_entry(model=f"m{n}", tags=[f"t{n}"]) for n in range(3)], cap=Cap(1))
    assert dict(UsageHour.objects.values_list("model", "calls")) == {"m0": 1, OTHER: 2}
    assert dict(UsageHourTag.objects.values_list("tag", "calls")) == {"t0": 1, OTHER: 2}


def test_the_cap_forgets_the_hours_of_long_ago() -> None:
    cap = Cap()
    for hour in range(200):
        cap.of(UsageHour, "model", HOUR + timedelta(hours=hour), "m")
    assert len(cap._seen) < 150


def test_usage_per_key_in_a_range_of_hours() -> None:
    store(an_entry(), an_entry(key_id=8, status=400), an_entry(key_id=9), an_entry(at=NOON - 7200))
    moment = datetime.fromtimestamp(NOON, tz=UTC)
    rows = UsageHour.objects.between(moment, moment + timedelta(hours=1)).per_key([7, 8])
    assert rows == {
        7: {"calls": 1, "errors": 0, "refused": 0, "cut": 0, "prompt_tokens": 3, "completion_tokens": 5},
        8: {"calls": 1, "errors": 1, "refused": 0, "cut": 0, "prompt_tokens": 3, "completion_tokens": 5},
    }


def test_all_calls_of_an_hour_are_one_row() -> None:
    store(an_entry(key_id=1, cost="0.5"), an_entry(key_id=2, status=500, tags=[]))
    store(an_entry(at=NOON + 3600))
    first, second = UsageHourTotal.objects.order_by("hour")
    assert (first.hour, first.calls, first.errors, first.prompt_tokens, first.cost) == (HOUR, 2, 1, 6, Decimal("0.5"))
    assert (str(second), second.calls) == ("2026-05-04 13:00", 1)


def test_a_day_is_summed_by_each_dimension_of_each_team() -> None:
    store(an_entry(team_id="a", cost="1"), an_entry(at=NOON + 3600, team_id="a", cost="0.5", status=500))
    store(an_entry(team_id="b", tags=["x", "y"]))
    rows = {(row.dimension, row.team_id, row.value): row for row in UsageDay.objects.all()}
    of_key = rows["key", "a", "7"]
    assert (of_key.day, of_key.label, of_key.calls, of_key.errors) == (HOUR.date(), "dev", 2, 1)
    assert (of_key.cost, of_key.prompt_tokens) == (Decimal("1.5"), 6)
    assert {dimension for dimension, team, _ in rows if team == "a"} == {
        *("team", "key", "owner", "end_user", "model", "upstream", "tag")
    }
    assert rows["tag", "b", "x"].calls == rows["tag", "b", "y"].calls == 1
    assert rows["upstream", "a", "2"].label == "gpu-1"


def test_calls_of_nobody_are_summed_by_day_under_no_value() -> None:
    store(an_entry(**dict.fromkeys(["key_id", "user_id", "end_user", "model", "upstream_id"]), tags=[]))
    assert set(UsageDay.objects.values_list("dimension", "value", "calls")) == {
        (name, "", 1) for name in ("team", "key", "owner", "end_user", "model", "upstream")
    }


def test_days_are_made_of_the_hours_that_were_there_before() -> None:
    store(an_entry(team_id="a", cost="1"), an_entry(at=NOON + 86_400), an_entry(key_id=None))
    every = [name for name in (field.name for field in UsageDay._meta.fields) if name != "id"]
    before = set(UsageDay.objects.exclude(dimension="tag").values_list(*every))
    UsageDay.objects.all().delete()
    import_module("gateway.migrations.0011_usage_days").add_up(None, SimpleNamespace(connection=connection))
    assert set(UsageDay.objects.exclude(dimension="tag").values_list(*every)) == before
    assert {row.calls for row in UsageDay.objects.filter(dimension="tag")} == {2, 1}


def test_all_teams_are_summed_together_by_hour_day_and_month() -> None:
    store(
        an_entry(team_id="a", tags=["x"]),
        an_entry(team_id="b", at=NOON + 3600, tags=[]),
        an_entry(team_id="b", at=NOON + 86_400, tags=[]),
    )
    sums = {(row.span, row.dimension, row.start.isoformat()[:13], row.value): row for row in UsageOfAll.objects.all()}
    told = {key: row.calls for key, row in sums.items() if key[1] in ("all", "model", "team", "tag")}
    assert told == {
        ("hour", "model", "2026-05-04T12", "qwen"): 1,
        ("hour", "model", "2026-05-04T13", "qwen"): 1,
        ("hour", "model", "2026-05-05T12", "qwen"): 1,
        ("day", "all", "2026-05-04T00", ""): 2,
        ("day", "all", "2026-05-05T00", ""): 1,
        ("day", "model", "2026-05-04T00", "qwen"): 2,
        ("day", "model", "2026-05-05T00", "qwen"): 1,
        ("day", "tag", "2026-05-04T00", "x"): 1,
        ("month", "team", "2026-05-01T00", "a"): 1,
        ("month", "team", "2026-05-01T00", "b"): 2,
    }
    assert {dimension for span, dimension, *_ in sums if span == "month"} == {"team", "key", "owner", "end_user"}
    assert sums["day", "upstream", "2026-05-04T00", "2"].label == "gpu-1"
    assert str(sums["month", "key", "2026-05-01T00", "7"]) == "month 2026-05-01 00:00 key dev"


def test_sums_of_all_teams_are_made_of_those_that_were_there_before() -> None:
    now = datetime.now(tz=UTC).timestamp()
    store(
        an_entry(at=now, team_id="a", cost="1"),
        an_entry(at=now, upstream_id=None),
        an_entry(at=now - 86_400, tags=["x"]),
    )
    every = [field.name for field in UsageOfAll._meta.fields if field.name != "id"]
    before = set(UsageOfAll.objects.values_list(*every))
    UsageOfAll.objects.all().delete()
    with connection.cursor() as cursor:
        editor = SimpleNamespace(connection=connection, execute=cursor.execute)
        import_module("gateway.migrations.0019_usage_of_all").add_up(None, editor)
        import_module("gateway.migrations.0021_usage_of_all_end_users").add_up(None, editor)
    assert set(UsageOfAll.objects.values_list(*every)) == before
