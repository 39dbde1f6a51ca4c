"""The examples of the key API in docs/keys.md, as a reader would run them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"
EXAMPLES = [
    block
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if block.startswith("curl")
]
_DIGEST = "790619ec5fc7b3e5e0842be9114e0a5850242cb18ac7a4d3d5ed7dba2dab151c"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        gateway.shell('from keys.models import Team; Team.objects.create(team_id="red")')
        yield gateway


@pytest.mark.skipif("not __import__('shutil').which('curl')", reason="curl is not installed")
def test_every_example_works(gateway: Gateway) -> None:
    secret = token = ""
    for example in EXAMPLES:
        command = example.replace("http://localhost:4000", gateway.url)
        command = command.replace(_DIGEST, token).replace("sk-vgw-…", secret)
        environment = {"GATEWAY_MASTER_KEY": gateway.master_key, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert "error" not in answer, command
        assert not answer.get("failed_updates"), command
        if "ada-laptop" in command and "/key/generate" in command:
            secret, token = answer["key"], answer["token"]
    assert len(EXAMPLES) >= 8
