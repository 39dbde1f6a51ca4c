"""Slows down who guesses passwords, by address and by name, without letting a stranger lock an admin out for long.

Each attempt is written down before its password is looked at, so that many at the same time are counted too. Who signed
in from an address lately is not held up there by what others try from elsewhere in their name.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.utils import timezone

from people.models import SignInAttempt

WINDOW = timedelta(minutes=15)
MOST_BY_ADDRESS = 20
MOST_BY_NAME_AND_ADDRESS = 5
NAME_WINDOW = timedelta(minutes=5)
MOST_BY_NAME = 20
KNOWN_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has begun. `wait`: how long to wait before the next one; None lets this one go on."""

    row: SignInAttempt
    wait: timedelta | None

    def succeed(self) -> None:
        """The password was right: earlier failures of this name from this address count no more."""
        rows = SignInAttempt.objects.filter(name=self.row.name, address=self.row.address, succeeded=False)
        rows.exclude(pk=self.row.pk).delete()
        SignInAttempt.objects.filter(pk=self.row.pk).update(succeeded=True)


def begin(name: str, address: str, now: datetime | None = None) -> Attempt:
    """Writes the attempt down and says whether it may go on. Refused ones are not written: they prolong nothing."""
    at = now or timezone.now()
    SignInAttempt.objects.filter(at__lt=at - KNOWN_FOR).delete()
    digests = {"name": _digest("name", name.casefold()), "address": _digest("address", _network(address))}
    row = SignInAttempt.objects.create(at=at, **digests)
    wait = _wait(row)
    if wait is not None:
        row.delete()
    return Attempt(row, wait)


def _wait(row: SignInAttempt) -> timedelta | None:
    mine = {"name": row.name, "address": row.address}
    is_known = SignInAttempt.objects.filter(**mine, succeeded=True).exists()
    rules = [
        ({"address": row.address}, WINDOW, MOST_BY_ADDRESS),
        (mine, WINDOW, MOST_BY_NAME_AND_ADDRESS),
    ]
    if not is_known:
        rules.append(({"name": row.name}, NAME_WINDOW, MOST_BY_NAME))
    waits = [_until_free(row, about, window, most) for about, window, most in rules]
    return max((wait for wait in waits if wait is not None), default=None)


def _until_free(row: SignInAttempt, about: dict[str, str], window: timedelta, most: int) -> timedelta | None:
    """Until so many failures are old that this one would be let through."""
    failures = SignInAttempt.objects.filter(**about, succeeded=False, at__gt=row.at - window).exclude(pk=row.pk)
    times = list(failures.order_by("-at").values_list("at", flat=True)[:most])
    return times[-1] + window - row.at if len(times) == most else None


def _network(address: str) -> str:
    """What one person holds: of IPv6 a network of 64 bits, of whose addresses they can use another each time."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((int(parsed), 64), strict=False))


def _digest(kind: str, text: str) -> str:
    keyed = hmac.new(settings.SECRET_KEY.encode(), f"{kind}:{text}".encode(errors="replace"), hashlib.sha256)
    return keyed.hexdigest()
