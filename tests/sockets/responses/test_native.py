"""A stored response stays with the key and the server that made it, on three faces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from common.money import units
from tests.sockets.responses.asking import FACES, RECORDINGS, Client, paths, refusal
from tests.sockets.responses.conftest import NativeServer
from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream


@pytest.mark.parametrize("face", FACES)
def test_a_native_response_is_the_server_s_own(client: Client, native: NativeServer, mine: str, face: str) -> None:
    response = client(mine, face).responses.create(model="native-model", input="Hello")
    assert response.output_text == " wasmall foratus mode cho warm be"
    assert client(mine, face).responses.retrieve(response.id).id == response.id
    assert paths(native.upstream) == ["/v1/responses"]


@pytest.mark.parametrize("face", FACES)
def test_the_bytes_and_the_length_are_the_server_s(
    gateway: Gateway, native: NativeServer, mine: str, face: str
) -> None:
    answer = gateway.post(f"{face}/responses", {"model": "native-model", "input": "x"}, key=mine)
    new = answer.json()["id"]
    sent = (RECORDINGS / "responses.json").read_bytes().replace(b"resp_8e1a5d3db71e66e9", new.encode())
    assert answer.body == sent
    assert answer.header("content-length") == str(len(sent))


@pytest.mark.parametrize("face", FACES)
def test_another_key_finds_nothing(client: Client, native: NativeServer, mine: str, another: str, face: str) -> None:
    made = client(mine, face).responses.create(model="native-model", input="Hello").id
    before = len(native.upstream.calls)
    for other in FACES:
        theirs = client(another, other).responses
        asked = {"model": "native-model", "input": "x", "previous_response_id": made}
        assert refusal(partial(theirs.retrieve, made)) == (404, "response_id")
        assert refusal(partial(theirs.cancel, made)) == (404, "response_id")
        assert refusal(partial(theirs.create, **asked)) == (404, "previous_response_id")
    assert len(native.upstream.calls) == before


def test_the_master_key_reads_all(client: Client, gateway: Gateway, native: NativeServer, mine: str) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    assert client(gateway.master_key).responses.retrieve(made).id == made


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_id_is_asked_of_nobody(client: Client, native: NativeServer, mine: str, face: str) -> None:
    assert refusal(lambda: client(mine, face).responses.retrieve("resp_unknown")) == (404, "response_id")
    assert not [one for one in native.upstream.calls if "resp_unknown" in one.target]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("rest", ["", "/", "/input_items", "/cancel"])
def test_nothing_below_an_id_is_a_stranger_s(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str, method: str, rest: str
) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    for target in (made, made.replace("r", "%72", 1)):
        assert gateway.call(method, f"/vllm/responses/{target}{rest}", key=another).status == 404
    assert not [one for one in native.upstream.calls if made in one.target]


def test_a_stranger_s_conversation_cannot_be_rendered(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str
) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    asked = {"model": "native-model", "input": "x", "previous_response_id": made}
    assert gateway.post("/vllm/v1/responses/render", asked, key=another).status == 404
    assert gateway.post("/vllm/v1/responses/render", asked, key=mine).status == 200


def test_a_hidden_id_is_found(client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    body = b'{"model": "native-model", "input": "x", "previous\\u005fresponse_id": "%b"}' % made.encode()
    sent = [("content-type", "application/json")]
    assert gateway.call("POST", "/vllm/v1/responses", sent, body, key=another).status == 404


def test_an_id_that_is_taken_cannot_be_chosen(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str
) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    asked = {"model": "native-model", "input": "x", "request_id": made}
    assert gateway.post("/vllm/v1/responses", asked, key=another).status == 400
    assert gateway.post("/vllm/v1/responses", {**asked, "request_id": "resp_free"}, key=another).status == 200
    assert client(another).responses.retrieve("resp_free").id == "resp_free"
    assert refusal(lambda: client(mine).responses.retrieve("resp_free"))[0] == 404


@pytest.mark.parametrize("face", FACES)
def test_a_native_stream_is_owned_from_its_first_event(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str, face: str
) -> None:
    events: list[Any] = list(client(mine, face).responses.create(model="native-model", input="Hello", stream=True))
    made = events[0].response.id
    assert events[-1].type == "response.completed"
    assert client(mine).responses.retrieve(made).id == made
    assert refusal(lambda: client(another).responses.retrieve(made))[0] == 404


@pytest.mark.parametrize("face", FACES)
def test_a_conversation_goes_on_where_it_began(client: Client, native: NativeServer, mine: str, face: str) -> None:
    first = client(mine, face).responses.create(model="native-model", input="Hello")
    client(mine, face).responses.create(model="native-model", input="And?", previous_response_id=first.id)
    assert native.upstream.calls[-1].json()["previous_response_id"] == first.id


def test_a_conversation_goes_to_its_server_whatever_the_model(
    client: Client, native: NativeServer, chat: Upstream, mine: str
) -> None:
    first = client(mine).responses.create(model="native-model", input="Hello")
    client(mine).responses.create(model="chat-model", input="And?", previous_response_id=first.id)
    assert paths(native.upstream) == ["/v1/responses"] * 2
    assert not paths(chat)


def test_another_upstream_does_not_have_it(client: Client, native: NativeServer, mine: str) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    elsewhere = client(mine, "/upstreams/chat/v1").responses
    assert refusal(lambda: elsewhere.retrieve(made))[0] == 404
    assert refusal(lambda: elsewhere.create(model="x", input="y", previous_response_id=made))[0] == 404


def test_a_background_response_is_read_and_cancelled(
    client: Client, gateway: Gateway, native: NativeServer, mine: str
) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello", background=True)
    assert made.status == "queued"
    assert client(mine).responses.cancel(made.id).status == "cancelled"
    read = gateway.call("GET", f"/vllm/v1/responses/{made.id}?stream=true&starting_after=0", key=mine)
    assert (read.header("content-type") or "").startswith("text/event-stream")
    assert gateway.row(read)["usage_source"] == "none"


def test_what_is_not_stored_is_not_noted(client: Client, native: NativeServer, mine: str) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello", store=False)
    assert refusal(lambda: client(mine).responses.retrieve(made.id))[0] == 404


def test_an_unknown_model_is_no_missing_route(client: Client, native: NativeServer, chat: Upstream, mine: str) -> None:
    native.upstream.on("POST /v1/responses", vllm.error(404, "no model", "NotFoundError", "model"))
    assert refusal(lambda: client(mine).responses.create(model="native-model", input="x")) == (404, "model")
    assert paths(native.upstream) == ["/v1/responses"]


def test_an_error_with_status_200_is_one(client: Client, native: NativeServer, mine: str) -> None:
    native.upstream.on("POST /v1/responses", answers.json(200, {"error": {"message": "m", "type": "t", "code": 400}}))
    assert refusal(lambda: client(mine).responses.create(model="native-model", input="x"))[0] == 400


def test_a_stream_that_breaks_before_its_id_is_an_error(client: Client, native: NativeServer, mine: str) -> None:
    native.upstream.on("POST /v1/responses", answers.die_mid_stream([b": hello\n\n"]))
    create = client(mine, "/vllm/v1").responses.create
    assert refusal(lambda: create(model="native-model", input="x", stream=True))[0] == 502


@pytest.fixture
def drained(gateway: Gateway) -> Iterator[Callable[[], None]]:
    """Drains the server's upstream; it is back after the test."""

    def to(state: str) -> None:
        gateway.shell(f"from upstreams.models import Upstream; u = Upstream.objects.get(name='native'); "
                      f"u.state = '{state}'; u.save()")  # fmt: skip

    yield lambda: to("draining")
    to("active")
    wait_for(lambda: gateway.post("/v1/responses", {"model": "native-model", "input": "x"}).status == 200)


def test_a_server_that_drains_gives_what_it_has_and_takes_nothing_new(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, drained: Callable[[], None]
) -> None:
    made = client(mine).responses.create(model="native-model", input="Hello").id
    drained()
    asked = {"model": "native-model", "input": "x", "previous_response_id": made}
    wait_for(lambda: gateway.post("/v1/responses", asked, key=mine).status == 503)
    assert client(mine).responses.retrieve(made).id == made


def test_a_background_response_is_settled_once_when_it_has_ended(
    gateway: Gateway, native: NativeServer, client: Client
) -> None:
    key, last = gateway.make_key(), gateway.make_key()
    gateway.shell(f"from keys.models import VirtualKey as K; K.objects.with_secret({key!r}).update(token_budget=900)")
    gateway.key_api("block", key=last)
    wait_for(lambda: gateway.call("GET", "/v1/models", key=last).status == 401)  # so it has heard of the budget, too
    told = {"id": "resp_later", "object": "response", "status": "queued", "output": [], "usage": None}
    ended = {**told, "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}}
    native.upstream.on("POST /v1/responses", answers.json(200, told))
    native.upstream.on("GET /v1/responses/resp_later", answers.json(200, told), answers.json(200, ended))
    body = {"model": "native-model", "input": "Hi", "background": True, "max_output_tokens": 50}
    made = gateway.post("/v1/responses", body, key=key)
    row = gateway.row(made)
    assert row["usage_source"] == "unknown"
    reads = [gateway.call("GET", "/vllm/v1/responses/resp_later", key=key) for _ in range(3)]
    assert [read.json()["status"] for read in reads] == ["queued", "completed", "completed"]
    assert [gateway.row(read)["completion_tokens"] for read in reads] == [None, 5, None]
    windows = "SELECT used FROM keys_spendwindow WHERE counter LIKE ?"
    spent = wait_for(lambda: gateway.query(windows, f"key:{row['key_id']}/tokens/%"))
    assert [row["used"] for row in spent] == [12]
    assert gateway.post("/v1/responses", {**body, "max_output_tokens": 800}, key=key).status == 200


@pytest.mark.parametrize(
    ("prices", "costs"),
    [
        ("input_cost_per_token='0.01', output_cost_per_token='0.1'", [None, 0.57, None]),
        ("cost_per_request='0.57'", [0.57, None, None]),
    ],
)
def test_a_background_response_costs_what_it_used(
    gateway: Gateway, native: NativeServer, prices: str, costs: list[float | None]
) -> None:
    alias = f"priced-{costs.index(0.57)}"
    gateway.shell(
        "from upstreams.models import Deployment, Upstream; native = Upstream.objects.get(name='native'); "
        f"Deployment.objects.create(upstream=native, alias='{alias}', served_name='tiny-native', {prices})"
    )
    wait_for(lambda: alias.encode() in gateway.call("GET", "/v1/models").body)
    key = gateway.make_key(max_budget=100)
    told = {"id": f"resp_{alias}", "object": "response", "status": "queued", "output": [], "usage": None}
    ended = {**told, "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}}
    native.upstream.on("POST /v1/responses", answers.json(200, told))
    native.upstream.on(f"GET /v1/responses/resp_{alias}", answers.json(200, ended))
    body = {"model": alias, "input": "Hi", "background": True, "max_output_tokens": 50}
    made = gateway.row(gateway.post("/v1/responses", body, key=key))
    reads = [gateway.row(gateway.call("GET", f"/v1/responses/resp_{alias}", key=key)) for _ in range(2)]
    assert [None if row["cost"] is None else float(row["cost"]) for row in (made, *reads)] == costs
    windows = "SELECT used FROM keys_spendwindow WHERE counter LIKE ?"
    assert [one["used"] for one in gateway.query(windows, f"key:{made['key_id']}/usd/%")] == [units(Decimal("0.57"))]


def test_a_background_response_whose_stream_told_its_usage_is_not_settled_again(
    gateway: Gateway, native: NativeServer
) -> None:
    key = gateway.make_key(token_budget=900)
    body = {"model": "native-model", "input": "Hi", "background": True, "stream": True, "max_output_tokens": 500}
    made = gateway.post("/v1/responses", body, key=key)
    row = gateway.row(made)
    assert row["usage_source"] == "reported"
    used = row["prompt_tokens"] + row["completion_tokens"]
    new = re.search(rb"resp_[0-9a-f]+", made.body)[0].decode()  # type: ignore[index]
    told = {"id": new, "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}}
    native.upstream.on(f"GET /v1/responses/{new}", answers.json(200, told))
    read = gateway.call("GET", f"/v1/responses/{new}", key=key)
    assert gateway.row(read)["completion_tokens"] is None
    windows = "SELECT used FROM keys_spendwindow WHERE counter LIKE ?"
    spent = gateway.query(windows, f"key:{row['key_id']}/tokens/%")
    assert [one["used"] for one in spent] == [used]


def test_a_background_response_whose_stream_was_left_keeps_what_was_reserved(
    gateway: Gateway, native: NativeServer
) -> None:
    key = gateway.make_key(token_budget=900)
    event = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_left"}}\n\n'
    more = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
    native.upstream.on("POST /v1/responses", answers.endless(event + more, gap=0.05))
    body = b'{"model":"native-model","input":"Hi","background":true,"stream":true,"max_output_tokens":500}'
    with gateway.connect() as client:
        client.request("POST", "/v1/responses", gateway.headers(key), body)
        client.read_head()
    query = "SELECT used FROM keys_spendwindow WHERE counter LIKE ? AND used >= 500"
    assert wait_for(lambda: gateway.query(query, "%/tokens/%"))


@pytest.mark.parametrize("face", FACES)
def test_who_reads_a_response_again_has_limits_too(gateway: Gateway, native: NativeServer, face: str) -> None:
    secret = gateway.make_key(rpm_limit=3, max_budget=1, allowed_upstreams=["*"])
    made = gateway.post(f"{face}/responses", {"model": "native-model", "input": "x"}, key=secret).json()["id"]
    native.upstream.on(f"GET /v1/responses/{made}", answers.json(200, {"id": made, "status": "completed"}))
    read = [gateway.call("GET", f"{face}/responses/{made}", key=secret) for _ in range(4)]
    assert [one.status for one in read] == [200, 200, 429, 429]
    assert read[0].header("x-ratelimit-remaining-requests") == "1"
    assert gateway.call("POST", f"{face}/responses/{made}/cancel", key=secret).status == 429


def test_one_call_s_own_failure_takes_the_route_from_nobody(
    client: Client, gateway: Gateway, native: NativeServer, mine: str, another: str
) -> None:
    """An odd spelling of the path, and vLLM's 501 for what only this call asks for (`tool_choice` of some models)."""
    not_implemented = vllm.error(501, "Only 'auto' tool_choice is supported", "NotImplementedError")
    native.upstream.on("POST /v1/RESPONSES", answers.json(404, {"detail": "Not Found"}))
    asked = {"model": "native-model", "input": "Hi"}
    assert gateway.post("/v1/RESPONSES", asked, key=another).json()["object"] == "response"
    assert client(mine).responses.create(**asked).id.startswith("resp_")
    assert paths(native.upstream)[-1] == "/v1/responses"
    native.upstream.on("POST /v1/responses", not_implemented)
    assert gateway.post("/v1/responses", asked, key=another).json()["object"] == "response"
    native.serve()
    client(mine).responses.create(**asked)
    assert paths(native.upstream)[-1] == "/v1/responses"
