"""What the tests of meters share: recordings of a real vLLM, and meters fed with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.metering.meters import Meter, make_meter
from gateway.metering.usage import Usage

RECORDINGS = Path(__file__).parent.parent / "recordings"
ROLE = b'data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"
REQUEST = 132
"""The size of a request in bytes, and the prompt tokens that are guessed from it."""
GUESSED = 33


def recording(name: str) -> bytes:
    """The bytes of a recorded answer, such as `chat.sse`."""
    return (RECORDINGS / name).read_bytes()


def name_of(file: str) -> str:
    """The meter for a recording, which its name begins with."""
    first = file.split(".")[0].split("_")[0]
    return {"transcription": "transcriptions", "translation": "translations"}.get(first, first)


def in_reads(body: bytes) -> list[bytes]:
    """A long body in the pieces that reads give."""
    return [body[at : at + 20_000] for at in range(0, len(body), 20_000)]


def events_of(stream: bytes) -> list[bytes]:
    """A recorded stream as vLLM sends it: an event a piece."""
    return [event + b"\n\n" for event in stream.removesuffix(b"\n\n").split(b"\n\n")]


def word(text: str, *, index: int = 0, rest: str = "") -> bytes:
    """A chat event with one token."""
    choice = f'{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":null}}'
    return f'data: {{"id":"a","choices":[{choice}]{rest}}}\n\n'.encode()


def meter_for(name: str | None, **options: Any) -> Meter:
    """A meter of a stream that hides nothing, unless the options say otherwise."""
    given = {"streaming": True, "hide_usage": False, "status": 200, "content_type": "", **options}
    return make_meter(name, **given)


def plain_meter(name: str | None, **options: Any) -> Meter:
    """A meter of a JSON body."""
    return meter_for(name, **{"streaming": False, "content_type": "application/json", **options})


def relay(meter: Meter, pieces: Iterable[bytes]) -> bytes:
    """What a client receives of these pieces."""
    return b"".join([meter.feed(piece) for piece in pieces]) + meter.end()


def tokens(usage: Usage) -> tuple[int | None, int | None, str]:
    """Prompt, completion and source."""
    return usage.prompt_tokens, usage.completion_tokens, usage.source
