import json

import pytest

from gateway.metering.excerpt import Excerpt, top_level

USAGE = {"prompt_tokens": 1, "total_tokens": 1}
LONG = "x" * 100_000


def excerpt_of(body: object, *, key: str = "usage", step: int = 9_000) -> Excerpt:
    excerpt = Excerpt(key)
    text = json.dumps(body, separators=(",", ":")).encode()
    for start in range(0, len(text), step):
        excerpt.add(text[start : start + step])
    return excerpt


def test_a_short_text_is_kept_whole():
    excerpt = Excerpt()
    excerpt.add(b"{}")
    assert (excerpt.whole, excerpt.ends, excerpt.size) == (b"{}", b"{}", 2)


def test_of_a_long_text_the_middle_is_gone():
    excerpt = excerpt_of({"a": LONG})
    assert excerpt.whole is None
    assert len(excerpt.ends) < 70_000 < excerpt.size


@pytest.mark.parametrize("step", [1_000, 9_000, 1_000_000])
@pytest.mark.parametrize(
    "body",
    [
        {"usage": USAGE},
        {"usage": USAGE, "data": LONG},
        {"data": LONG, "usage": USAGE},
        {"data": LONG, "usage": USAGE, "more": ["usage", {"usage": 1}]},
        {"data": [{"usage": {"prompt_tokens": 9}}], "more": LONG, "usage": USAGE},
    ],
)
def test_it_finds_a_top_level_value(body, step):
    assert excerpt_of(body, step=step).find() == USAGE


@pytest.mark.parametrize(
    "body",
    [
        {"data": LONG},
        {"data": LONG, "last": {"usage": USAGE}},
        {"data": LONG, "last": [{"usage": USAGE}]},
        {"data": LONG, "last": json.dumps({"usage": USAGE})},
        {"first": {"usage": USAGE}, "data": LONG},
        {"first": json.dumps({"usage": USAGE}), "data": LONG},
        [LONG, {"usage": USAGE}],
    ],
)
def test_a_value_elsewhere_is_not_taken_for_it(body):
    assert excerpt_of(body).find() is None


def test_it_finds_a_value_one_level_deeper():
    body = {"response": {"output": LONG, "tools": [{"usage": 1}], "usage": USAGE, "user": None}, "type": "done"}
    assert excerpt_of(body).find(within="response") == USAGE
    assert excerpt_of(body).find() is None


def test_a_value_of_another_depth_is_not_one_level_deeper():
    assert excerpt_of({"data": LONG, "usage": USAGE}).find(within="response") is None
    assert excerpt_of({"response": {"usage": USAGE}, "x": LONG}).find(within="response") is None


def test_an_object_of_the_same_name_does_not_confuse_it():
    body = b'{"response":{"usage":{}},"response":5}'
    excerpt = Excerpt()
    excerpt.add(body)
    assert excerpt.find(within="response") is None


def test_a_beginning_that_was_cut_off_still_tells():
    excerpt = Excerpt()
    excerpt.add(b'{"id":"score-1" , "usage" : {"prompt_tokens":1,"total_tokens":1},"results":[{"a')
    assert excerpt.find() == USAGE


def test_a_value_in_the_middle_is_remembered():
    excerpt = excerpt_of({"a": LONG, "usage": USAGE, "prompt_token_ids": list(range(50_000))})
    assert excerpt.find() is None
    assert excerpt.find_in_middle() == USAGE


def test_without_a_value_in_the_middle_there_is_none():
    assert excerpt_of({"a": LONG}).find_in_middle() is None


def test_many_places_are_not_all_tried():
    assert excerpt_of({"usage": USAGE, "more": [{"usage": n} for n in range(20)]}).find() == USAGE


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a"', b'{"a":1', b'{"a":1,', b'{"a":1,"b":[', b"{1:2}"])
def test_fields_end_where_the_text_does(text):
    assert dict(top_level(text)) in ({}, {"a": 1}, {"1": 2})
