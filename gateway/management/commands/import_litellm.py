"""`manage.py import_litellm --database-url URL`: takes over what a LiteLLM proxy has in its PostgreSQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db.utils import DatabaseError, InterfaceError
from django.utils import timezone

from gateway.importing.errors import CannotImport
from gateway.importing.plan import Plan
from gateway.importing.reading import read
from gateway.importing.servers import read_models
from gateway.importing.theirs import read_people_and_keys
from gateway.importing.wanted import KINDS, Note, Wishes
from gateway.importing.writing import carry_out, plan_now

MOST_NAMES = 3
ADDRESS = "LITELLM_DATABASE_URL"
# As LiteLLM: without a salt key its master key takes its place.
SALTS = ("LITELLM_SALT_KEY", "LITELLM_MASTER_KEY")


class Command(BaseCommand):
    """Prints what would change, and asks."""

    help = "Takes over keys, teams, users, customers and models from LiteLLM's database: prints a plan, and asks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database-url", help=f"LiteLLM's DATABASE_URL; or set {ADDRESS}")
        parser.add_argument("--salt-key-file", help=f"a file with LiteLLM's salt key; or set {SALTS[0]}")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--dry-run", action="store_true", help="print the plan and write nothing")
        parser.add_argument(
            "--overwrite", action="store_true", help="let LiteLLM's values replace what was changed here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._import(options)
        except CannotImport as error:
            raise ImproperlyConfigured(str(error)) from error
        except (DatabaseError, InterfaceError) as error:
            raise ImproperlyConfigured(
                "The database cannot be used; set DATABASE_URL or GATEWAY_DATA_DIR as the gateway has them,"
                " and start it once."
            ) from error

    def _import(self, options: Mapping[str, Any]) -> None:
        now, overwrite = timezone.now(), options["overwrite"]
        url = options["database_url"] or os.environ.get(ADDRESS)
        if not url:
            raise CannotImport(f"Say where LiteLLM's database is: --database-url, or the variable {ADDRESS}.")
        salt_key = _salt_key(options["salt_key_file"])
        tables = read(url)
        wishes = read_people_and_keys(tables, now)
        read_models(tables, salt_key, wishes)
        plan = plan_now(wishes, overwrite=overwrite, now=now)
        self._show(wishes, plan)
        if options["dry_run"]:
            self.stdout.write("Nothing was written: this was a dry run.")
        elif plan.is_empty() and not options["yes"]:
            self.stdout.write("Nothing to do.")
        elif options["yes"] or self._agrees():
            carry_out(wishes, plan, overwrite=overwrite, now=now)
            self.stdout.write(f"Imported: {plan.summary()}." if plan.changes else "Nothing to do.")

    # --- The plan -----------------------------------------------------------------------------------------------

    def _show(self, wishes: Wishes, plan: Plan) -> None:
        counts = ((len(wishes.ids(kind)), kind) for kind in KINDS)
        words = ", ".join(f"{number} {kind}{'s' * (number != 1)}" for number, kind in counts)
        self.stdout.write(f"LiteLLM has {words}.")
        for change in plan.changes:
            self.stdout.write(str(change))
        if plan.unchanged:
            self.stdout.write(f"= {plan.unchanged} stay as they are")
        self._list("Stays as it is here, because it was changed here (--overwrite takes LiteLLM's):", plan.kept)
        self._list("Cannot be carried over:", [f"{one.kind} {one.name}: {one.reason}" for one in plan.refused])
        self._list("Please note:", _grouped(plan.notes))

    def _list(self, heading: str, lines: Sequence[str]) -> None:
        if lines:
            self.stdout.write(heading)
        for line in lines:
            self.stdout.write(f"  {line}")

    def _agrees(self) -> bool:
        if not sys.stdin.isatty():
            self.stdout.write("Nothing was written, because nobody can be asked here: say --yes.")
            return False
        self.stdout.write("Import this? [y/N] ", ending="")
        self.stdout.flush()
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return True
        self.stdout.write("Nothing was written.")
        return False


def _grouped(notes: Sequence[Note]) -> list[str]:
    """One line for each kind and text, with the first names that it is about."""
    names: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        names.setdefault((note.kind, note.text), []).append(note.name)
    lines = []
    for (kind, text), about in names.items():
        more = f" and {len(about) - MOST_NAMES} more" if len(about) > MOST_NAMES else ""
        lines.append(f"{kind} {', '.join(about[:MOST_NAMES])}{more}: {text}")
    return lines


def _salt_key(file: str | None) -> str | None:
    if file is None:
        return next((os.environ[name] for name in SALTS if os.environ.get(name)), None)
    try:
        found = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotImport(f"The file {file} with the salt key cannot be read.") from error
    if not found:
        raise CannotImport(f"The file {file} with the salt key is empty.")
    return found
