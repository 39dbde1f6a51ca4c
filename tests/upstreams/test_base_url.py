"""Which URLs an upstream may have."""

import pytest
from django.core.exceptions import ValidationError

from upstreams.base_url import normalised, origin


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("http://my-vllm:8000", "http://my-vllm:8000"),
        ("http://my-vllm:8000/", "http://my-vllm:8000"),
        ("http://my-vllm:8000/v1", "http://my-vllm:8000"),
        (" http://my-vllm:8000/v1/ ", "http://my-vllm:8000"),
        ("HTTPS://Host.Example/", "https://host.example"),
        ("https://host/models/chat/v1", "https://host/models/chat"),
        ("https://host/models/chat//", "https://host/models/chat"),
        ("https://host/team-v1", "https://host/team-v1"),
        ("http://my_vllm", "http://my_vllm"),
        ("http://10.0.0.1:80", "http://10.0.0.1:80"),
        ("http://[::0:1]:8000/v1", "http://[::1]:8000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_url_is_stored_in_one_form(given: str, stored: str) -> None:
    assert normalised(given) == stored


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "must start with http"),
        ("my-vllm:8000", "must start with http"),
        ("ftp://host", "must start with http"),
        ("http:/host", "must start with http"),
        ("http://user:password@host", "user name or password"),
        ("http://@host", "user name or password"),
        ("http://host?x=1", "query or a fragment"),
        ("http://host/?", "query or a fragment"),
        ("http://host/#", "query or a fragment"),
        ("http://", "host is not valid"),
        ("http://-host", "host is not valid"),
        ("http://a..b", "host is not valid"),
        ("http://ho%73t", "host is not valid"),
        ("http://[::1", "host is not valid"),
        ("http://[v1.x]", "host is not valid"),
        ("http://[fe80::1%25eth0]", "host is not valid"),
        ("http://ü" + 300 * "x", "host is not valid"),
        ("http://host:", "port must be"),
        ("http://host:0", "port must be"),
        ("http://host:65536", "port must be"),
        ("http://host:http", "port must be"),
        ("http://host/a/../b", "path may only"),
        ("http://host/a//b", "path may only"),
        ("http://host/a%2fb", "path may only"),
        ("http://host\\evil", "backslashes"),
        ("http://ho st", "spaces"),
        ("http://host\r\nX: y", "spaces"),
    ],
)
def test_an_unusable_url_is_refused_with_a_sentence(given: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        normalised(given)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://host", "http://host:80", True),
        ("https://host", "https://host:443/prefix", True),
        ("http://host", "https://host", False),
        ("http://host", "http://other", False),
        ("http://host", "http://host:81", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same
