"""Nothing that looks like a key leaves through a log."""

from __future__ import annotations

import logging

import pytest

from gateway.redaction import RedactingFilter, redact

SECRET = "sk-vgw-0123456789abcdefghij"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {SECRET}.", "key sk-…."),
        (f"?key={SECRET}&x", "?key=sk-…&x"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("'authorization': 'basic eDp5'", "'authorization': 'basic …'"),
        ("the task-force asks", "the task-force asks"),
        ("sk-short", "sk-short"),
    ],
)
def test_keys_and_credentials_are_replaced(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_arguments_and_tracebacks_are_redacted_too(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.redaction")
    logger.addFilter(RedactingFilter())
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("Failed for %s", SECRET)
    record = caplog.records[0]
    assert record.getMessage() == "Failed for sk-…"
    assert SECRET not in caplog.text
    assert record.exc_text is not None
    assert "ValueError: sk-…" in record.exc_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connecting to postgresql://gateway:hunter2@db:5432/vgw", "connecting to postgresql://gateway:…@db:5432/vgw"),
        ("{'password': 'hunter2', 'user': 'ann'}", "{'password': '…', 'user': 'ann'}"),
        ("API_KEY=abcd1234 for ünï", "API_KEY=… for ünï"),
        ("lone \ud800 and secret=abcd1234", "lone \ud800 and secret=…"),
        (f"password=a{'é' * 300} failed", "password=… failed"),
        ("GET /v1/models?model=qwen 200 12 tokens", "GET /v1/models?model=qwen 200 12 tokens"),
    ],
)
def test_what_is_named_like_a_credential_is_replaced(text: str, shown: str) -> None:
    assert redact(text) == shown
