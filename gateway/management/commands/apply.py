"""`manage.py apply FILE`: makes the database say what a configuration file says."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db.utils import DatabaseError, InterfaceError

from gateway.config.applying import apply, plan_now
from gateway.config.document import ConfigError
from gateway.config.plan import Plan
from gateway.config.reader import read_file
from gateway.config.wanted import Wanted

AT_START_ONLY = (
    "general_settings.master_key and database_url are read at start only, by serve --config; "
    "this applies to the database of DATABASE_URL."
)


class Command(BaseCommand):
    """Prints what would change, and asks."""

    help = "Applies a configuration file in LiteLLM's format: prints what changes, asks, and changes it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="such as config.yaml")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._apply(options["file"], is_agreed=options["yes"])
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from error
        except (DatabaseError, InterfaceError) as error:
            raise ImproperlyConfigured(
                "The database cannot be used; set DATABASE_URL or GATEWAY_DATA_DIR as the gateway has them,"
                " and start it once."
            ) from error

    def _apply(self, file: str, *, is_agreed: bool) -> None:
        configuration = read_file(file, os.environ)
        if configuration.has_start_settings:
            self.stderr.write(f"note: {AT_START_ONLY}")
        plan = plan_now(configuration.wanted)
        self._show(plan, configuration.warnings)
        if not plan.changes:
            self.stdout.write("Nothing to do.")
        elif is_agreed or self._agrees():
            self._carry_out(configuration.wanted, plan)

    def _show(self, plan: Plan, warnings: tuple[str, ...]) -> None:
        for warning in (*warnings, *plan.warnings):
            self.stderr.write(f"warning: {warning}")
        for line in plan.lines():
            self.stdout.write(line)

    def _agrees(self) -> bool:
        if not sys.stdin.isatty():
            raise ConfigError("Nothing was applied, because nobody can be asked here: say --yes.")
        self.stdout.write("Apply this? [y/N] ", ending="")
        self.stdout.flush()
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return True
        raise ConfigError("Nothing was applied.")

    def _carry_out(self, wanted: Wanted, plan: Plan) -> None:
        self.stdout.write(f"Applied: {apply(wanted, shown=plan).summary()}.")
