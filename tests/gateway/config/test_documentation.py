"""docs/configuration.md names every key, and no other, and its examples can be applied."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.document import ConfigError
from gateway.config.reader import read_text
from gateway.config.startup import AT_START
from gateway.model_api.fields import Params
from tests.gateway.config.seeds import row, rows
from tests.test_docs import blocks, code, section
from tests.test_docs import rows as cells

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "configuration.md").read_text()
VARIABLES = {"CHAT_CREDENTIAL": "x", "NIGHTLY_KEY": "sk-0123456789abcdefghij"}


def documented(heading: str, head: str) -> set[str]:
    """The keys in the first column of the table with this head."""
    text = section(PAGE, heading)
    _, _, rest = text.partition(f"| {head} |")
    table = re.split(r"\n\n", f"| {head} |{rest}", maxsplit=1)[0]
    return {key for cell in cells(table) for key in code(cell[0])}


@pytest.mark.parametrize("text", blocks(PAGE, "yaml"))
def test_the_examples_can_be_applied_without_a_warning(text: str) -> None:
    assert read_text(text, VARIABLES).warnings == ()


@pytest.mark.parametrize(
    ("key", "item"),
    [
        ("upstreams", "[{name: a, url: http://a, unknown: 1}]"),
        ("deployments", "[{upstream: a, alias: m, unknown: 1}]"),
        ("aliases", "[{name: a, unknown: 1}]"),
        ("routing", "{unknown: 1}"),
        ("keys", "[{name: a, secret: os.environ/NIGHTLY_KEY, unknown: 1}]"),
    ],
)
def test_our_own_section_is_documented_whole(key: str, item: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_text(f"gateway: {{{key}: {item}}}", VARIABLES)
    known = str(caught.value).partition("known are ")[2].rstrip(".").split(", ")
    assert documented("## `gateway`", f"key of `{key}`") == set(known)


def test_each_documented_parameter_is_understood() -> None:
    keys = documented("## `model_list`", "key of `litellm_params`")
    assert set(Params().fields) == keys
    for key in keys - {"model", "api_base", "custom_llm_provider", "api_key"}:
        assert read_text(rows(row(**{key: 1})), {}).warnings == (), key


def test_each_documented_setting_of_litellm_s_is_understood() -> None:
    for key in documented("## `router_settings`", "key"):
        with pytest.raises(ConfigError, match=key):
            read_text(f"router_settings: {{{key}: [1]}}", {})
    assert documented("## `general_settings`", "key") == set(AT_START)
