"""What a vLLM server lets anybody do who reaches it, and what is wrong with that, in words. Sends no credential.

Only GET is asked, and nothing of an answer is kept but whether there was one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from upstreams import advisories, client
from upstreams.base_url import is_this_host
from upstreams.errors import UpstreamError

logger = logging.getLogger(__name__)

TIMEOUT = 3.0
GOOD, WARNING, BAD, QUIET = "good", "warning", "bad", "quiet"
SLEEPING = "/is_sleeping"
"""The cheapest of the endpoints that exist in dev mode only."""


@dataclass(frozen=True, slots=True)
class Posture:
    """What was open to a caller without a key. `asleep` is None where the server does not say it."""

    dev_mode: bool
    models: bool
    invocations: bool
    asleep: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def stored(cls, told: Mapping[str, Any]) -> Posture | None:
        """What was stored; None while nothing was."""
        return cls(**told) if told else None


@dataclass(frozen=True, slots=True)
class Finding:
    """One aspect: its badge (kind and word), what is so, and what to do about it ("" when nothing).

    `short` says in a few words what is wrong, to follow the name of the server; "" where nothing is.
    """

    name: str
    kind: str
    word: str
    text: str
    remedy: str = ""
    advisories: tuple[advisories.Advisory, ...] = ()
    short: str = ""


def look(url: str, *, timeout: float = TIMEOUT) -> Posture | None:
    """Asks three questions without a key, of `timeout` seconds each; None when one has no answer. Never raises."""
    try:
        models = client.fetch(url, "", "/v1/models", timeout=timeout)
        sleeping = client.fetch(url, "", SLEEPING, timeout=timeout)
        # A GET is not what this endpoint wants: 405 says that a POST would generate.
        invocations = client.fetch(url, "", "/invocations", timeout=timeout)
    except UpstreamError:
        return None
    except Exception:
        logger.exception("A look at a server's posture failed in a way that was not foreseen.")
        return None
    return Posture(
        dev_mode=sleeping.status == 200,
        models=models.status == 200,
        invocations=invocations.status in {200, 405},
        asleep=_asleep(sleeping),
    )


def _asleep(answer: client.Fetched) -> bool | None:
    try:
        told = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        return None
    value = told.get("is_sleeping") if isinstance(told, dict) else None
    return value if isinstance(value, bool) else None


def findings(url: str, version: str, found: Posture | None) -> list[Finding]:
    """All aspects of a server at a (normalised) URL, the version that it tells, and what was open."""
    here = is_this_host(url)
    return [_version(version), *_open(found, here=here), _transport(url, here=here)]


def summary(found: Sequence[Finding]) -> tuple[str, str, str]:
    """All aspects as one badge: its kind, its word, and in words what is wrong, the gravest of it."""
    for kind, word in ((BAD, "Problem"), (WARNING, "Warning")):
        told = [finding.short for finding in found if finding.kind == kind]
        if told:
            return kind, word, "; ".join(told)
    known = [finding for finding in found if finding.kind == GOOD]
    return (GOOD, "Good", "") if len(known) == len(found) else (QUIET, "Not known", "")


def _version(version: str) -> Finding:
    name, known = "Version", advisories.known()
    if not version:
        return Finding(name, QUIET, "Not known", "The version is not known before the first successful check.")
    found = known.of(version)
    if found is None:
        return Finding(name, QUIET, "Not read", f"“{version}” is no version that advisories could be compared with.")
    if not found:
        return Finding(name, GOOD, "None known", f"No advisory of our list of {known.as_of} concerns vLLM {version}.")
    worst = found[0].severity or "unstated"
    many = f"{len(found)} known advisories concern" if len(found) > 1 else "A known advisory concerns"
    return Finding(
        name,
        BAD if worst in {"critical", "high"} else WARNING,
        f"{len(found)} known",
        f"{many} vLLM {version}, by our list of {known.as_of}; the highest severity is {worst}.",
        f"Update vLLM to {advisories.remedy(found)} or newer.",
        tuple(found),
        short=f"has {len(found)} known {'advisory' if len(found) == 1 else 'advisories'}",
    )


def _open(found: Posture | None, *, here: bool) -> Iterator[Finding]:
    if found is None:
        yield Finding("Dev mode", QUIET, "Not known", "The server has not been asked yet.")
        yield Finding("Without a key", QUIET, "Not known", "The server has not been asked yet.")
        return
    exposed = WARNING if here else BAD
    yield (
        _dev_mode(exposed)
        if found.dev_mode
        else Finding("Dev mode", GOOD, "Off", "The endpoints of VLLM_SERVER_DEV_MODE are not there.")
    )
    yield _keys(found, exposed)


def _dev_mode(kind: str) -> Finding:
    return Finding(
        "Dev mode",
        kind,
        "Reachable",
        "Whoever reaches the server, with or without its key, can put it to sleep, abort calls and run code in its "
        "workers (/sleep, /abort_requests, /collective_rpc).",
        "Start vLLM without VLLM_SERVER_DEV_MODE=1, or let only the gateway reach its port.",
        short="is in dev mode",
    )


def _keys(found: Posture, exposed: str) -> Finding:
    name = "Without a key"
    if found.models:
        return Finding(
            name,
            exposed,
            "Open",
            "The server answers everybody: whoever reaches it needs no virtual key.",
            "Start vLLM with --api-key, enter that key as the credential, and let only the gateway reach its port.",
            short="answers without a key",
        )
    if found.invocations:
        return Finding(
            name,
            WARNING,
            "Partly open",
            "The server wants its key, but vLLM guards only paths below /v1, /v2, /inference and /cohere: /invocations "
            "generates without one.",
            "Let only the gateway reach its port.",
            short="generates without a key at /invocations",
        )
    return Finding(name, GOOD, "Guarded", "The server does not answer without its key.")


def _transport(url: str, *, here: bool) -> Finding:
    if url.startswith("https:"):
        return Finding("Transport", GOOD, "TLS", "Calls are encrypted, and the server's certificate is verified.")
    if here:
        return Finding("Transport", GOOD, "This host", "Plain HTTP, which does not leave this host.")
    return Finding(
        "Transport",
        BAD,
        "Plain HTTP",
        "Prompts, answers and the key of the server cross the network in plain text.",
        "Start vLLM with --ssl-certfile and --ssl-keyfile, or put a TLS proxy beside it, and change the URL to https://.",
        short="is called in plain HTTP",
    )
