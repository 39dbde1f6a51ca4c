"""Server control for admins: sleep, wake up, LoRA adapters, caches. Says in words what the server made of it.

These endpoints exist only where vLLM was started so; what is missing is explained. Writes nothing down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from upstreams import answers, client
from upstreams.checking import in_words
from upstreams.errors import CredentialUnreadable, UpstreamError, UpstreamTimeout
from upstreams.fields import Credential

TIMEOUT = 60.0
"""Seconds for one command: moving weights takes a while."""

NEEDS_DEV_MODE = "Start vLLM with VLLM_SERVER_DEV_MODE=1, where only the gateway can reach it."
NEEDS_LORA = "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."
_ADAPTER = re.compile(r"[\w.:@/+-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that vLLM can be told. `fields` are what it must be told with it; `ask` is the question before it."""

    name: str
    label: str
    path: str
    ask: str
    done: str
    needs: str
    fields: tuple[str, ...] = ()

    @property
    def is_of_adapters(self) -> bool:
        return bool(self.fields)


COMMANDS: Mapping[str, Command] = {
    one.name: one
    for one in (
        Command(
            "sleep",
            "Sleep",
            "/sleep?level=1",
            "The server moves its weights out of the GPU and empties its KV cache. Calls that go there wait until it "
            "wakes up, so drain it first.",
            "Put to sleep",
            NEEDS_DEV_MODE,
        ),
        Command(
            "wake_up",
            "Wake up",
            "/wake_up",
            "The server loads its weights again and goes on with the calls that wait.",
            "Woken up",
            NEEDS_DEV_MODE,
        ),
        Command(
            "reset_prefix_cache",
            "Reset the prefix cache",
            "/reset_prefix_cache",
            "The next calls compute their whole prompts again, so they take longer to their first token.",
            "Prefix cache reset",
            NEEDS_DEV_MODE,
        ),
        Command(
            "load_lora",
            "Load a LoRA adapter",
            "/v1/load_lora_adapter",
            "The server reads the adapter from its own disk, and it becomes a model that can be called.",
            "LoRA adapter loaded",
            NEEDS_LORA,
            ("lora_name", "lora_path"),
        ),
        Command(
            "unload_lora",
            "Unload a LoRA adapter",
            "/v1/unload_lora_adapter",
            "Calls for the adapter are refused from then on.",
            "LoRA adapter unloaded",
            NEEDS_LORA,
            ("lora_name",),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command went: a sentence for the admin and the history. It names no credential."""

    ok: bool
    text: str


def wrong_with(command: Command, given: Mapping[str, str]) -> str:
    """What is wrong with what was entered for a command, as a sentence; "" when nothing is."""
    for name in command.fields:
        what = "name" if name == "lora_name" else "path"
        if not given.get(name):
            return f"Enter the adapter's {what}."
        if not _ADAPTER.fullmatch(given[name]):
            return f"The adapter's {what} may only have letters, digits and . _ - / : @ +, at most 200 of them."
    return ""


def run(
    command: Command,
    url: str,
    credential: str | Credential,
    given: Mapping[str, str] | None = None,
    *,
    timeout: float = TIMEOUT,
) -> Outcome:
    """Tells the server at the (normalised) URL; waits at most `timeout` seconds. Never tells it twice or raises."""
    told = {name: (given or {})[name] for name in command.fields}
    body = json.dumps(told).encode() if told else None
    try:
        plain = credential.reveal() if isinstance(credential, Credential) else credential
        answer = client.fetch(url, plain, command.path, timeout=timeout, method="POST", body=body)
    except UpstreamTimeout:
        return Outcome(ok=False, text=f"The server did not answer within {timeout:.0f} s; it may still be at it.")
    except UpstreamError as error:
        return Outcome(ok=False, text=in_words(error))
    except CredentialUnreadable as error:
        return Outcome(ok=False, text=str(error))
    if answer.status == 200:
        name = f" “{told['lora_name']}”" if told else ""
        return Outcome(ok=True, text=f"{command.done}{name}, in {answer.seconds:.2f} s.")
    return Outcome(ok=False, text=_refused(command, answer))


def _refused(command: Command, answer: client.Fetched) -> str:
    path, _, _ = command.path.partition("?")
    if answers.is_no_route(answer.status, answer.body):
        return f"The server has no {path}, so it cannot do this. {command.needs}"
    if answer.status in {401, 403}:
        return f"The server does not accept the stored credential ({path} answers {answer.status})."
    words = answers.said(answer.body)
    return f"The server refused: {words}" if words else f"The server refused ({path} answers {answer.status})."
