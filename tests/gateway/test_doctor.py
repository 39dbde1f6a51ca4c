"""The doctor says of each thing how it is, and what mends it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from gateway import doctor_looks
from gateway.account.relay_report import RelayReport
from gateway.doctor import BAD, GOOD, WARNING, Finding, examine, is_bad
from tests.support import vllm
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as ScriptedUpstream
from upstreams import encryption
from upstreams.models import EncryptionCanary, Upstream

pytestmark = pytest.mark.django_db


def _kinds(look: Callable[[], object]) -> list[str]:
    return [finding.kind for finding in look()]  # type: ignore[attr-defined]


def test_it_looks_at_everything():
    names = {finding.name for finding in examine()}
    assert {"Database", "Migrations", "Journal", "Data directory", "Clock", "Encryption", "Upstreams"} <= names


def test_a_database_that_answers_is_good_and_named():
    (finding,) = doctor_looks.database()
    assert finding.kind == GOOD
    assert finding.text.startswith("SQLite" if connection.vendor == "sqlite" else "PostgreSQL")


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_the_isolation_level_has_to_be_read_committed():
    assert _kinds(doctor_looks.isolation) == [GOOD]


def test_missing_migrations_are_bad():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'gateway'")
    (finding,) = doctor_looks.migrations()
    assert (finding.kind, "gateway.0001_initial" in finding.text) == (BAD, True)


def test_a_full_disk_is_bad(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings.DATA_DIR = tmp_path
    assert _kinds(doctor_looks.disk) in ([GOOD], [WARNING])
    monkeypatch.setattr(doctor_looks, "LEAST_FREE_BYTES", 1e18)
    assert _kinds(doctor_looks.disk) == [BAD]


def test_a_directory_that_is_not_there_is_bad(settings, tmp_path: Path):
    settings.DATA_DIR = tmp_path / "nowhere"
    assert _kinds(doctor_looks.disk) == [BAD]


@pytest.mark.sockets
def test_a_redis_that_is_away_is_bad_and_not_named(settings):
    settings.EMBEDDED, settings.REDIS_URL = False, f"redis://:secret@127.0.0.1:{unused_port()}"
    (finding,) = doctor_looks.redis()
    assert (finding.kind, "secret" in finding.text) == (BAD, False)


def test_relay_workers_have_to_report():
    assert _kinds(doctor_looks.relay_workers) == [BAD]
    for worker, draining in (("1", True), ("2", False)):
        RelayReport.objects.replace(node="here", worker=worker, keys_version=1, facts={"draining": draining})
        (finding,) = doctor_looks.relay_workers()
        assert finding.kind == (WARNING if draining else GOOD)


def test_keys_that_do_not_fit_are_bad():
    encryption.check_canary()
    assert _kinds(doctor_looks.encryption) == [GOOD]
    EncryptionCanary.objects.update(token="gAAAA-of-other-keys")
    assert _kinds(doctor_looks.encryption) == [BAD]


def test_a_credential_that_cannot_be_read_is_named():
    row = Upstream.objects.create(name="one", url="http://one:8000", credential="tok")
    Upstream.objects.filter(pk=row.pk).update_quietly(credential=row.credential.from_stored("gAAAA-other"))
    (finding,) = doctor_looks.encryption()
    assert (finding.kind, finding.text) == (BAD, "No key fits the credential of one.")


@pytest.mark.sockets
def test_every_upstream_is_asked():
    with ScriptedUpstream() as scripted:
        vllm.serve(scripted)
        Upstream.objects.create(name="well", url=scripted.url)
        Upstream.objects.create(name="away", url=f"http://127.0.0.1:{unused_port()}")
        Upstream.objects.create(name="off", url=f"http://127.0.0.1:{unused_port()}", state="disabled")
        found = {finding.name: finding.kind for finding in doctor_looks.upstreams()}
    assert found == {"Upstream away": BAD, "Upstream well": GOOD}


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    def fail():
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(doctor_looks, "LOOKS", (("Clock", fail, True),))
    _, finding = examine()
    assert (finding.name, finding.kind, "secret" in finding.text) == ("Clock", BAD, False)


def test_the_command_ends_with_1_if_something_is_bad(monkeypatch: pytest.MonkeyPatch):
    out = io.StringIO()
    monkeypatch.setattr(doctor_looks, "LOOKS", ())
    call_command("doctor", stdout=out)
    assert out.getvalue().startswith("good     Database  ")
    bad = Finding("Clock", BAD, "It is wrong.", "Set it.")
    monkeypatch.setattr(doctor_looks, "LOOKS", (("Clock", lambda: iter([bad]), False),))
    with pytest.raises(SystemExit, match="1"):
        call_command("doctor", stdout=out)
    assert "→ Set it." in out.getvalue()
    assert is_bad([bad])
