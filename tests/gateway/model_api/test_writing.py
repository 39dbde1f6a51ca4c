"""POST /model/new, /model/update and /model/delete."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from gateway.config.applying import apply
from gateway.config.reader import read_text
from keys.models import VirtualKey
from tests.gateway.config.seeds import LITELLM
from tests.gateway.model_api.conftest import API, body
from upstreams.models import CONFIG, DISCOVERED, Deployment, Upstream
from upstreams.sources import API as OF_THE_API

pytestmark = pytest.mark.django_db


def error(answer: Any) -> tuple[int, str, str]:
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return answer.status_code, found["type"], found["param"]


# --- New --------------------------------------------------------------------------------------------------------


def test_new_works(api: API) -> None:
    made = api.new("gpt", api_key="hunter2", rpm=5, input_cost_per_token=1e-7, info={"mode": "chat"})
    row = Deployment.objects.get()
    assert (row.alias, row.served_name, row.rpm, row.source) == ("gpt", "s", 5, OF_THE_API)
    assert (row.upstream.url, row.upstream.credential.reveal()) == ("http://server:8000", "hunter2")
    assert (made["model_id"], made["model_info"]["id"], made["model_name"]) == (f"deployment-{row.pk}",) * 2 + ("gpt",)
    assert (made["model_info"]["mode"], made["litellm_params"]["input_cost_per_token"]) == ("chat", 1e-7)
    assert "hunter2" not in str(made)


def test_prices_are_set_shown_and_cleared(api: API) -> None:
    given = {"cache_read_input_token_cost": 1e-8, "cost_per_second": 0.25, "cost_per_request": 0.5, "price_per_hour": 2}
    made = api.new(**given)
    assert {name: made["litellm_params"][name] for name in given} == given
    cleared = dict.fromkeys(given) | {"price_per_hour": 3}
    sent = {"model_info": {"id": made["model_id"]}, "litellm_params": cleared}
    changed = api.post("/model/update", sent).json()["litellm_params"]
    assert {name for name in given if name in changed} == {"price_per_hour"}
    assert Upstream.objects.get().price_per_hour == 3


@pytest.mark.parametrize(
    ("sent", "price"),
    [
        ({"output_cost_per_second": 3}, 3),
        ({"input_cost_per_second": 2, "output_cost_per_second": 3}, 2),
        ({"input_cost_per_second": None, "output_cost_per_second": 3}, 3),
        ({"cost_per_second": 0, "input_cost_per_second": 2}, 0),
    ],
)
def test_a_second_has_one_price_under_litellm_s_three_names(api: API, sent: Any, price: int) -> None:
    params = api.new(**sent)["litellm_params"]
    assert {name: value for name, value in params.items() if "second" in name} == {"cost_per_second": price}


def test_the_price_of_a_server_that_others_keep_is_theirs(api: API) -> None:
    Upstream.objects.create(name="theirs", url="http://server:8000", price_per_hour=2)
    assert error(api.post("/model/new", body(price_per_hour=3)))[2] == "litellm_params.price_per_hour"
    assert api.new(price_per_hour=2)["litellm_params"]["price_per_hour"] == 2


def test_the_fork_s_dialect_is_understood(api: API) -> None:
    sent = body()
    sent["dheera_ai_params"] = sent.pop("litellm_params")
    assert api.post("/model/new", sent).status_code == 200
    assert error(api.post("/model/new", sent | {"litellm_params": {}})) == (
        400,
        "invalid_request_error",
        "dheera_ai_params",
    )


def test_models_of_one_address_share_an_upstream(api: API) -> None:
    api.new("a")
    api.new("b", api_base="http://server:8000")
    api.new("c", api_key="other")
    assert Upstream.objects.count() == 2


def test_an_id_of_one_s_own_stays(api: API) -> None:
    assert api.new(info={"id": "mine"})["model_id"] == "mine"
    taken = api.post("/model/new", body("n", info={"id": "mine"}))
    assert error(taken) == (400, "bad_request_error", "model_info.id")


def test_what_a_server_lists_by_itself_gives_way(api: API) -> None:
    upstream = Upstream.objects.create(name="u", url="http://server:8000")
    Deployment.objects.create(upstream=upstream, alias="m", source=DISCOVERED)
    api.new("m", rpm=3)
    assert Deployment.objects.get().rpm == 3


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        ({}, 422, "model_name"),
        ({"model_name": "m"}, 422, "litellm_params"),
        ({"model_name": "m", "litellm_params": {}}, 422, "litellm_params.model"),
        ({**body(), "colour": "red"}, 400, "colour"),
        (body(colour="red"), 400, "colour"),
        (body(max_budget=3), 400, "max_budget"),
        (body(model="gpt-4"), 400, "litellm_params"),
        (body(model="anthropic/claude"), 400, "litellm_params"),
        (body(api_base=None), 400, "litellm_params.api_base"),
        (body(api_base="ftp://x"), 400, "litellm_params.api_base"),
        (body(rpm="5"), 400, "litellm_params"),
        (body(weight=0), 400, "litellm_params"),
        (body(input_cost_per_token=True), 400, "litellm_params"),
        (body(input_cost_per_token=1e300), 400, "litellm_params"),
        (body(cost_per_request=-1), 400, "litellm_params"),
        (body(output_cost_per_second="1"), 400, "litellm_params"),
        (body(price_per_hour=True), 400, "litellm_params"),
        (body(info={"id": 5}), 400, "model_info"),
        (body(info={"id": "deployment-1"}), 400, "model_info"),
        (body(api_key="a b"), 400, None),
    ],
)
def test_what_cannot_be_a_model_is_refused_by_name(api: API, sent: Any, status: int, param: str) -> None:
    answer = api.post("/model/new", sent)
    assert error(answer) == (status, "invalid_request_error", param)
    assert not Upstream.objects.exists()


def test_empty_fields_of_litellm_s_are_no_offence(api: API) -> None:
    api.new(max_budget=None, use_litellm_proxy=False, tags=[], custom_llm_provider="hosted_vllm")


def test_nobody_reads_the_gateway_s_environment_over_rest(api: API) -> None:
    """Otherwise a management key could have the master key sent to a server of its own."""
    for name in ("api_key", "api_base"):
        answer = api.post("/model/new", body(**{name: "os.environ/GATEWAY_MASTER_KEY"}))
        assert error(answer) == (400, "invalid_request_error", name)


def test_a_model_that_is_there_is_refused(api: API) -> None:
    api.new()
    assert error(api.post("/model/new", body())) == (400, "bad_request_error", "model_name")


# --- Update -----------------------------------------------------------------------------------------------------


def test_update_changes_what_is_named_and_keeps_the_rest(api: API) -> None:
    made = api.new(rpm=5, tpm=6, api_key="k", info={"mode": "chat"})
    sent = {"model_info": {"id": made["model_id"]}, "litellm_params": {"rpm": None, "weight": 3}, "model_name": "n"}
    changed = api.post("/model/update", sent).json()
    row = Deployment.objects.get()
    assert (row.alias, row.rpm, row.tpm, row.weight, row.info) == ("n", None, 6, 3, {"mode": "chat"})
    assert row.upstream.credential.reveal() == "k"
    assert changed["model_id"] == made["model_id"]


def test_an_update_replaces_the_info_as_a_whole(api: API) -> None:
    for given in ({"mode": "chat"}, {"id": "mine", "mode": "chat"}):
        named = api.new(info=given)["model_id"]
        api.post("/model/update", {"model_info": {"id": named, "base_model": "b"}})
        info = api.get(f"/model/info?litellm_model_id={named}").json()["data"][0]["model_info"]
        assert (info["id"], info["base_model"], info.get("mode")) == (named, "b", None)
        api.post("/model/delete", {"id": named})


def test_a_model_that_moves_leaves_the_credential_behind(api: API) -> None:
    """It belongs to the old server, and would be shown to whoever runs the new one."""
    made = api.new(api_key="hunter2")
    sent = {"model_info": {"id": made["model_id"]}, "litellm_params": {"api_base": "http://elsewhere:1"}}
    assert api.post("/model/update", sent).status_code == 200
    upstream = Upstream.objects.get()  # the old one went: nothing else was on it
    assert (upstream.url, upstream.credential.reveal()) == ("http://elsewhere:1", "")


@pytest.mark.parametrize("params", [{"rpm": 5}, {"api_key": ""}, {"api_key": "two"}])
def test_an_update_with_the_same_address_leaves_the_model_on_its_upstream(api: API, params: Any) -> None:
    """Another one may have this address, with a credential of its own."""
    api.new("first", api_key="one")
    made = api.new("second", api_key="two")
    params = {"api_base": made["litellm_params"]["api_base"], **params}
    assert (
        api.post("/model/update", {"model_info": {"id": made["model_id"]}, "litellm_params": params}).status_code == 200
    )
    row = Deployment.objects.get(alias="second")
    assert (row.upstream.name, row.upstream.credential.reveal(), Upstream.objects.count()) == ("second", "two", 2)


def test_times_are_those_of_the_server(api: API) -> None:
    made = api.new(timeout=60)
    assert made["litellm_params"]["timeout"] == 60
    sent = {"model_info": {"id": made["model_id"]}, "litellm_params": {"stream_timeout": 5}}
    assert api.post("/model/update", sent).json()["litellm_params"]["stream_timeout"] == 5
    Upstream.objects.update(source="admin")
    sent["litellm_params"] = {"timeout": 61}
    assert error(api.post("/model/update", sent))[:2] == (400, "bad_request_error")


def test_an_update_cannot_take_the_name_of_another(api: API) -> None:
    api.new("a")
    made = api.new("b")
    sent = {"model_info": {"id": made["model_id"]}, "model_name": "a"}
    assert error(api.post("/model/update", sent)) == (400, "bad_request_error", "model_name")


# --- Delete -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda named: {"id": named}, lambda named: {"model_info": {"id": named}}])
def test_delete_works(api: API, wrap: Any) -> None:
    named = api.new()["model_id"]
    answer = api.post("/model/delete", wrap(named))
    assert answer.json() == {"message": f"Model: {named} deleted successfully"}
    assert not Upstream.objects.exists()


def test_an_upstream_with_other_models_stays(api: API) -> None:
    named = api.new("a")["model_id"]
    api.new("b")
    api.post("/model/delete", {"id": named})
    assert [row.alias for row in Deployment.objects.all()] == ["b"]


def test_an_upstream_of_people_s_stays(api: API) -> None:
    Upstream.objects.create(name="theirs", url="http://server:8000")
    api.post("/model/delete", {"id": api.new()["model_id"]})
    assert Upstream.objects.get().name == "theirs"


def test_a_discovered_model_cannot_be_deleted(api: API) -> None:
    upstream = Upstream.objects.create(name="u", url="http://server:8000")
    row = Deployment.objects.create(upstream=upstream, alias="m", source=DISCOVERED)
    answer = api.post("/model/delete", {"id": f"deployment-{row.pk}"})
    assert error(answer) == (400, "bad_request_error", "model_info.id")


# --- All writes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["deployment-0", "deployment-x", "nobody", "deployment-99999999999999999999"])
def test_an_unknown_id_is_404(api: API, named: str) -> None:
    for path, sent in (("update", {"model_info": {"id": named}}), ("delete", {"id": named})):
        assert error(api.post(f"/model/{path}", sent)) == (404, "not_found_error", "model_info.id")
    assert error(api.get(f"/model/info?litellm_model_id={named}"))[0] == 404


def test_without_an_id_it_is_422(api: API) -> None:
    assert error(api.post("/model/update", {}))[0] == 422
    assert error(api.post("/model/update", {"model_info": {}}))[0] == 422
    assert error(api.post("/model/delete", {})) == (422, "invalid_request_error", "id")


def test_what_a_file_keeps_is_changed_there(api: API) -> None:
    apply(read_text(LITELLM, {}).wanted)
    named = api.get("/model/info").json()["data"][0]["model_info"]["id"]
    for path, sent in (("update", {"model_info": {"id": named}, "model_name": "n"}), ("delete", {"id": named})):
        assert error(api.post(f"/model/{path}", sent)) == (400, "bad_request_error", "model_info.id")
    assert Deployment.objects.get().source == CONFIG


def test_what_the_api_made_a_file_does_not_touch(api: API) -> None:
    api.new()
    assert apply(read_text("", {}).wanted).changes == ()


@pytest.mark.parametrize("path", ["new", "update", "delete"])
def test_an_ordinary_key_writes_nothing(api: API, key: str, path: str) -> None:
    assert error(api.post(f"/model/{path}", body(), key=key))[:2] == (401, "auth_error")
    assert error(api.post(f"/model/{path}", body(), key=None))[:2] == (401, "auth_error")
    assert api.get(f"/model/{path}").status_code == 405


def test_a_management_key_writes_and_sees_all_but_credentials(api: API) -> None:
    _, key = VirtualKey.objects.issue(name="ops", key_type="management")
    assert api.post("/model/new", body(api_key="hunter2"), key=key).status_code == 200
    text = api.get("/model/info", key=key).content.decode()
    assert "http://server:8000" in text
    assert "hunter2" not in text
    assert LogEntry.objects.get().change_message == "Added through the model API by ops."


def test_the_history_tells_who(api: API) -> None:
    named = api.new(api_key="hunter2")["model_id"]
    api.post("/model/update", {"model_info": {"id": named}, "model_name": "n"})
    api.post("/model/delete", {"id": named})
    entries = LogEntry.objects.order_by("pk").values_list("user__username", "change_message")
    assert list(entries) == [
        ("master key", f"{word} through the model API.") for word in ("Added", "Changed", "Deleted")
    ]
