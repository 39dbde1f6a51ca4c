"""Whatever a file holds, it is understood or refused with one sentence: never a traceback."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.document import ConfigError
from gateway.config.plan import State, make_plan
from gateway.config.reader import read_text

KEYS = """
    model_list model_name litellm_params dheera_ai_params model_info id model api_base api_key rpm tpm weight timeout
    stream_timeout input_cost_per_token cost_per_second output_cost_per_second price_per_hour
    general_settings master_key router_settings routing_strategy num_retries
    cooldown_time allowed_fails model_group_alias gateway upstreams deployments aliases routing keys name url credential
    state default max_parallel upstream alias served_name hidden info stands_for strategy prefix_bytes secret models
    """.split()
WORDS = [
    "hosted_vllm/a",
    "vllm/*",
    "openai/b",
    "http://a:1",
    "http://[::1",
    "os.environ/HERE",
    "os.environ/NOT",
    "sk-",
    "m",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(WORDS), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=6,  # a file has many values: with larger ones most of the time goes into making them
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"model_name": SCALARS, "litellm_params": st.dictionaries(st.sampled_from(KEYS[5:17]), SCALARS)},
        optional={"model_info": VALUES},
    ),
    max_size=3,
)
FILES = st.builds(
    lambda values, rows: {**values, **rows},
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
    st.fixed_dictionaries({}, optional={"model_list": ROWS}),
)


def sentence(text: str) -> str:
    """What is said of the file; "" when it can be applied."""
    try:
        make_plan(State(), read_text(text, {"HERE": "there"}).wanted).lines()
    except ConfigError as error:
        return str(error)
    return ""


@given(FILES)
@settings(max_examples=60, deadline=None)
def test_any_values(values: object) -> None:
    said = sentence(yaml.dump(values, allow_unicode=True))
    assert "\n" not in said
    assert said.startswith("config.yaml, line ") or not said


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text(text: str) -> None:
    assert "\n" not in sentence(text)
