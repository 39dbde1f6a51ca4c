"""Asks upstreams how they are, and says in plain words what is wrong. Sends no call of anybody's.

`check` looks at one server; `Prober` looks at all of them every 30 s, in a thread of the control process.
"""

from __future__ import annotations

import json
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import close_old_connections
from django.utils import timezone

from upstreams import client
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
from upstreams.models import HEALTHY, UNHEALTHY, Upstream

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
AT_ONCE = 8
MAX_MODELS = 1000

WORDS: Mapping[type[UpstreamError], str] = {
    UpstreamRefused: "The connection is refused. Is vLLM running, and are host and port right?",
    UpstreamNameUnknown: "The host name is not known (DNS).",
    UpstreamTlsFailed: "No secure connection (TLS)",
    UpstreamConnectTimeout: "The host does not accept the connection in time. Is a firewall in between?",
    UpstreamTimeout: "The server accepts the connection, but does not answer in time.",
    UpstreamReset: "The server closes the connection without an answer. Does it expect https:// in place of http://?",
    UpstreamInvalid: "What answers there does not speak HTTP. Does it expect https:// in place of http://?",
    UpstreamBroken: "The server breaks off in the middle of its answer.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at a server showed. `text` is a sentence for the admin; it names no credential."""

    healthy: bool
    text: str
    version: str = ""
    models: tuple[str, ...] = ()
    latency_ms: float | None = None


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
        models = _models(url, plain, timeout)
    except (_Finding, CredentialUnreadable) as finding:
        return Check(healthy=False, text=str(finding), version=version, latency_ms=latency_ms)
    except Exception:
        logger.exception("A check failed in a way that was not foreseen.")
        return Check(healthy=False, text="The check itself failed; the log says why.")
    text = f"vLLM {version} answers in {latency_ms:.0f} ms and serves {_some(models)}."
    return Check(healthy=True, text=text, version=version, models=models, latency_ms=latency_ms)


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


def _models(url: str, credential: str, timeout: float) -> tuple[str, ...]:
    """The served names in vLLM's order, LoRA adapters included; a call that names none gets the first."""
    listed = _json(_ask(url, credential, "/v1/models", timeout)).get("data")
    if not isinstance(listed, list):
        raise _Finding("This is not a vLLM server: /v1/models does not answer with a list.")
    names = [model.get("id") for model in listed[:MAX_MODELS] if isinstance(model, dict)]
    return tuple(name for name in names if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200)


def _ask(url: str, credential: str, path: str, timeout: float) -> client.Fetched:
    """The answer to a GET. Raises _Finding when there is none, or one that is the same finding on every path."""
    try:
        answer = client.fetch(url, credential, path, timeout=timeout)
    except UpstreamError as error:
        raise _Finding(_in_words(error)) from error
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


def _in_words(error: UpstreamError) -> str:
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


def record(upstream: Upstream, result: Check) -> None:
    """Notes what a check showed, unless the URL has been changed meanwhile. Copies hear only of new models."""
    rows = Upstream.objects.filter(pk=upstream.pk, url=upstream.url)
    rows.update_quietly(
        health=HEALTHY if result.healthy else UNHEALTHY,
        health_text=result.text,
        checked_at=timezone.now(),
        latency_ms=result.latency_ms,
        vllm_version=result.version,
    )
    models = list(result.models)
    if result.healthy and models != rows.values_list("served_models", flat=True).first():
        rows.update(served_models=models)


def check_and_record(upstream: Upstream) -> Check:
    """One look at an upstream now, noted in its row; its credential is not in the result."""
    result = check(upstream.url, upstream.credential)
    record(upstream, result)
    return result


class Prober:
    """Checks all upstreams every `interval` seconds, give or take `jitter` of it, in a thread of its own.

    One round follows the other, so no upstream is asked twice at once. Nothing ends the thread but `stop`.
    """

    def __init__(
        self,
        interval: float = 30.0,
        *,
        jitter: float = 0.2,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval, self._jitter, self._rand, self._clock = interval, jitter, rand, clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins with the first round at once."""
        self._thread = threading.Thread(target=self.run, name="prober", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Ends the thread, after the round that is going on; waits at most `timeout` seconds for it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def run(self) -> None:
        """Round after round until `stop`."""
        while not self._stopped.is_set():
            began = self._clock()
            self.round()
            self._stopped.wait(max(0.0, self._pause() - (self._clock() - began)))

    def _pause(self) -> float:
        return self._interval * (1 + self._jitter * (2 * self._rand() - 1))

    def round(self) -> None:
        """Checks each upstream once. Holds no database connection while it waits for one of them."""
        try:
            upstreams = list(Upstream.objects.all())
            close_old_connections()
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe") as probes:
                checks = list(probes.map(lambda upstream: check(upstream.url, upstream.credential), upstreams))
            for upstream, result in zip(upstreams, checks, strict=True):
                record(upstream, result)
        except Exception:  # the database may be away; the next round tries again
            logger.exception("The upstreams could not be checked.")
        finally:
            close_old_connections()
