"""Looks at one upstream, and says in plain words what is wrong. Sends no call of anybody's, and writes nothing down."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upstreams import client, load
from upstreams.errors import (
    CredentialUnreadable,
    UpstreamBroken,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNameUnknown,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTlsFailed,
)
from upstreams.fields import Credential

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
PULSE_TIMEOUT = 3.0
LOAD_TIMEOUT = 2.0
MOST_METRICS = 8_000_000
MAX_MODELS = 1000

WORDS: Mapping[type[UpstreamError], str] = {
    UpstreamRefused: "The connection is refused. Is vLLM running, and are host and port right?",
    UpstreamNameUnknown: "The host name is not known (DNS).",
    UpstreamTlsFailed: "No secure connection (TLS)",
    UpstreamConnectTimeout: "The host does not accept the connection in time. Is a firewall in between?",
    UpstreamTimeout: "The server accepts the connection, but does not answer in time.",
    UpstreamReset: (
        "The server closes the connection without an answer. Is it starting or stopping, or does it expect https:// in"
        " place of http://?"
    ),
    UpstreamInvalid: "What answers there does not speak HTTP. Does it expect https:// in place of http://?",
    UpstreamBroken: "The server breaks off in the middle of its answer.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at a server showed. `text` is a sentence for the admin; it names no credential."""

    healthy: bool
    text: str
    version: str = ""
    details: tuple[Mapping[str, Any], ...] = ()
    latency_ms: float | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The served names in vLLM's order, LoRA adapters included; a call that names none gets the first."""
        return tuple(one["id"] for one in self.details)


class _Finding(Exception):
    """What is wrong, in words."""


def check(url: str, credential: str | Credential, *, timeout: float = TIMEOUT) -> Check:
    """Asks `/health`, `/version` and `/v1/models` of the server at the (normalised) URL. Never raises.

    Each question may take `timeout` seconds. Redirects are not followed and answers over 1 MB not read.
    """
    version, latency_ms = "", None
    try:
        plain = credential.reveal() if isinstance(credential, Credential) else credential
        latency_ms = round(_health(url, plain, timeout) * 1000, 1)
        version = _version(url, plain, timeout)
        details = _models(url, plain, timeout)
    except (_Finding, CredentialUnreadable) as finding:
        return Check(healthy=False, text=str(finding), version=version, latency_ms=latency_ms)
    except Exception:
        logger.exception("A check failed in a way that was not foreseen.")
        return Check(healthy=False, text="The check itself failed; the log says why.")
    text = f"vLLM {version} answers in {latency_ms:.0f} ms and serves {_some(tuple(one['id'] for one in details))}."
    return Check(healthy=True, text=text, version=version, details=details, latency_ms=latency_ms)


def pulse(url: str, credential: str | Credential, *, timeout: float = PULSE_TIMEOUT) -> Check:
    """Asks `/health` and nothing else. A server that sleeps is well. Never raises."""
    try:
        plain = credential.reveal() if isinstance(credential, Credential) else credential
        latency_ms = round(_health(url, plain, timeout) * 1000, 1)
    except (_Finding, CredentialUnreadable) as finding:
        return Check(healthy=False, text=str(finding))
    except Exception:
        logger.exception("A probe failed in a way that was not foreseen.")
        return Check(healthy=False, text="The check itself failed; the log says why.")
    return Check(healthy=True, text="", latency_ms=latency_ms)


def figures(url: str, credential: str | Credential, *, timeout: float = LOAD_TIMEOUT) -> load.Figures | None:
    """What the server's `/metrics` says of its load; None when it says nothing. Never raises."""
    try:
        plain = credential.reveal() if isinstance(credential, Credential) else credential
        answer = client.fetch(url, plain, "/metrics", timeout=timeout, limit=MOST_METRICS)
    except (UpstreamError, CredentialUnreadable):
        return None  # the pulse says what is wrong
    except Exception:
        logger.exception("A probe failed in a way that was not foreseen.")
        return None
    return load.read(answer.body) if answer.status == 200 else None


def _some(models: tuple[str, ...]) -> str:
    more = f" and {len(models) - 3} more" if len(models) > 3 else ""
    return (", ".join(models[:3]) or "no model") + more


def _health(url: str, credential: str, timeout: float) -> float:
    answer = _ask(url, credential, "/health", timeout)
    if answer.status == 404:
        raise _Finding("This is not a vLLM server: it has no /health.")
    if answer.status != 200:
        raise _Finding(f"This is not a vLLM server: /health answers {answer.status}.")
    return answer.seconds


def _version(url: str, credential: str, timeout: float) -> str:
    version = _json(_ask(url, credential, "/version", timeout)).get("version")
    if not isinstance(version, str) or not version.isprintable() or not 0 < len(version) <= 50:
        raise _Finding("This is not a vLLM server: /version does not answer with a version.")
    return version


def _models(url: str, credential: str, timeout: float) -> tuple[Mapping[str, Any], ...]:
    """What the server says of each of its models, LoRA adapters (which have a parent) included."""
    listed = _json(_ask(url, credential, "/v1/models", timeout)).get("data")
    if not isinstance(listed, list):
        raise _Finding("This is not a vLLM server: /v1/models does not answer with a list.")
    details = [_detail(row) for row in listed[:MAX_MODELS] if isinstance(row, dict) and _is_name(row.get("id"))]
    first: dict[str, Mapping[str, Any]] = {}
    for one in details:
        first.setdefault(one["id"], one)
    return tuple(first.values())


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value == value.strip() and 0 < len(value) <= 200


def _detail(row: Mapping[str, Any]) -> dict[str, Any]:
    def text(name: str) -> str | None:
        value = row.get(name)
        return value[:500] if isinstance(value, str) and value.isprintable() else None

    def whole(name: str) -> int | None:
        value = row.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None

    return {
        "id": row["id"],
        "root": text("root"),
        "parent": text("parent"),
        "max_model_len": whole("max_model_len"),
        "created": whole("created"),
    }


def _ask(url: str, credential: str, path: str, timeout: float) -> client.Fetched:
    """The answer to a GET. Raises _Finding when there is none, or one that is the same finding on every path."""
    try:
        answer = client.fetch(url, credential, path, timeout=timeout)
    except UpstreamError as error:
        raise _Finding(in_words(error)) from error
    if answer.status in {401, 403}:
        wrong = "does not accept the credential" if credential else "wants a credential, and none is stored"
        raise _Finding(f"The server {wrong} ({path} answers {answer.status}).")
    if 300 <= answer.status < 400:
        raise _Finding(f"The server redirects {path} elsewhere; enter the address that it redirects to.")
    if answer.status >= 500:
        raise _Finding(f"The server is there, but not well ({path} answers {answer.status}).")
    return answer


def _json(answer: client.Fetched) -> dict[str, Any]:
    """The JSON object that was answered; an empty one when it is none."""
    try:
        value = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def in_words(error: UpstreamError) -> str:
    """What went wrong on the way to a server, as a sentence for the admin."""
    words = WORDS.get(type(error), error.message)
    if error.message != error.default_detail:
        return error.message
    if not isinstance(error, UpstreamTlsFailed):
        return words
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{words}: the certificate is not trusted ({cause.verify_message.rstrip('.')})."
    return f"{words}: does the server expect http:// in place of https://?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
