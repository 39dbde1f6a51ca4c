"""`manage.py serve`: the one command that starts the gateway."""

import os
import shlex
import sys
import threading
from typing import Any

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from gateway.account.recorder import Recorder
from gateway.config.applying import apply
from gateway.config.document import ConfigError
from gateway.config.reader import Configuration, read_file
from gateway.config.startup import sets_master_key
from gateway.serving.control_address import check_free
from gateway.serving.first_start import FirstStart, make_directories, prepare
from gateway.serving.listening import port_trouble
from gateway.serving.plane_locks import held
from gateway.serving.processes import allow_many_files
from gateway.serving.supervisor import CONTROL, RELAY, Supervisor


class Command(BaseCommand):
    """Checks the settings, migrates, makes what is missing, then runs the planes until it is told to stop."""

    help = "Starts the gateway: the relay on HOST:PORT and the control plane (admin, key API) behind it."
    requires_system_checks: list[str] = []  # run below, with one sentence each instead of a traceback

    def add_arguments(self, parser: CommandParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--relay", action="store_true", help="only the relay plane")
        group.add_argument("--control", action="store_true", help="only the control plane")
        parser.add_argument("--config", metavar="FILE", help="a configuration file to apply, in LiteLLM's format")

    def handle(self, *args: Any, **options: Any) -> None:
        planes = [RELAY] if options["relay"] else [CONTROL] if options["control"] else [CONTROL, RELAY]
        configuration = _read(options["config"])
        make_directories()
        self._check()
        with held(settings.DATA_DIR, planes):
            if RELAY in planes:
                _check_port(settings.HOST, settings.PORT)
            if CONTROL in planes:
                check_free(settings)
            start = prepare()
            applied = self._apply(configuration)
            self._welcome(start, planes, applied, options["config"])
            connections.close_all()
            allow_many_files()
            account = _account if RELAY in planes else None
            status = Supervisor(planes, grace=settings.GRACE_SECONDS, account=account).run()
        sys.exit(status)

    def _check(self) -> None:
        errors = [message for message in run_checks() if message.level >= ERROR]
        if errors:
            raise ImproperlyConfigured(" ".join(f"{e.msg} {e.hint or ''}".strip() for e in errors))

    def _apply(self, configuration: Configuration | None) -> str | None:
        """What the file changed; None without one. A start asks nobody."""
        if configuration is None:
            return None
        try:
            plan = apply(configuration.wanted)
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from error
        for warning in (*configuration.warnings, *plan.warnings):
            self.stderr.write(f"warning: {warning}")
        return plan.summary() if plan.changes else "nothing to do"

    def _welcome(self, start: FirstStart, planes: list[str], applied: str | None, file: str | None) -> None:
        address = settings.PUBLIC_URL or f"http://{_reachable(settings.HOST)}:{settings.PORT}"
        lines = [
            f"vLLM Gateway: {address}",
            f"  admin        {address}/admin/   user {start.username}",
            f"  calls        {address}/vllm/…",
            f"  master key   {_master_key_place(file)}",
        ]
        if applied is not None:
            lines.append(f"  file         {file}: {applied}")
        if start.password:
            lines.insert(2, f"  password     {start.password}   (shown only now; change it in the admin)")
        if not settings.REQUIRE_KEYS:
            lines.append("  WARNING      GATEWAY_REQUIRE_KEYS is false: anyone who reaches this address may call.")
        if RELAY in planes:
            lines += ["  make a key:", f"    {_example(address, file)}"]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _account(calls_over: threading.Event) -> None:
    """Moves the journal into the database while calls run, and what is left when they are over."""
    Recorder(settings.DATA_DIR / "journal").run(calls_over)


def _check_port(host: str, port: int) -> None:
    trouble = port_trouble(host, port)
    if trouble:
        raise ImproperlyConfigured(f"The gateway cannot listen on HOST {host}, PORT {port}: {trouble}.")


def _reachable(host: str) -> str:
    """How a person on this machine gets there."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _read(file: str | None) -> Configuration | None:
    try:
        return None if file is None else read_file(file, os.environ)
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error


def _master_key_place(file: str | None) -> str:
    if file is not None and sets_master_key(file, os.environ):
        return f"in {file}"
    return "from the environment" if settings.MASTER_KEY_FILE is None else f"in {settings.MASTER_KEY_FILE}"


def _example(address: str, file: str | None = None) -> str:
    from_file = file is not None and sets_master_key(file, os.environ)
    shell = "MASTER_KEY" if from_file else _master_key_in_shell()
    return (
        f'curl -X POST {address}/key/generate -H "Authorization: Bearer {shell}" '
        "-H 'Content-Type: application/json' -d '{}'"
    )


def _master_key_in_shell() -> str:
    """What a shell that has the same variables puts in the place of the master key."""
    if settings.MASTER_KEY_FILE is not None:
        return f"$(cat {shlex.quote(str(settings.MASTER_KEY_FILE))})"
    for name in settings.MASTER_KEY_NAMES:
        if os.environ.get(name):
            return f"${name}"
        if os.environ.get(f"{name}_FILE"):
            return f'$(cat "${name}_FILE")'
    return "$GATEWAY_MASTER_KEY"
