"""A gateway that is started with a configuration file, as LiteLLM's proxy is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.http_client import call
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

MASTER_KEY = "sk-master-of-the-file-0123456789"
CREDENTIAL = "the-credential-of-the-file"
CONFIG = """\
model_list:
  - model_name: "my-vllm-model"
    litellm_params:
      model: hosted_vllm/vllm-1.72
      api_base: os.environ/MY_SERVER
      api_key: {credential}
      drop_params: true
general_settings:
  master_key: {master_key}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configuration") / "config.yaml"
    path.write_text(CONFIG.format(credential=CREDENTIAL, master_key=MASTER_KEY))
    return path


def started_with(file: Path, data_dir: Path, url: str, **options: str | None) -> Gateway:
    gateway = Gateway(
        planes=["--config", str(file)], data_dir=data_dir, GATEWAY_MASTER_KEY=None, MY_SERVER=url, **options
    )
    gateway.master_key = MASTER_KEY
    return gateway


@pytest.fixture(scope="module")
def configured(file: Path, standing_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with started_with(file, tmp_path_factory.mktemp("data"), standing_upstream.url) as gateway:
        yield gateway


def test_the_file_s_model_is_called_by_its_name(configured: Gateway, upstream: Upstream) -> None:
    """The example of LiteLLM's documentation; with the file's master key."""
    upstream.on("POST /score", answers.json(200, {"data": []}))
    body = {"model": "my-vllm-model", "encoding_format": "float", "text_1": "a", "text_2": "b"}
    response = wait_for(lambda: answer if (answer := configured.post("/vllm/score", body)).status == 200 else None)
    request = upstream.request_with_id(response.header("x-request-id") or "")
    assert request.json()["model"] == "vllm-1.72"
    assert request.header("authorization") == f"Bearer {CREDENTIAL}"


def test_the_terminal_says_what_the_file_did(configured: Gateway, file: Path) -> None:
    assert f"file         {file}: 2 added, 0 changed, 0 removed" in configured.output
    assert f"master key   in {file}" in configured.output
    assert "line 7: model_list[0].litellm_params.drop_params is not supported" in configured.output
    for secret in (MASTER_KEY, CREDENTIAL):
        assert secret not in configured.output


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info", "/v2/model/info", "/model_group/info"])
def test_the_model_api_is_reached_through_the_relay(configured: Gateway, path: str) -> None:
    response = configured.call("GET", path)
    assert response.status == 200
    assert "my-vllm-model" in response.body.decode()
    assert CREDENTIAL not in response.body.decode()
    assert call(configured.port, "GET", path).status == 401


def test_models_are_written_through_the_relay(configured: Gateway, upstream: Upstream) -> None:
    params = {"model": "hosted_vllm/tiny-chat", "api_base": f"{upstream.url}/some/base"}
    made = configured.post("/model/new", {"model_name": "over-rest", "litellm_params": params})
    assert made.status == 200
    named = made.json()["model_id"]
    renamed = configured.post("/model/update", {"model_info": {"id": named}, "model_name": "renamed"})
    assert renamed.json()["model_name"] == "renamed"
    upstream.on("POST /some/base/v1/chat/completions", vllm.chat())
    call_it = {"model": "renamed", "messages": []}

    def arrives() -> bool:  # until the relay knows the model, the call goes to the default upstream
        configured.post("/vllm/v1/chat/completions", call_it)
        return upstream.calls[-1].target == "/some/base/v1/chat/completions"

    wait_for(arrives)
    assert configured.post("/model/delete", {"id": named}).status == 200


def test_a_second_start_finds_nothing_to_do_and_the_environment_wins(
    file: Path, standing_upstream: Upstream, tmp_path: Path
) -> None:
    with started_with(file, tmp_path, standing_upstream.url) as first:
        database = first.database_url
    (tmp_path / "output").unlink()
    with Gateway(
        planes=["--config", str(file)], data_dir=tmp_path, database=database, MY_SERVER=standing_upstream.url
    ) as second:
        assert f"{file}: nothing to do" in second.output
        assert "master key   from the environment" in second.output
        assert second.call("GET", "/model/info").status == 200


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model_list: [", "line 1: "),
        ("a: 1\na: 2", "line 2: The key a stands here twice."),
        ("model_list:\n  - model_name: m\n    litellm_params: {model: gpt-4}", "line 3: model_list[0]"),
        ("general_settings: {master_key: os.environ/NOBODY}", "the environment variable NOBODY is not set."),
        ("general_settings: {master_key: sk-1234}", "GATEWAY_MASTER_KEY is too weak"),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_a_wrong_file_ends_the_start_with_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    gateway = Gateway(planes=["--config", str(file)], database="", GATEWAY_MASTER_KEY=None)
    assert gateway.run_to_end() == 1
    assert gateway.output.startswith("vllm-gateway: ")
    assert sentence in gateway.output
    assert gateway.output.count("\n") == 1
