"""vLLM's own figures."""

import pytest

from upstreams.load import Figures, read

RECORDED = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny-chat"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="tiny-chat"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny-chat",reason="capacity"} 7.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="tiny-chat"} 0.25
"""


def test_it_works() -> None:
    assert read(RECORDED) == Figures(running=3, waiting=2, kv_cache_use=0.25)


def test_the_engines_of_a_server_are_taken_together() -> None:
    second = RECORDED.replace(b'engine="0"', b'engine="1"').replace(b"0.25", b"0.75")
    assert read(RECORDED + second) == Figures(running=6, waiting=4, kv_cache_use=0.5)


def test_a_model_name_may_hold_braces_and_spaces() -> None:
    assert read(RECORDED.replace(b"tiny-chat", b"a} 9 {b")) == Figures(3, 2, 0.25)


def test_the_older_name_of_the_cache_is_known() -> None:
    assert read(RECORDED.replace(b"vllm:kv_cache", b"vllm:gpu_cache")) == Figures(3, 2, 0.25)


def test_without_a_cache_its_use_is_unknown() -> None:
    assert read(RECORDED.replace(b"kv_cache", b"other")) == Figures(3, 2, None)


@pytest.mark.parametrize("value", [b"NaN", b"-1.0", b"+Inf", b"many"])
def test_a_figure_that_is_none_counts_as_unknown(value: bytes) -> None:
    assert read(RECORDED.replace(b" 2.0", b" " + value)) is None


@pytest.mark.parametrize("text", [b"", b"<html>", b"vllm:num_requests_running 1.0"])
def test_other_text_tells_nothing(text: bytes) -> None:
    assert read(text) is None
