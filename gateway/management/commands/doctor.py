"""Says how everything is that the gateway stands on; exit status 1 if something does not work."""

from typing import Any

from django.core.management.base import BaseCommand

from gateway.doctor import BAD, GOOD, WARNING, examine, is_bad

_WORDS = {GOOD: "good", WARNING: "warning", BAD: "BAD"}


class Command(BaseCommand):
    help = "Looks at database, journal, disk, clock, relay workers, encryption keys and upstreams, and says the remedy."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        findings = examine()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            self.stdout.write(f"{_WORDS[finding.kind]:<8} {finding.name:<{width}}  {finding.text}")
            if finding.remedy:
                self.stdout.write(f"{'':<8} {'':<{width}}  → {finding.remedy}")
        if is_bad(findings):
            raise SystemExit(1)
