"""Fills a gateway with a month of believable traffic, to look at it or to test its pages. Calls nobody."""

from __future__ import annotations

import time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from gateway.demo import cast
from gateway.demo.seeding import seed
from keys.models import Team, VirtualKey
from upstreams.base_url import normalised
from upstreams.models import Upstream

MOST_DAYS, MOST_CALLS = 400, 10_000_000
_SHOWN = ("support-assistant", "ada-notebooks", "support-summaries", "old-chatbot", "hackathon-2026")
_EVERY = 20_000


class Command(BaseCommand):
    help = (
        "Makes upstreams, teams, keys and a month of calls with their roll-ups, for a look at the admin and for tests."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="how many days of calls, up to now (default: 30)")
        parser.add_argument("--calls", type=int, default=60_000, help="about how many calls (default: 60000)")
        parser.add_argument("--seed", type=int, default=1, help="another number makes other calls (default: 1)")
        parser.add_argument(
            "--upstream",
            action="append",
            default=[],
            metavar="URL",
            help="where the upstreams are, repeatable; without it they lead to a closed port of this host",
        )
        parser.add_argument("--yes", action="store_true", help="also on a gateway that has keys of its own")

    def handle(self, **options: Any) -> None:
        urls = [_checked(url) for url in options["upstream"]]
        _within("--days", options["days"], MOST_DAYS)
        _within("--calls", options["calls"], MOST_CALLS)
        _refuse_twice()
        if not options["yes"] and VirtualKey.objects.exists():
            raise CommandError("This gateway has keys of its own. With --yes the demo's are added to them.")
        began, shown = time.monotonic(), 0

        def progress(stored: int) -> None:
            nonlocal shown
            if stored - shown >= _EVERY:
                shown = stored
                self.stdout.write(f"{stored:,} calls …")

        made = seed(
            now=timezone.now(),
            days=options["days"],
            calls=options["calls"],
            number=options["seed"],
            urls=urls,
            progress=progress,
        )
        self.stdout.write(
            f"Made {made.servers} upstreams, {len(cast.TEAMS)} teams, {len(cast.OWNERS)} owners, "
            f"{len(made.secrets)} keys and {made.calls:,} calls of {options['days']} days "
            f"in {time.monotonic() - began:.1f} s."
        )
        self.stdout.write("Some of the keys, shown this once:")
        for name in _SHOWN:
            self.stdout.write(f"  {name:<20}{made.secrets[name]}")


def _checked(url: str) -> str:
    try:
        return normalised(url)
    except ValidationError as error:
        raise CommandError(f"--upstream {url}: {error.messages[0]}") from error


def _within(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise CommandError(f"{name} must be between 1 and {most}.")


def _refuse_twice() -> None:
    """The demo's names are unique: a second one would fail half way."""
    names = [server.name for server in cast.SERVERS]
    taken = (
        Upstream.objects.filter(name__in=names).exists()
        or Team.objects.filter(team_id__in=[ident for ident, _, _ in cast.TEAMS]).exists()
        or VirtualKey.objects.filter(name__in=[key.name for key in cast.KEYS]).exists()
    )
    if taken:
        raise CommandError("The demo, or something with its names, is here already. Use a new data directory.")
