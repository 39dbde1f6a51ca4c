"""The programs beside a new secret: each is whole, for a model that the key may use, and can be pasted as it is."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest
from django.test import Client

from gateway.admin_pages.snippet_access import Access
from gateway.admin_pages.snippets import (
    DOCUMENTS,
    QUESTION,
    Call,
    Snippet,
    for_chat,
    for_completions,
    for_embeddings,
    for_keys,
    for_models,
    for_ranking,
)
from keys.models import Owner, Team, VirtualKey
from tests.support.people import signed_in
from upstreams.models import UNHEALTHY, Deployment, Upstream

KEYS = "/admin/keys/virtualkey/"
NEW = {
    "name": "docs bot",
    "key_type": "default",
    "endpoint_classes": ["inference", "monitoring"],
    "priority": "0",
    "valid_for": "0",
}
AWKWARD = """'; rm -rf /; ' "quoted" \\n $HOME `id` @MODEL@ 模型"""
CALL = Call("https://llm.example.org", "sk-vgw-secret", "org/tiny")


@pytest.fixture
def admin() -> Client:
    return signed_in()


def an_upstream(**fields: object) -> Upstream:
    upstream = Upstream(name="gpu-1", url="http://gpu-1:8000", **fields)
    upstream.save()
    return upstream


def issued(admin: Client, **fields: object) -> dict[str, str]:
    response = admin.post(f"{KEYS}add/", {**NEW, **fields})
    [(_, plain, snippets)] = response.context["issued"]
    assert all(plain in snippet.text for snippet in snippets)
    return {snippet.name: snippet.text for snippet in snippets}


# --- What they say -------------------------------------------------------------------------------


def python(snippets: list[Snippet]) -> list[Snippet]:
    return [snippet for snippet in snippets if not snippet.text.startswith(("curl", "export"))]


@pytest.mark.parametrize("made", [for_chat, for_embeddings])
@pytest.mark.parametrize("model", ["org/tiny", AWKWARD])
def test_python_programs_compile_and_say_what_was_meant(made, model: str) -> None:
    found = python(made(Call(CALL.address, CALL.secret, model)))
    assert len(found) >= 3
    for snippet in found:
        tree = ast.parse(snippet.text)
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert {CALL.secret, "Hello"} <= texts, snippet.name
        assert model in texts or f"hosted_vllm/{model}" in texts, snippet.name


def test_a_program_that_ranks_compiles_and_says_what_was_meant() -> None:
    [program] = python(for_ranking(Call(CALL.address, CALL.secret, AWKWARD)))
    texts = {node.value for node in ast.walk(ast.parse(program.text)) if isinstance(node, ast.Constant)}
    assert {CALL.secret, QUESTION, *DOCUMENTS, f"hosted_vllm/{AWKWARD}"} <= texts


@pytest.mark.parametrize("made", [for_chat, for_embeddings, for_ranking])
@pytest.mark.parametrize("model", ["org/tiny", AWKWARD])
def test_commands_hold_one_json_body_for_the_model(made, model: str) -> None:
    commands = [snippet.text for snippet in made(Call(CALL.address, CALL.secret, model)) if "curl" in snippet.text]
    for command in commands:
        words = shlex.split(command)
        bodies = [json.loads(words[at + 1]) for at, word in enumerate(words) if word == "-d"]
        assert bodies
        assert all(body["model"] == model for body in bodies)


def test_each_client_gets_its_own_address() -> None:
    said = {snippet.name: snippet.text for snippet in for_chat(CALL)}
    assert list(said) == ["curl", "OpenAI", "Anthropic", "LiteLLM", "LangChain", "vLLM"]
    assert 'base_url="https://llm.example.org/v1"' in said["OpenAI"]
    assert 'base_url="https://llm.example.org"' in said["Anthropic"]  # its client adds /v1/messages
    assert 'model="hosted_vllm/org/tiny"' in said["LiteLLM"]
    assert "export VLLM_URL=https://llm.example.org/vllm\n" in said["vLLM"]


def test_the_first_answer_is_short() -> None:
    for snippet in for_chat(CALL):
        assert re.search(r'"max_tokens": 256|max_tokens=256', snippet.text), snippet.name


def test_keys_without_a_model_get_a_list() -> None:
    assert "/vllm/v1/models" in for_models(CALL.address, CALL.secret)[0].text
    assert "/key/list" in for_keys(CALL.address, CALL.secret)[0].text


# --- For whom ------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestThePage:
    def test_the_gateways_address_is_that_of_the_request(self, admin: Client) -> None:
        assert "curl http://testserver/vllm/v1/models" in issued(admin)["curl"]

    def test_or_the_public_address(self, admin: Client, settings) -> None:
        settings.PUBLIC_URL = "https://llm.example.org"
        assert "curl https://llm.example.org/vllm/" in issued(admin)["curl"]

    def test_they_ask_for_a_model_that_is_served(self, admin: Client) -> None:
        Upstream.objects.filter(pk=an_upstream().pk).update(served_models=["qwen"])
        said = issued(admin)
        assert '"model": "qwen"' in said["curl"]
        assert 'model="qwen"' in said["OpenAI"]

    def test_they_ask_for_a_model_that_the_key_may_use(self, admin: Client) -> None:
        upstream = an_upstream()
        Upstream.objects.filter(pk=upstream.pk).update(served_models=["qwen"])
        Deployment(upstream=upstream, alias="llama-3", source="admin").save()
        assert '"model": "llama-3"' in issued(admin, models="llama-*")["curl"]

    def test_they_ask_for_a_model_that_the_key_names(self, admin: Client) -> None:
        assert '"model": "mistral"' in issued(admin, models="qwen-*\nmistral")["curl"]

    def test_a_model_for_chats_comes_first(self, admin: Client) -> None:
        upstream = an_upstream()
        Deployment(upstream=upstream, alias="a-embeddings", info={"mode": "embedding"}).save()
        Deployment(upstream=upstream, alias="chat").save()
        assert '"model": "chat"' in issued(admin)["curl"]
        only = issued(admin, name="search", models_picked=["a-embeddings"])
        assert "/vllm/v1/embeddings" in only["curl"]
        assert "Anthropic" not in only

    def test_a_model_whose_upstream_is_away_comes_last(self, admin: Client) -> None:
        away = an_upstream(health=UNHEALTHY)
        Deployment(upstream=away, alias="a-chat").save()
        assert '"model": "a-chat"' in issued(admin)["curl"]  # better than none
        there = Upstream.objects.create(name="gpu-2", url="http://gpu-2:8000")
        Deployment(upstream=there, alias="chat").save()
        assert '"model": "chat"' in issued(admin, name="second")["curl"]

    def test_a_model_that_ranks_is_asked_for_no_chat(self, admin: Client) -> None:
        Deployment(upstream=an_upstream(), alias="bge-reranker").save()
        said = issued(admin, models_picked=["bge-reranker"])
        assert "/vllm/v1/rerank" in said["curl"]
        assert "/score" in said["vLLM"]
        assert list(said) == ["curl", "LiteLLM", "vLLM"]

    def test_a_hidden_model_is_in_no_program(self, admin: Client) -> None:
        Deployment(upstream=an_upstream(), alias="secret", hidden=True).save()
        assert "/vllm/v1/models" in issued(admin)["curl"]

    def test_a_key_without_inference_gets_the_models(self, admin: Client) -> None:
        assert "/vllm/v1/models" in issued(admin, models="qwen", endpoint_classes=["monitoring"])["curl"]

    def test_a_management_key_gets_the_keys(self, admin: Client) -> None:
        assert "curl http://testserver/key/list" in issued(admin, key_type="management")["curl"]

    def test_they_ask_for_a_model_that_the_team_and_the_owner_may_use_too(self, admin: Client) -> None:
        Upstream.objects.filter(pk=an_upstream().pk).update(served_models=["a-chat", "slow-chat", "tiny-chat"])
        Team(team_id="red", models=["*-chat"]).save()
        Owner(user_id="ada", models=["tiny-*"]).save()
        assert '"model": "tiny-chat"' in issued(admin, team_id="red", user_id="ada")["curl"]

    def test_they_ask_for_a_model_that_only_the_team_names(self, admin: Client) -> None:
        Team(team_id="red", models=["tiny-*", "mistral"]).save()
        assert '"model": "mistral"' in issued(admin, team_id="red")["curl"]

    @pytest.mark.parametrize(
        ("routes", "command", "tabs"),
        [
            ("/v1/embeddings", "http://testserver/v1/embeddings", ["curl", "OpenAI", "LiteLLM", "LangChain"]),
            ("/v1/completions", "http://testserver/v1/completions", ["curl", "OpenAI"]),
            ("/vllm/v1/completions", "http://testserver/vllm/v1/completions", ["curl"]),
            ("vllm_routes", "http://testserver/vllm/v1/chat/completions", ["curl", "vLLM"]),
            ("/v1/models", "http://testserver/v1/models", ["curl"]),
        ],
    )
    def test_they_call_what_the_key_s_routes_hold(
        self, admin: Client, routes: str, command: str, tabs: list[str]
    ) -> None:
        upstream = an_upstream()
        Deployment(upstream=upstream, alias="chat").save()
        Deployment(upstream=upstream, alias="search", info={"mode": "embedding"}).save()
        found = issued(admin, allowed_routes=routes)
        assert f"curl {command} " in found["curl"]
        assert list(found) == tabs

    def test_a_key_for_server_control_gets_what_it_controls(self, admin: Client) -> None:
        found = issued(admin, endpoint_classes=["server_control"])
        assert "/vllm/openapi.json" in found["curl"]

    def test_where_no_program_would_work_the_page_says_so(self, admin: Client) -> None:
        Deployment(upstream=an_upstream(), alias="chat").save()
        html = admin.post(f"{KEYS}add/", {**NEW, "allowed_routes": "/vllm/pooling"}).content.decode()
        assert "No program is shown" in html
        assert "<pre" not in html

    def test_what_is_shown_gets_past_the_permission_step(self, admin: Client) -> None:
        key = VirtualKey.objects.issue(name="dev", models=["qwen"])[0]
        access = Access.of(key)
        for made in (for_chat, for_completions, for_embeddings):
            for snippet in made(Call(CALL.address, CALL.secret, "qwen")):
                assert snippet.calls
                assert all(access.may_call(target, "qwen") for target in snippet.calls)
                assert not any(access.may_call(target, "other") for target in snippet.calls)

    def test_the_tabs_need_no_script(self, admin: Client) -> None:
        html = admin.post(f"{KEYS}add/", {**NEW, "models": "mistral"}).content.decode()
        ids = re.findall(r'<input class="visually-hidden" type="radio" name="tab" id="([^"]+)"', html)
        assert len(ids) == 6
        assert "The key works at both." in html
        assert all(f'<label for="{one}">' in html for one in ids)
        assert html.count(" checked>") == 1
