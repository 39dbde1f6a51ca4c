"""After an import from LiteLLM's database, developers go on with the keys that they have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import databases
from tests.support.gateway import ROOT, Gateway
from tests.support.litellm_database import SALT_KEY, LiteLLMDatabase, digest
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

pytestmark = pytest.mark.skipif(not databases.on_postgresql(), reason="is for the run on PostgreSQL")
CHAT = "/v1/chat/completions"
SECRET, SPENT, BLOCKED = "sk-a-developers-old-key", "sk-nothing-is-left-of-it", "sk-blocked-in-litellm"


@pytest.fixture
def gateway(standing_upstream: Upstream) -> Iterator[Gateway]:
    """One of its own: what is imported, prices among it, would be the other tests' too."""
    with Gateway(HOSTED_VLLM_API_BASE=standing_upstream.url) as gateway:
        yield gateway


def _import(gateway: Gateway, litellm: LiteLLMDatabase) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), "import_litellm", "--database-url", litellm.url, "--yes"]
    environment = {**gateway.environment(), "LITELLM_SALT_KEY": SALT_KEY}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_old_keys_call_the_models_of_before(gateway: Gateway, upstream: Upstream) -> None:
    litellm = LiteLLMDatabase()
    litellm.model("moved-in", model="hosted_vllm/tiny-chat", api_base=f"{upstream.url}/v1", input_cost_per_token=0.1)
    litellm.key(SECRET, "ada", models=["moved-in"], team_id="t", rpm_limit=100)
    resets_at = (datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None)
    litellm.key(SPENT, "bob", max_budget=1.0, spend=1.5, budget_duration="30d", budget_reset_at=resets_at)
    litellm.key(BLOCKED, "eve", blocked=True)
    assert gateway.post(CHAT, {"model": "moved-in", "messages": []}, key=SECRET).status == 401
    printed = _import(gateway, litellm)
    assert "Imported: 4 new, 0 changed." in printed
    assert digest(SECRET) not in printed

    def answered() -> bool:
        return gateway.post(CHAT, {"model": "moved-in", "messages": []}, key=SECRET).status == 200

    wait_for(answered)
    response = gateway.post(CHAT, {"model": "moved-in", "messages": []}, key=SECRET)
    assert response.header("x-ratelimit-limit-requests") == "100"
    assert upstream.request_with_id(response.header("x-request-id") or "").json()["model"] == "tiny-chat"
    row = gateway.row(response)
    assert (row["key_name"], row["team_id"]) == ("ada", "t")
    assert gateway.post(CHAT, {"model": "tiny-chat", "messages": []}, key=SECRET).status == 403
    assert gateway.post(CHAT, {"model": "moved-in", "messages": []}, key=BLOCKED).status == 401
    wait_for(lambda: gateway.post(CHAT, {"model": "moved-in", "messages": []}, key=SPENT).status == 422)
