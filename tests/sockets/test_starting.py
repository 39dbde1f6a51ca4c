"""What a start says when a setting is wrong: one sentence, status 1, no traceback. And what settings do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.http_client import call
from tests.support.patience import wait_for
from tests.support.ports import unused_port
from tests.support.upstream import Upstream

POSTGRES = "postgresql://nobody@127.0.0.1:1/nothing"
WRONG: dict[str, tuple[dict[str, str | None], str]] = {
    "weak master key": ({"GATEWAY_MASTER_KEY": "sk-1234"}, "GATEWAY_MASTER_KEY is too weak"),
    "encryption keys": ({"GATEWAY_ENCRYPTION_KEYS": "short"}, "GATEWAY_ENCRYPTION_KEYS must be Fernet keys"),
    "secret file": ({"SECRET_KEY": None, "SECRET_KEY_FILE": "/no/such/file"}, "SECRET_KEY_FILE points to"),
    "workers": ({"WEB_CONCURRENCY": "2", "DATABASE_URL": ""}, "SQLite"),
    "data directory": ({"GATEWAY_DATA_DIR": "/dev/null/x", "SECRET_KEY": None}, "GATEWAY_DATA_DIR is /dev/null/x"),
    "data directory with secrets": ({"GATEWAY_DATA_DIR": "/dev/null/x"}, "GATEWAY_DATA_DIR is /dev/null/x"),
    "host": ({"HOST": "203.0.113.7"}, "cannot listen on HOST 203.0.113.7"),
    "no database": ({"DATABASE_URL": POSTGRES}, "The database of DATABASE_URL cannot be used: connection failed: "),
    "control address": ({"GATEWAY_CONTROL_ADDRESS": "unix:/no/such/x.sock"}, "There is no such directory"),
    "no secret key": ({"DATABASE_URL": POSTGRES, "SECRET_KEY": None}, "make one with: python -c"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_one_sentence_and_status_1(case: str) -> None:
    environment, sentence = WRONG[case]
    gateway = Gateway(database="", **environment)
    assert gateway.run_to_end() == 1
    assert sentence in gateway.output
    assert gateway.output.startswith("vllm-gateway: ")
    assert gateway.output.count("\n") == 1


def test_other_encryption_keys_than_the_database_s_are_noticed_at_start(upstream: Upstream, tmp_path: Path) -> None:
    """And a canary in the tables notices before any call fails."""
    with Gateway(data_dir=tmp_path, HOSTED_VLLM_API_BASE=upstream.url, HOSTED_VLLM_API_KEY="secret") as first:
        database = first.database_url
    other = "b3RoZXItZW5jcnlwdGlvbi1rZXktb2YtMzItYnl0ZXM="
    second = Gateway(data_dir=tmp_path, database=database, GATEWAY_ENCRYPTION_KEYS=other)
    assert second.run_to_end() == 1
    assert "GATEWAY_ENCRYPTION_KEYS" in second.output.splitlines()[-1]


def test_a_first_start_on_sqlite_makes_all_that_is_missing(upstream: Upstream, tmp_path: Path) -> None:
    """Secrets in files of mode 0600, an admin whose password is shown once; a second start changes none of it."""
    unset: dict[str, str | None] = {"SECRET_KEY": None, "GATEWAY_ENCRYPTION_KEYS": None, "GATEWAY_MASTER_KEY": None}
    settings: dict[str, str | None] = {**unset, "HOSTED_VLLM_API_BASE": upstream.url}
    files = [tmp_path / name for name in ("secret_key", "encryption_keys", "master_key")]
    with Gateway(data_dir=tmp_path, database="", **settings) as first:
        made = [file.read_text() for file in files]
        assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3
        assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.glob("db.sqlite3*")} == {"0o600"}
        assert first.output.count("password") == 1
        assert made[2] not in first.output
        assert first.call("GET", "/vllm/version", key=made[2].strip()).status == 200
    (tmp_path / "output").unlink()
    with Gateway(data_dir=tmp_path, database="", **settings) as second:
        assert [file.read_text() for file in files] == made
        assert "password" not in second.output
        assert second.call("GET", "/vllm/version", key=made[2].strip()).status == 200


@pytest.fixture(scope="module")
def open_gateway(standing_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Keyless, behind a trusted proxy, with a weak master key from a file and the control plane on a port."""
    file = tmp_path_factory.mktemp("secrets") / "master"
    file.write_text("sk-1234\n")
    with Gateway(
        HOSTED_VLLM_API_BASE=standing_upstream.url,
        GATEWAY_REQUIRE_KEYS="false",
        GATEWAY_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8",
        GATEWAY_MASTER_KEY=None,
        GATEWAY_MASTER_KEY_FILE=str(file),
        GATEWAY_ALLOW_WEAK_MASTER_KEY="true",
        GATEWAY_CONTROL_ADDRESS=f"127.0.0.1:{unused_port()}",
    ) as gateway:
        gateway.master_key = "sk-1234"
        yield gateway


def test_without_required_keys_anything_may_call(open_gateway: Gateway, upstream: Upstream) -> None:
    """The quick start of the seeds: `bearer anything`."""
    for given in [[], [("authorization", "bearer anything")], [("authorization", "Basic eDp5")]]:
        response = call(open_gateway.port, "GET", "/vllm/version", given)
        assert response.status == 200
    assert open_gateway.row(response)["key_name"] == "anonymous"


def test_an_anonymous_caller_has_no_server_control(open_gateway: Gateway, upstream: Upstream) -> None:
    assert call(open_gateway.port, "POST", "/vllm/sleep").status == 403


def test_a_known_key_keeps_its_own_rules(open_gateway: Gateway, upstream: Upstream) -> None:
    secret = open_gateway.make_key(models=["other"])
    assert open_gateway.post("/vllm/v1/chat/completions", {"model": "tiny-chat"}, key=secret).status == 403
    open_gateway.key_api("block", key=secret)
    wait_for(lambda: open_gateway.call("GET", "/vllm/version", key=secret).status == 401)


def test_keyless_is_said_loudly(open_gateway: Gateway) -> None:
    assert "WARNING" in open_gateway.output


def test_a_trusted_proxy_is_believed_what_it_says_of_the_client(open_gateway: Gateway, upstream: Upstream) -> None:
    given = [("x-forwarded-for", "6.6.6.6, 198.51.100.9, 10.1.1.1"), ("x-forwarded-proto", "https")]
    response = open_gateway.call("GET", "/vllm/version", given)
    request = upstream.request_with_id(response.header("x-request-id") or "")
    assert request.header("x-forwarded-for") == "198.51.100.9, 10.1.1.1, 127.0.0.1"
    assert request.header("x-forwarded-proto") == "https"
    assert open_gateway.row(response)["client_address"] == "198.51.100.9"


def test_an_upstream_without_a_credential_gets_none(open_gateway: Gateway, upstream: Upstream) -> None:
    response = open_gateway.call("GET", "/vllm/version")
    assert upstream.request_with_id(response.header("x-request-id") or "").header("authorization") is None
