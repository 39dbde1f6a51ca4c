"""Whatever is sent to the REST API by its schema, it never answers with a 5xx: schemathesis against a real gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.upstream import Upstream

SECONDS = 500
EXAMPLES = 5
"""For each operation; what they are is the same in every run."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Upstream() as upstream, Gateway(HOSTED_VLLM_API_BASE=upstream.url) as gateway:
        yield gateway


def test_nothing_that_the_schema_allows_is_a_5xx(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(
        f'[auth.openapi.key]\nbearer = "{gateway.master_key}"\n[generation]\ndeterministic = true\n'
    )
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={tmp_path / 'schemathesis.toml'}",
        "run",
        f"{gateway.url}/api/schema/?format=json",
        f"--header=Authorization: Bearer {gateway.master_key}",
        "--checks=not_a_server_error",
        "--phases=examples,fuzzing",
        f"--max-examples={EXAMPLES}",
        "--workers=2",
        "--no-color",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in gateway.output
