"""No plane runs twice on one data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.serving.plane_locks import held
from gateway.serving.supervisor import CONTROL, RELAY

SECOND = r"^GATEWAY_DATA_DIR is .*, where a gateway's relay plane runs already; "


@pytest.mark.parametrize("planes", [[RELAY], [CONTROL, RELAY]])
def test_a_plane_that_runs_already_is_refused(planes: list[str], tmp_path: Path) -> None:
    with (
        held(tmp_path, [CONTROL, RELAY]),
        pytest.raises(ImproperlyConfigured, match="runs already"),
        held(tmp_path, planes),
    ):
        pass


def test_the_planes_may_run_apart_on_one_directory(tmp_path: Path) -> None:
    with held(tmp_path, [RELAY]), held(tmp_path, [CONTROL]):
        assert {path.name for path in tmp_path.iterdir()} == {"relay.lock", "control.lock"}


def test_a_start_that_is_refused_keeps_nothing(tmp_path: Path) -> None:
    with held(tmp_path, [RELAY]):
        with pytest.raises(ImproperlyConfigured, match=SECOND), held(tmp_path, [CONTROL, RELAY]):
            pass
        with held(tmp_path, [CONTROL]):
            pass


@pytest.mark.sockets
def test_what_a_killed_start_leaves_behind_holds_no_lock(tmp_path: Path) -> None:
    with held(tmp_path, [RELAY]):
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with held(tmp_path, [RELAY]):
        assert left.poll() is None
    left.communicate()


def test_a_directory_where_nothing_can_be_kept_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="where no lock can be kept: No such"), held(tmp_path / "x", [RELAY]):
        pass


def test_only_the_owner_can_open_the_lock(tmp_path: Path) -> None:
    with held(tmp_path, [RELAY]):
        assert (tmp_path / "relay.lock").stat().st_mode & 0o777 == 0o600
