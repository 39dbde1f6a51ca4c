import json
import re
import shlex
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.test import Client, RequestFactory

from common.money import shown
from gateway.account.decisions import Decisions, told_of
from gateway.account.entry import Outcome
from gateway.account.log_store import LogStore
from gateway.admin_pages import log_curl
from gateway.admin_pages.log_chain import chain_of
from gateway.admin_pages.log_cost import cost_lines
from gateway.admin_pages.log_curl import repeat_of
from gateway.admin_pages.log_facts import Facts
from gateway.admin_pages.timeline import stretches_of
from gateway.charging import Bill
from gateway.models import RequestLog
from gateway.open_call import OpenCall
from gateway.routes import ROUTES, Route
from keys.counters import Charge, Standing
from keys.models import VirtualKey
from tests.support.entries import an_entry
from tests.support.people import signed_in
from upstreams.models import Upstream
from upstreams.pricing import Prices

LIST = "/admin/gateway/requestlog/"
DECISIONS = {
    "key": "memory",
    "header": "x-api-key",
    "prefix": "/vllm",
    "at": {"began": -200, "checked": 100, "body": 400, "asked": 60_000, "connected": 62_000},
    "way": "model",
    "strategy": "least_in_flight",
    "hint": "",
    "among": [["gpu-1", 1, 4, False], ["gpu-2", 3, None, True]],
    "tried": [["gpu-9", 1000, 4000, "upstream_unreachable"]],
    "limits": [
        ["key", "rpm_limit", None, None, 100, 7, 1, 42.0, True, False],
        ["team", "max_budget", None, "usd", 50_000_000_000, 10_000_000_000, 1_000_000, 86_400 * 3.0, True, False],
        ["key", "model_tpm_limit", "qwen*", "tokens", 5000, 6000, 300, 42.0, False, True],
    ],
    "prices": {"input": "0.000001", "output": "0.000002"},
}


def row(**fields: object) -> RequestLog:
    entry = an_entry(**{"decisions": DECISIONS, **fields})
    LogStore().store([entry], pytest.fail)
    return RequestLog.objects.get(pk=UUID(entry["call_id"]))


def refused(error_type: str, **fields: object) -> RequestLog:
    none = {"head_at": None, "first_token_at": None, "upstream_id": None, "upstream_name": None, "decisions": {}}
    return row(**{**none, "outcome": "refused", "status": 403, "error_type": error_type, "error_text": "No.", **fields})


def page(call: RequestLog, client: Client | None = None):
    return (client or signed_in()).get(f"{LIST}{call.pk}/change/")


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def verdicts(call: RequestLog) -> list[tuple[str, str]]:
    return [(step.title, step.verdict) for step in chain_of(call, Facts(call.decisions))]


# --- The chain ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_page_tells_what_was_decided() -> None:
    told = text(page(row(queue_ms=50.0)))
    for words in (
        "“dev” was known from memory. It came in the header x-api-key.",
        "POST /v1/chat/completions is of the class inference.",
        "100 bytes, read in 0.30 ms.",
        "“qwen” was asked for, which the upstream knows as “Qwen/Qwen3”.",
        "Calls a minute of the virtual key 7 of 100 1 42 s",
        "Budget of the team $1.00 of $5.00",
        "Tokens a minute, per model (qwen*) of the virtual key; gone over, in shadow 6,000 of 5,000 tokens",
        "the call waited 50 ms",
        "Chosen among 2 by the model's strategy: the one with the fewest calls open from here.",
        "gpu-2 looked ill or cooled down: a last resort",
        "gpu-9: upstream unreachable, after 3.00 ms.",
        "gpu-1 took the call on a new connection, made in 2.00 ms.",
        "Status 200, completed, 1.00 s after the call came in. 2,000 bytes were sent as a stream.",
    ):
        assert words in told.replace("&#x27;", "'"), words


@pytest.mark.django_db
def test_of_a_limit_that_refused_only_the_ceiling_is_told() -> None:
    limit = ["key", "rpm_limit", None, None, 100, None, 1, None, True, False]
    told = text(page(refused("throttling_error", decisions={"limits": [limit]})))
    assert "Calls a minute of the virtual key at most 100 1" in told


@pytest.mark.django_db
def test_the_limit_that_refused_is_marked_and_tells_how_it_stood() -> None:
    limits = [
        ["key", "max_parallel_requests", None, None, 9, None, 1, None, True, False],
        ["key", "rpm_limit", None, None, 3, 3, 1, 42, True, True],
    ]
    told = text(page(refused("throttling_error", decisions={"limits": limits})))
    assert "Calls a minute refused the call of the virtual key 3 of 3 1 42 s" in told
    assert "Calls at once of the virtual key at most 9 1 —" in told
    assert "how those stood that did not refuse it was not looked up" in told


@pytest.mark.django_db
@pytest.mark.parametrize("decisions", [None, {}, [], {"limits": None, "at": 3, "among": None}])
def test_a_row_of_an_older_release_tells_what_is_known(decisions: object) -> None:
    call = row(decisions=decisions)
    told = text(page(call))
    assert "gpu-1 took the call." in told
    assert "0 ms 100 ms" in told
    assert [verdict for _, verdict in verdicts(call)] == ["passed"] * 7 + ["complete"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error_type", "step"),
    [
        ("expired_key", "Virtual key"),
        ("key_route_access_denied", "Endpoint class and route"),
        ("request_too_large", "Request body"),
        ("NotFoundError", "Model"),
        ("budget_exceeded", "Limits"),
        ("never_seen", "Endpoint class and route"),
    ],
)
def test_a_refusal_is_told_where_it_was_decided(error_type: str, step: str) -> None:
    told = verdicts(refused(error_type))
    titles = [title for title, _ in told]
    here = titles.index(step)
    assert told[here][1] == "refused here"
    assert {verdict for _, verdict in told[:here]} <= {"passed"}
    assert {verdict for _, verdict in told[here + 1 :]} == {"not reached"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"outcome": "upstream_failed", "status": 503, "error_type": "upstream_saturated", "head_at": None}, 5),
        ({"outcome": "upstream_failed", "status": 502, "error_type": "upstream_unreachable", "head_at": None}, 6),
        ({"outcome": "upstream_failed", "status": 503, "error_type": "no_upstream", "head_at": None}, 3),
        ({"outcome": "lost", "status": None, "head_at": None, "ended_at": None}, 6),
        ({"outcome": "client_disconnected", "status": 200}, 7),
        ({"outcome": "client_disconnected", "status": None, "head_at": None, "upstream_name": None}, 3),
        ({"outcome": "from_the_future"}, 7),
    ],
)
def test_a_failure_is_told_where_it_happened(fields: dict[str, object], last: int) -> None:
    told = [verdict for _, verdict in verdicts(row(**fields))]
    assert told[last + 1 :] == ["not reached"] * (7 - last)
    assert told[last] not in {"not reached", "passed"}


@pytest.mark.django_db
def test_a_refused_call_used_nothing() -> None:
    assert "Nothing was used." in text(page(refused("expired_key", usage_source="none")))


# --- Remedies -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_cause_leads_to_where_it_is_mended() -> None:
    key, _ = VirtualKey.objects.issue(name="dev")
    upstream = Upstream(name="gpu-1", url="http://gpu-1")
    upstream.save()
    client = signed_in()
    for call, address in (
        (refused("expired_key", key_id=key.pk), f"/admin/keys/virtualkey/{key.pk}/change/"),
        (refused("request_too_large"), "/admin/settings/"),
        (refused("no_upstream"), "/admin/upstreams/upstream/"),
        (
            row(outcome="upstream_failed", error_type="upstream_timeout", upstream_id=upstream.pk),
            f"/admin/upstreams/upstream/{upstream.pk}/change/",
        ),
        (row(outcome="upstream_failed", error_type="upstream_timeout", upstream_id=99), "/admin/upstreams/upstream/"),
    ):
        assert page(call, client).context["remedy"][0] == address


@pytest.mark.django_db
def test_nobody_is_sent_where_they_may_not_go() -> None:
    client = signed_in("gateway.view_requestlog")
    for error_type in ("expired_key", "request_too_large", "no_upstream", "upstream_timeout"):
        assert page(refused(error_type), client).context["remedy"] is None


# --- Time -----------------------------------------------------------------------------------------


def test_the_timeline_has_all_that_was_noted() -> None:
    moments = [("received", 0.0), ("upstream head", 100.0), ("first token", 200.0), ("end", 1000.0)]
    facts = Facts(DECISIONS)
    found = stretches_of(moments, facts.at, facts.tried, queue_ms=50.0)
    assert [(one.kind, one.start, one.end) for one in found] == [
        ("auth", -0.2, 0.1),
        ("body", 0.1, 0.4),
        ("choice", 0.4, 1.0),
        ("failed", 1.0, 4.0),
        ("choice", 4.0, 10.0),
        ("queue", 10.0, 60.0),
        ("connect", 60.0, 62.0),
        ("upstream head", 62.0, 100.0),
        ("first token", 100.0, 200.0),
        ("end", 200.0, 1000.0),
    ]


def test_the_timeline_of_a_refused_call_ends_where_it_was_refused() -> None:
    found = stretches_of([("received", 0.0), ("end", 0.3)], {"began": -0.1, "checked": 0.1, "body": 0.2})
    assert [(one.kind, one.end) for one in found] == [("auth", 0.1), ("body", 0.2), ("end", 0.3)]


@pytest.mark.django_db
@pytest.mark.parametrize(("began", "took"), [(0, "1.00 s"), (-200_000, "1.20 s")])
def test_what_a_call_took_is_as_long_as_its_timeline(began: int, took: str) -> None:
    response = page(row(decisions={**DECISIONS, "at": {**DECISIONS["at"], "began": began}}))
    assert response.context["took"] == took
    bars = [bar for bar, *_ in response.context["bars"]]
    assert f"{(bars[-1].start_ms + bars[-1].length_ms) / 1000:.2f} s" == took


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ttft", "said", "not_said"),
    [(200.0, "Until the first token", "first byte"), (None, "Until the first byte", "first token")],
)
def test_only_the_timeline_of_a_stream_tells_of_a_token(ttft: float | None, said: str, not_said: str) -> None:
    stretches = [bar.name for bar, *_ in page(row(ttft_ms=ttft)).context["bars"]]
    assert said in stretches
    assert not any(not_said in one for one in stretches)


# --- Cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prices",
    [
        Prices(input=Decimal("0.000001"), output=Decimal("0.000002")),
        Prices(input=Decimal("0.000001"), cached=Decimal("0.0000001"), output=Decimal("0.02")),
        Prices(second=Decimal("0.001"), request=Decimal("0.5")),
    ],
)
def test_the_parts_of_a_cost_come_to_what_was_charged(prices: Prices) -> None:
    lines = cost_lines(prices.told, prompt=100, completion=20, cached=40, seconds=1.5)
    assert sum(line.amount for line in lines) == Decimal(shown(prices.cost(100, 20, 40, 1.5)))


@pytest.mark.django_db
def test_a_page_tells_how_the_cost_was_computed() -> None:
    told = text(page(row(cost="0.000013")))
    assert "prompt tokens 3 $1 a million $0.000003" in told
    assert "completion tokens 5 $2 a million $0.00001" in told
    assert "At which prices was not kept." in text(page(row(cost="0.1", decisions=None), signed_in(name="eve")))


# --- Once more ------------------------------------------------------------------------------------


def repeat(prefix: str = "/vllm", *, names_upstream: bool = False, **fields: object) -> log_curl.Repeat:
    known = {"method": "POST", "route": "/v1/chat/completions", "model": "qwen", "streaming": False, "bytes_in": 9}
    rest = {"outcome": "completed", "upstream_name": "gpu 1", "end_user": None, "tags": []}
    call = SimpleNamespace(**{**known, **rest, **fields})
    request = RequestFactory().get("/", secure=True, headers={"host": "gw.example"})
    return repeat_of(request, call, prefix, names_upstream=names_upstream)


def test_a_call_can_be_repeated() -> None:
    command, to_fill_in = repeat(streaming=True)
    assert command == (
        "curl -N https://gw.example/vllm/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $VLLM_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "qwen", "max_tokens": 256, "messages": [{"role": "user", "content": "Your words"}], '
        '"stream": true}\''
    )
    assert to_fill_in == "your own words, in the place of the body, which is not on this page"


def sent(command: str) -> dict[str, object]:
    words = shlex.split(command)
    return json.loads(words[words.index("-d") + 1])


@pytest.mark.parametrize("route", [route for route in ROUTES if route.meter and not route.form], ids=str)
def test_each_metered_route_gets_a_body_for_its_model(route: Route) -> None:
    command, to_fill_in = repeat(route=route.template)
    body = sent(command)
    assert body.pop("model") == "qwen"
    assert body
    assert "..." not in body
    assert to_fill_in.startswith("your own words")


@pytest.mark.parametrize(
    ("route", "model"),
    [("/v1/messages", "MODEL"), ("/v1/messages/count_tokens", "MODEL"), ("/cohere/v2/chat", "MODEL"), ("/score", None)],
)
def test_a_model_that_is_not_known_is_to_be_filled_in_where_vllm_needs_one(route: str, model: str | None) -> None:
    command, to_fill_in = repeat(route=route, model=None)
    assert sent(command).get("model") == model
    assert to_fill_in.startswith("the model in capitals and your own words") == bool(model)


def test_a_route_that_is_not_known_says_that_the_body_is_missing() -> None:
    command, to_fill_in = repeat(route="/v1/new", streaming=True)
    assert sent(command) == {"model": "qwen", "stream": True, "...": "put the rest of the body here"}
    assert to_fill_in == "the body, which is not on this page"


def test_a_call_is_repeated_at_the_public_address(settings) -> None:
    settings.PUBLIC_URL = "https://llm.example.org"
    assert repeat().command.startswith("curl https://llm.example.org/vllm/v1/chat/completions ")


def test_a_command_names_the_upstream_the_end_user_and_the_tags_that_the_call_named() -> None:
    told = {"end_user": "it's bob", "tags": ["blue", "a,b", "docs"]}
    words = shlex.split(repeat(names_upstream=True, **told).command.replace("\\\n", ""))
    assert {"x-gateway-upstream: gpu 1", "x-end-user-id: it's bob", "x-gateway-tags: blue,docs"} <= set(words)
    assert "x-gateway-upstream" not in repeat(**told).command
    assert "x-gateway-upstream" not in repeat("/upstreams/gpu%201", names_upstream=True).command


def test_a_file_of_sound_is_sent_as_a_form() -> None:
    command, to_fill_in = repeat(route="/v1/audio/transcriptions", model="a b")
    assert command.endswith("-F 'model=a b' \\\n  -F file=@audio.wav")
    assert "json" not in command
    assert to_fill_in == "a file of sound for audio.wav"


def test_a_session_is_no_curl() -> None:
    command, _ = repeat("", method="GET", route="/v1/realtime", streaming=True)
    assert command == (
        "websocat 'wss://gw.example/v1/realtime?model=qwen' \\\n  -H=\"Authorization: Bearer $VLLM_API_KEY\""
    )


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"method": "GET", "route": "/v1/models"}, "curl https://gw.example/vllm/v1/models"),
        ({"method": "DELETE", "route": "/x"}, "curl https://gw.example/vllm/x \\\n  -X DELETE"),
        ({"bytes_in": 0, "route": "/sleep"}, "curl https://gw.example/vllm/sleep \\\n  -X POST"),
        ({"route": "/v1/x/{id}/{rest:path}"}, "curl https://gw.example/vllm/v1/x/ID/REST"),
        ({"route": "/$(id)'x"}, "curl 'https://gw.example/vllm/$(id)'\"'\"'x'"),
    ],
)
def test_a_command_is_safe_to_paste(fields: dict[str, object], first: str) -> None:
    assert repeat(**fields).command.startswith(f"{first} \\\n  -")


def test_no_path_leads_to_another_host() -> None:
    assert repeat("", method="GET", route="//evil.example/x").command.startswith("curl https://gw.example//evil")


def test_a_captured_body_is_put_in_for_who_may_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [lambda request, call: None, lambda request, call: b'{"model": "it\'s"}']
    monkeypatch.setattr(log_curl, "BODY_SOURCES", sources)
    command, to_fill_in = repeat()
    assert command.endswith('-d \'{"model": "it\'"\'"\'s"}\'')
    assert to_fill_in == ""


def test_a_captured_body_that_is_too_long_is_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"model": "qwen", "prompt": "x" * 20_000}).encode()
    monkeypatch.setattr(log_curl, "BODY_SOURCES", [lambda request, call: body])
    command, to_fill_in = repeat()
    assert sent(command)["messages"] == [{"role": "user", "content": "Your words"}]
    assert "whose 20,031 bytes are too many for a command" in to_fill_in


def test_a_captured_body_that_is_no_text_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_curl, "BODY_SOURCES", [lambda request, call: b"\xff\x00"])
    command, to_fill_in = repeat()
    assert sent(command)["model"] == "qwen"
    assert to_fill_in.endswith("in the place of the body, which is no text")


# --- What a call notes ----------------------------------------------------------------------------


def an_open_call() -> OpenCall:
    return OpenCall(call_id="c", request_id="r", received_at=0, method="POST", on_end=lambda call: None)


def test_a_call_that_noted_nothing_tells_nothing() -> None:
    assert told_of(an_open_call()) == {}


def test_what_is_noted_of_one_call_is_of_no_other() -> None:
    one = Decisions()
    one.note_attempt("gpu-1", 1.0, 2.0, "upstream_reset")
    assert Decisions().tried == ()


def test_moments_are_told_from_receiving_the_call() -> None:
    call = an_open_call()
    call.decisions.began, call.decisions.asked = call.opened_at - 0.001, call.opened_at + 0.25
    call.decisions.note_attempt("gpu-1", call.opened_at + 0.1, call.opened_at + 0.2, "upstream_reset")
    told = told_of(call)
    assert (round(told["at"]["began"], -2), round(told["at"]["asked"], -2)) == (-1000, 250_000)
    [(name, asked, ended, end)] = told["tried"]
    assert (name, round(asked, -2), round(ended, -2), end) == ("gpu-1", 100_000, 200_000, "upstream_reset")


def test_few_attempts_and_limits_are_kept_of_many() -> None:
    call = an_open_call()
    for _ in range(50):
        call.decisions.note_attempt("gpu-1", 1.0, 2.0, "upstream_reset")
    charge = Charge("key:1/rpm", 1, 10, limit="rpm_limit")
    call.bill = Bill(charges=[charge] * 50, standings=[Standing(3, 59.96, 1)] * 50)
    told = told_of(call)
    assert (len(told["tried"]), len(told["limits"])) == (16, 24)
    assert told["limits"][0] == ("key", "rpm_limit", None, None, 10, 3, 1, 59, True, False)


def test_limits_that_refused_a_call_are_told_without_what_was_used() -> None:
    call = an_open_call()
    call.bill = Bill(charges=[Charge("key:1/rpm", 1, 10, limit="rpm_limit")])
    [limit] = Facts(told_of(call)).limits
    assert (limit.name, limit.used, limit.ceiling) == ("Calls a minute", "", "10")


def test_of_a_limit_that_refused_a_call_it_is_told_what_was_used() -> None:
    call, charge = an_open_call(), Charge("key:1/rpm", 1, 10, seconds=60.0, limit="rpm_limit", counts="requests")
    call.bill = Bill(charges=[Charge("key:1/p", 1, 5, limit="max_parallel_requests"), charge])
    call.fail(Outcome.REFUSED, charge.exceeded(10, 41.2))
    other, limit = Facts(told_of(call)).limits
    assert (limit.name, limit.used, limit.ceiling, limit.left, limit.refused) == (
        "Calls a minute",
        "10",
        "10",
        "42 s",
        True,
    )
    assert (other.used, other.refused) == ("", False)


def test_a_limit_that_refused_is_told_among_however_many() -> None:
    call, charge = an_open_call(), Charge("key:1/rpm", 1, 10, limit="rpm_limit", seconds=60.0, counts="requests")
    call.bill = Bill(charges=[Charge(f"{at}", 1, 5, limit="model_rpm_limit") for at in range(50)] + [charge])
    call.fail(Outcome.REFUSED, charge.exceeded(10, 41.2))
    assert [one.refused for one in Facts(told_of(call)).limits][:2] == [True, False]
