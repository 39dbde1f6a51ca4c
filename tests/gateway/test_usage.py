import pytest

from gateway.metering.usage import UNKNOWN, Usage, estimate_prompt, read_count, read_report, sum_of


def test_it_reads_the_counts_of_chat():
    report = {
        "prompt_tokens": 13,
        "total_tokens": 25,
        "completion_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_report(report) == Usage(13, 12, 8, 3, "reported")


def test_it_reads_the_counts_of_responses():
    report = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 25,
        "output_tokens_details": {"reasoning_tokens": 11},
    }
    assert read_report(report) == Usage(12, 25, 4, 11, "reported")


def test_anthropics_input_gets_its_cached_tokens_back():
    report = {
        "input_tokens": 5,
        "output_tokens": 8,
        "cache_read_input_tokens": 16,
        "cache_creation_input_tokens": 2,
    }
    assert read_report(report) == Usage(23, 8, 16, None, "reported")


def test_cohere_counts_in_floats():
    report = {"billed_units": {"input_tokens": 1.0}, "tokens": {"input_tokens": 3.0, "output_tokens": 4.0}}
    assert read_report({**report, "cached_tokens": 2}) == Usage(3, 4, 2, None, "reported")


def test_cohere_counts_the_tokens_of_images_apart():
    report = {"billed_units": {"input_tokens": 3, "image_tokens": 40}}
    assert read_report(report) == Usage(43, 0, None, None, "reported")


def test_a_rerank_completes_nothing():
    assert read_report({"prompt_tokens": 42, "total_tokens": 42}) == Usage(42, 0, source="reported")


def test_a_total_tells_the_completion():
    assert read_report({"prompt_tokens": 4, "total_tokens": 9}) == Usage(4, 5, source="reported")


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        "13",
        {},
        {"type": "duration", "seconds": 2},
        {"prompt_tokens": None},
        {"prompt_tokens": "13"},
        {"prompt_tokens": True},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": float("nan")},
        {"prompt_tokens": 10**12},
        {"tokens": {"input_tokens": "3"}},
    ],
)
def test_what_counts_no_tokens_is_no_report(report):
    assert read_report(report) is None


@pytest.mark.parametrize("body", [{"count": 6}, {"input_tokens": 6}, {"tokens": [1, 2, 3, 4, 5, 6]}])
def test_a_tokenizer_counts_the_prompt(body):
    assert read_count(body) == Usage(6, 0, source="reported")


def test_a_detokenizer_counts_nothing():
    assert read_count({"prompt": "Hello"}) is None


def test_choices_share_the_prompt():
    usages = [Usage(13, 3, reasoning_tokens=1, source="reported"), Usage(13, 2, source="reported")]
    assert sum_of(usages) == Usage(13, 5, None, 1, "reported")


def test_what_no_choice_told_stays_unknown():
    assert sum_of([UNKNOWN]) == Usage(completion_tokens=0)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (132, 33), (133, 34), (10**12, 2**31 - 1)])
def test_a_prompt_is_guessed_from_its_bytes(size, tokens):
    assert estimate_prompt(size) == tokens
