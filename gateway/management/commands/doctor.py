"""Says how everything is that the gateway stands on; exit status 1 if something does not work."""

from typing import Any

from django.core.management.base import BaseCommand

from gateway.doctor import BAD, GOOD, QUIET, WARNING, examine, in_short, is_bad

_WORDS = {GOOD: "good", QUIET: "trial", WARNING: "warning", BAD: "BAD"}


class Command(BaseCommand):
    help = "Looks at database, journal, disk, clock, relay workers, encryption keys, upstreams and settings."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        findings = examine()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            code = f" ({finding.code})" if finding.code else ""
            self.stdout.write(f"{_WORDS[finding.kind]:<8} {finding.name:<{width}}  {finding.text}{code}")
            if finding.remedy:
                self.stdout.write(f"{'':<8} {'':<{width}}  → {finding.remedy}")
        self.stdout.write(in_short(findings))
        if is_bad(findings):
            raise SystemExit(1)
