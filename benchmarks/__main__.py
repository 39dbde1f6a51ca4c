"""`make bench`: measures the gateway against the same calls made directly. Ends whatever it started, also on Ctrl-C.

    python -m benchmarks [--quick] [--only NAME] [--seconds N] [--direct] [--profile] [--json FILE]

Exit status 0 whether or not the goals are reached; 1 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import profile, report
from benchmarks.gateway import Gateway
from benchmarks.limits import raise_open_files
from benchmarks.measuring import UPSTREAM, Measurement, Target, measure
from benchmarks.processes import Child
from benchmarks.scenarios import SCENARIOS, Scenario

_CHAT = "/v1/chat/completions"
_LONGEST = 300.0  # seconds of a window


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the gateway.")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--quick", action="store_true", help="short runs, under a minute in all; figures are rough")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seconds", type=float, help=f"length of each window (at most {_LONGEST:.0f})")
    parser.add_argument("--workers", type=int, default=1, help="relay workers (with SQLite only 1 is allowed)")
    parser.add_argument("--generators", type=int, default=1, help="load generator processes")
    parser.add_argument("--direct", action="store_true", help="without the gateway: how much the tools themselves can")
    parser.add_argument("--profile", action="store_true", help="also sample the relay worker's stacks (costs a little)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    return parser.parse_args(given)


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    chosen = [scenario for scenario in SCENARIOS if not options.only or scenario.name in options.only]
    if options.quick:
        chosen = [scenario.shortened() for scenario in chosen]
    if options.seconds:
        chosen = [replace(scenario, seconds=min(options.seconds, _LONGEST)) for scenario in chosen]
    return chosen


def _measure(scenario: Scenario, target: Target, generators: int) -> Measurement:
    return measure(
        target,
        kind=scenario.kind,
        slots=scenario.slots,
        rate=scenario.rate,
        ramp=scenario.ramp,
        seconds=scenario.seconds,
        generators=min(generators, scenario.slots),
        log_ins=scenario.log_ins,
    )


def _run(options: argparse.Namespace) -> dict[str, Any]:
    facts = report.machine()
    print(report.heading(facts), flush=True)
    results = []
    with ExitStack() as stack:
        upstream = Child([sys.executable, "-m", "benchmarks.upstream"])
        stack.callback(upstream.end)
        port = json.loads(upstream.line())["port"]
        direct_target = Target("direct", port, _CHAT, "", lambda: {upstream.pid: UPSTREAM})
        target = None
        if not options.direct:
            gateway = stack.enter_context(Gateway(port, workers=options.workers, profile=options.profile))
            target = Target(
                "gateway",
                gateway.port,
                f"/vllm{_CHAT}",
                gateway.key,
                lambda: {**gateway.roles(), upstream.pid: UPSTREAM},
                gateway.log_in,
            )
        for scenario in _scenarios(options):
            direct = _measure(scenario, direct_target, options.generators)
            through = _measure(scenario, target, options.generators) if target else None
            print(report.table(scenario, direct, through), flush=True)
            if through and through.failed:
                print(gateway.last_lines(), flush=True)
            results.append(report.as_dict(scenario, direct, through))
        if target and options.profile:
            print("\n" + profile.table(gateway.profile_dir))
    return {"machine": facts, "quick": options.quick, "scenarios": results}


def main(given: Sequence[str]) -> int:
    """Returns the exit status."""
    options = _arguments(given)
    raise_open_files()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = _run(options)
    except KeyboardInterrupt:
        print("Interrupted; everything that was started has ended.", file=sys.stderr)
        return 130
    except (OSError, RuntimeError) as error:
        print(f"Could not measure: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
