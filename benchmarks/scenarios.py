"""What is measured and what must be reached. The goals are promises: they are printed, and never loosened.

Knows how to read a goal's value from two measurements, not how these are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.measuring import Measurement

Value = Callable[[Measurement, Measurement], float]  # of the gateway and of the same calls made directly


@dataclass(frozen=True)
class Goal:
    """`value(through the gateway, direct)` compared with `limit`."""

    text: str
    unit: str
    comparison: Literal["<", "<="]
    limit: float
    value: Value

    def reached(self, value: float) -> bool:
        """Whether the value is good enough; an unknown one (NaN) is not."""
        return value < self.limit if self.comparison == "<" else value <= self.limit


@dataclass(frozen=True)
class Scenario:
    """A load and its goals. Times in seconds, `rate` in tokens a second for each stream."""

    name: str
    title: str
    kind: Literal["calls", "streams"]
    slots: int
    goals: tuple[Goal, ...]
    rate: float = 0.0
    ramp: float = 0.5  # starts are spread over this time, before the window
    seconds: float = 10.0  # the window
    log_ins: int = 0  # log-ins to the admin during the window: about 0.3 s of CPU each, for the password's hash

    def shortened(self) -> Scenario:
        """The quick form: it shows that everything works; its figures are rough."""
        ramp = min(5.0, self.slots / 200) if self.kind == "streams" else 0.3
        return replace(self, ramp=ramp, seconds=1.5 if self.kind == "calls" else 2.0)


SCENARIOS = (
    Scenario(
        "calls-1",
        "short calls, 1 client",
        "calls",
        1,
        (Goal("p50 added latency", "ms", "<", 1.2, lambda gateway, direct: gateway.p50 - direct.p50),),
        seconds=5.0,
    ),
    Scenario(
        "calls-32",
        "short calls, 32 clients",
        "calls",
        32,
        (Goal("relay worker CPU per call", "ms", "<=", 0.9, lambda gateway, _: gateway.relay_cpu_each * 1e3),),
    ),
    Scenario(
        "streams-500",
        "500 streams of 50 tokens/s",
        "streams",
        500,
        (
            Goal("relay worker CPU per chunk", "µs", "<=", 35, lambda gateway, _: gateway.relay_cpu_each * 1e6),
            Goal("relay worker memory (RSS), all open", "MB", "<", 150, lambda gateway, _: gateway.relay_rss),
        ),
        rate=50,
        ramp=5.0,
    ),
    Scenario(
        "streams-250",
        "250 streams of 50 tokens/s",
        "streams",
        250,
        (
            Goal("lag p99", "ms", "<", 15, lambda gateway, _: gateway.p99),
            Goal("TTFT p99", "ms", "<", 200, lambda gateway, _: gateway.ttft_p99),
        ),
        rate=50,
        ramp=2.5,
    ),
    Scenario(
        "streams-50-busy",
        "50 streams of 50 tokens/s beside six log-ins to the admin",
        "streams",
        50,
        (Goal("lag p99", "ms", "<", 20, lambda gateway, _: gateway.p99),),
        rate=50,
        ramp=1.0,
        seconds=6.0,
        log_ins=6,
    ),
    Scenario(
        "streams-2000",
        "2,000 streams of 2 tokens/s",
        "streams",
        2000,
        (Goal("calls that failed", "", "<=", 0, lambda gateway, _: gateway.failed),),
        rate=2,
        ramp=20.0,
    ),
)
