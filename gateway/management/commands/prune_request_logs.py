"""Deletes old rows of the request log. The gateway does the same by itself once an hour."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.account.retention import prune


class Command(BaseCommand):
    help = "Deletes the request logs that are older than the retention time. Usage by hour is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=float,
            default=settings.LOG_RETENTION_DAYS,
            help="how many days to keep (default: GATEWAY_LOG_RETENTION_DAYS, %(default)s)",
        )

    def handle(self, **options: Any) -> None:
        days = options["days"]
        if not 0 <= days <= 36_500:
            raise CommandError("--days must be between 0 and 36500.")
        deleted = prune(days, progress=lambda so_far: self.stdout.write(f"{so_far} rows deleted"))
        self.stdout.write(f"Deleted {deleted} request logs older than {days:g} days.")
