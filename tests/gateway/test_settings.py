"""A wrong setting is one sentence, before anything is started. The settings' own module, read once for each case."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.settings import BASE_DIR

FERNET = "dGVzdHMtb25seS1lbmNyeXB0aW9uLWtleS0zMmJ5dGU="
MADE = ("secret_key", "encryption_keys", "master_key")
VARIABLES = ("SECRET_KEY", "GATEWAY_ENCRYPTION_KEYS", "GATEWAY_MASTER_KEY", "DATABASE_URL")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def read() -> dict[str, Any]:
    return runpy.run_path(str(BASE_DIR / "gateway" / "settings.py"))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("GATEWAY_ENCRYPTION_KEYS", ",", r"^GATEWAY_ENCRYPTION_KEYS must be Fernet keys"),
        ("GATEWAY_ENCRYPTION_KEYS", f"{FERNET},short", r"^GATEWAY_ENCRYPTION_KEYS must be Fernet keys"),
        ("LITELLM_MASTER_KEY", "sk-schlüssel-für-das-rechenzentrum", r"^LITELLM_MASTER_KEY must be visible ASCII"),
        ("GATEWAY_MASTER_KEY", "sk-of two lines\nand-more-characters", r"^GATEWAY_MASTER_KEY must be visible ASCII"),
        ("GATEWAY_CONTROL_ADDRESS", "nonsense", r"^GATEWAY_CONTROL_ADDRESS must be host:port"),
        ("GATEWAY_PUBLIC_URL", "https://", r"^GATEWAY_PUBLIC_URL must start with http:// or https:// and name a host"),
        ("CSRF_TRUSTED_ORIGINS", "gw.example.com", r"^CSRF_TRUSTED_ORIGINS must be a list of origins"),
        ("ALLOWED_HOSTS", "https://gw.example.com", r"^ALLOWED_HOSTS must be a list of host names"),
        ("GATEWAY_ADMIN_USERNAME", "x" * 151, r"^GATEWAY_ADMIN_USERNAME must have at most 150 characters"),
    ],
)
def test_what_cannot_be_used_is_refused(name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=sentence) as refusal:
        read()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("content", "sentence"), [(b"\n", "is empty; put back"), (b"\xff", "it is not text")])
def test_a_file_that_was_made_and_has_no_secret_any_more_is_refused(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    """Another one in its place would lock out what the first has encrypted and signed."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=rf"{name}.* {sentence}"):
        read()
    assert (tmp_path / name).read_bytes() == content


def test_the_public_address_is_trusted_without_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PUBLIC_URL", "https://gw.example.com:8443/")
    assert read()["CSRF_TRUSTED_ORIGINS"] == ["https://gw.example.com:8443"]


def test_a_sentence_about_the_upstream_can_name_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_BASE", "http://vllm:8000")
    assert read()["UPSTREAM_VARIABLES"] == ("VLLM_API_BASE", "HOSTED_VLLM_API_KEY")
