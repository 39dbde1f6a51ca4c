"""`manage.py chargeback --month 2026-11`: who used what, what it cost, and whose the servers' hours were."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.utils import DatabaseError, InterfaceError

from common.spreadsheets import lines
from gateway.chargeback import table, traffic
from gateway.chargeback.hours import Weights
from gateway.chargeback.month import Month, WrongMonth, month
from gateway.chargeback.report import Report, report

MOST = 1_000_000
WEIGHTS = {"prompt": "1", "cached": "0.1", "completion": "4"}


class Command(BaseCommand):
    """Prints CSV; sentences about it go to the standard error."""

    help = "Prints a month as CSV: calls, tokens and cost of each team and key, and their shares of the servers' hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", required=True, help="such as 2026-11, in UTC")
        parser.add_argument(
            "--by",
            default="key",
            choices=sorted(traffic.DIMENSIONS),
            help="one line for each: team and key (key, the default), team, user or model",
        )
        parser.add_argument("--csv", metavar="FILE", help="write the table to this file")
        for name, default in WEIGHTS.items():
            parser.add_argument(
                f"--{name}-weight", default=default, metavar="NUMBER", help=f"of a {name} token (default: {default})"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        weights = _weights(options)
        try:
            wanted = month(options["month"], datetime.now(UTC))
        except WrongMonth as error:
            raise CommandError(str(error)) from error
        try:
            made, rows = _table(wanted, options["by"], weights)
        except (DatabaseError, InterfaceError) as error:
            raise ImproperlyConfigured(
                "The database cannot be used; set DATABASE_URL or GATEWAY_DATA_DIR as the gateway has them,"
                " and start it once."
            ) from error
        self._write(rows, options["csv"])
        self._tell(made)

    def _write(self, rows: list[list[str]], file: str | None) -> None:
        if file is None:
            self.stdout.write(lines(rows), ending="")
            return
        try:
            with Path(file).open("w", encoding="utf-8", newline="") as out:
                out.write(lines(rows))
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{len(rows)} rows in {file}.")

    def _tell(self, made: Report) -> None:
        for server in made.servers:
            busy = 1 - server.idle_hours / server.hours if server.hours else 0
            hours, dollars = server.hours / 10_000, server.cents / 100
            self.stderr.write(f"{server.name}: {hours:,.2f} hours, {dollars:,.2f} US dollars, busy {busy:.1%}")
        for note in made.notes:
            self.stderr.write(f"note: {note}")


def _table(wanted: Month, by: str, weights: Weights) -> tuple[Report, list[list[str]]]:
    made = report(wanted, by, weights)
    names = traffic.names(by, wanted.start, wanted.end)
    return made, list(table.rows(made, traffic.team_names(), names))


def _weights(options: dict[str, Any]) -> Weights:
    given = {name: _weight(name, options[f"{name}_weight"]) for name in WEIGHTS}
    if not any(given.values()):
        raise CommandError("At least one weight must be greater than 0.")
    return Weights(**given)


def _weight(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not (number.is_finite() and 0 <= number <= MOST and number == round(number, 3)):
        raise CommandError(f"--{name}-weight must be a number from 0 to {MOST}, with at most three decimal places.")
    return number
