"""GET /model/info, /v1/model/info, /v2/model/info and /model_group/info."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from keys.models import VirtualKey
from tests.gateway.model_api.conftest import API
from upstreams.models import Deployment, ModelAlias, Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def models(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Two servers with `chat`, one with `embed`, made once for all tests here: what one changes is undone after it."""
    private = {"mode": "chat", "note": "http://10.0.0.1/private"}
    with django_db_blocker.unblock(), transaction.atomic():
        api = API(Client())
        api.new("chat", api_base="http://one:1", api_key="hunter2", rpm=5, tpm=10, info={**private, "id": "first"})
        api.new("chat", api_base="http://two:1", rpm=7, input_cost_per_token=1e-6)
        api.new("embed", api_base="http://two:1", info={"mode": "embedding"})
        yield
        transaction.set_rollback(True)


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info", "/v2/model/info", "/model_group/info"])
def test_no_answer_holds_a_credential(api: API, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    assert "hunter2" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info"])
def test_info_is_litellm_s(api: API, path: str) -> None:
    first = api.get(path).json()["data"][0]
    assert first["model_name"] == "chat"
    assert first["litellm_params"] == {
        "model": "hosted_vllm/s",
        "api_base": "http://one:1",
        "weight": 1,
        "rpm": 5,
        "tpm": 10,
    }
    assert (first["model_info"]["id"], first["model_info"]["db_model"]) == ("first", True)


def test_one_model_is_found_by_its_id(api: API) -> None:
    found = api.get("/model/info?litellm_model_id=first").json()["data"]
    assert [one["model_info"]["id"] for one in found] == ["first"]


@pytest.mark.parametrize("path", ["/model/info", "/v2/model/info", "/model_group/info"])
def test_an_ordinary_key_sees_no_address(api: API, key: str, path: str) -> None:
    text = api.get(path, key=key).content.decode()
    for hidden in ("http", "one:1", "10.0.0.1", "api_base", "weight", "upstream"):
        assert hidden not in text.replace("hosted_vllm", ""), hidden
    assert '"rpm":' in text


def test_an_ordinary_key_sees_what_it_may_use(api: API) -> None:
    _, secret = VirtualKey.objects.issue(models=["em*"])
    for path in ("/model/info", "/v2/model/info", "/model_group/info"):
        assert api.names(path, key=secret) == ["embed"]
    assert api.get("/model/info?litellm_model_id=first", key=secret).status_code == 404


def test_hidden_and_disabled_models_are_for_managers(api: API, key: str) -> None:
    Deployment.objects.filter(alias="embed").update(hidden=True)
    Upstream.objects.filter(url="http://one:1").update(state="disabled")
    assert api.names(key=key) == ["chat"]
    assert api.names() == ["chat", "chat", "embed"]


def test_pages(api: API) -> None:
    found = api.get("/v2/model/info?page=2&size=2").json()
    assert [one["model_name"] for one in found.pop("data")] == ["embed"]
    assert found == {"total_count": 3, "current_page": 2, "total_pages": 2, "size": 2}
    assert api.names("/v2/model/info?search=EMB") == ["embed"]
    assert api.names("/v2/model/info?model=chat") == ["chat", "chat"]
    assert api.names("/v2/model/info?modelId=first") == ["chat"]


@pytest.mark.parametrize(("query", "status"), [("size=0", 422), ("page=x", 422), ("colour=red", 400), ("debug=", 200)])
def test_a_filter_is_applied_or_refused(api: API, query: str, status: int) -> None:
    assert api.get(f"/v2/model/info?{query}").status_code == status


def test_groups_have_sums(api: API) -> None:
    ModelAlias.objects.create(name="fast", stands_for="chat")
    chat, embed, fast = api.get("/model_group/info").json()["data"]
    assert (chat["model_group"], chat["providers"], chat["mode"]) == ("chat", ["hosted_vllm"], "chat")
    assert (chat["rpm"], chat["tpm"], chat["input_cost_per_token"]) == (12, 10, 1e-6)
    assert (chat["output_cost_per_token"], chat["cost_per_request"]) == (None, None)
    assert (embed["model_group"], embed["rpm"]) == ("embed", None)
    assert fast == {**chat, "model_group": "fast"}
    assert api.names("/model_group/info?model_group=embed") == ["embed"]


def test_a_server_s_word_on_lengths_is_passed_on(api: API, key: str) -> None:
    Upstream.objects.update(served_details=[{"id": "s", "max_model_len": 2048}])
    assert api.get("/model/info", key=key).json()["data"][0]["model_info"]["max_input_tokens"] == 2048


def test_many_models_cost_the_same_queries(api: API, django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        api.get("/model/info")


def test_nobody_reads_without_a_key(api: API) -> None:
    for path in ("/model/info", "/v2/model/info", "/model_group/info"):
        assert api.get(path, key=None).status_code == 401
