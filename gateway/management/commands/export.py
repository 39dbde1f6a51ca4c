"""`manage.py export`: writes the file that `manage.py apply` would take without a change."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway.config.export import as_text
from gateway.config.state import current_state


class Command(BaseCommand):
    """Writes to the terminal; no secret is in it."""

    help = "Prints upstreams, models, aliases and routing as a configuration file, without any secret."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(as_text(current_state()), ending="")
