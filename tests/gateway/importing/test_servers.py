"""Models of LiteLLM's database as deployments: opened with the salt key, and never guessed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.importing import reading
from gateway.importing.reading import Tables
from gateway.importing.servers import read_models
from gateway.importing.wanted import Wanted, Wishes
from tests.support.litellm_database import SALT_KEY, model_row, sealed


def read(*rows: dict[str, Any], salt_key: str | None = SALT_KEY, credentials: Any = ()) -> Wishes:
    wishes = Wishes("test")
    tables = {reading.MODELS: list(rows), reading.CREDENTIALS: list(credentials)}
    read_models(Tables("test", tables), salt_key, wishes)
    return wishes


def model(**params: Any) -> Wanted:
    wishes = read(model_row("chat", **params))
    assert not wishes.refused
    return wishes.rows[0]


def reason(*rows: dict[str, Any], **options: Any) -> str:
    wishes = read(*rows, **options)
    assert not wishes.rows
    return wishes.refused[0].reason


def test_a_model_is_a_deployment() -> None:
    wish = model(model="hosted_vllm/org/chat", api_key="hunter2", rpm=5, tpm="10", weight=3, input_cost_per_token=1e-6)
    values = wish.values
    assert (values["alias"], values["served_name"]) == ("chat", "org/chat")
    assert (values["url"], values["credential"]) == ("http://gpu:8000", "hunter2")
    assert (values["rpm"], values["tpm"], values["weight"]) == (5, 10, 3)
    assert values["input_cost_per_token"] == Decimal("0.000001")
    assert values["info"] == {"id": "id-of-chat"}
    assert "hunter2" not in f"{read(model_row('chat', api_key='hunter2')).notes}"


def test_the_price_of_a_second_has_several_names() -> None:
    assert model(input_cost_per_second=0.5).values["cost_per_second"] == Decimal("0.5")


def test_weights_keep_their_proportions() -> None:
    wishes = read(
        model_row("chat", weight=0.3), model_row("chat", model_id="2", weight=1), model_row("other", weight=2)
    )
    assert [one.values["weight"] for one in wishes.rows] == [30, 100, 2]


def test_without_a_salt_key_nothing_is_guessed() -> None:
    assert reason(model_row("chat"), salt_key=None) == "its values are encrypted, and there is no salt key."
    assert (
        reason(model_row("chat"), salt_key="sk-x") == "its values are encrypted, and the salt key does not open them."
    )


def test_values_that_were_never_encrypted_are_taken() -> None:
    row = {**model_row("chat"), "litellm_params": {"model": "vllm/chat", "api_base": "http://gpu:8000"}}
    assert read(row, salt_key=None).rows[0].values["served_name"] == "chat"


def test_address_and_credential_may_stand_in_a_table_of_their_own() -> None:
    row = model_row("chat", litellm_credential_name="lab")
    del row["litellm_params"]["api_base"]
    values = {"api_base": sealed("http://lab:1"), "api_key": sealed("hunter2"), "other": sealed("x")}
    found = read(row, credentials=[{"credential_name": "lab", "credential_values": values}]).rows[0].values
    assert (found["url"], found["credential"]) == ("http://lab:1", "hunter2")
    assert reason(row) == "its credential is not in LiteLLM's database."


def test_a_blocked_model_is_hidden() -> None:
    assert read({**model_row("chat"), "blocked": True}).rows[0].values["hidden"] is True


def test_parameters_without_effect_are_named_and_not_shown() -> None:
    wishes = read(model_row("chat", drop_params=True, extra_headers="hunter2", use_in_pass_through=True))
    assert [note.text for note in wishes.notes] == [
        "drop_params has no effect here.",
        "extra_headers has no effect here.",
    ]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"model": "anthropic/claude"}, "it is not a vLLM server's: this gateway stands in front of vLLM only."),
        ({"model": "hosted_vllm/"}, "it is not a vLLM server's: this gateway stands in front of vLLM only."),
        ({"model": "hosted_vllm/" + "x" * 205}, "the name that its server knows it by cannot be used."),
        ({"api_base": "os.environ/MY_SERVER"}, "its api_base stands in LiteLLM's environment, which is not read."),
        ({"api_key": "os.environ/MY_KEY"}, "its api_key stands in LiteLLM's environment, which is not read."),
        ({"api_base": "ftp://x"}, "its api_base cannot be used."),
        ({"api_base": None}, "it has no api_base, so nothing says where its server is."),
        ({"api_key": 5}, "its api_key cannot be used."),
    ],
)
def test_what_cannot_be_served_is_refused(params: dict[str, Any], why: str) -> None:
    assert reason(model_row("chat", **params)) == why


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"model_id": "deployment-1"}, "its id cannot be used here."),
        ({"model_name": " "}, "its name must have 1 to 200 characters here."),
        ({"model_info": {"team_id": "t"}}, "it is for one team; here that team's list of models says so."),
    ],
)
def test_a_strange_row_is_refused(columns: dict[str, Any], why: str) -> None:
    assert reason({**model_row("chat"), **columns}) == why


def test_a_provider_may_stand_beside_the_model() -> None:
    assert model(model="org/chat", custom_llm_provider="hosted_vllm").values["served_name"] == "org/chat"
