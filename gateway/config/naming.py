"""Names for upstreams that a file brings without one: after the first model that they serve. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.config.matching import StoredUpstream
from gateway.config.wanted import UpstreamSpec

_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 90


def name_all(
    wanted: Sequence[UpstreamSpec], rows: Sequence[StoredUpstream | None], left: Sequence[StoredUpstream]
) -> list[UpstreamSpec]:
    """The wanted upstreams with names: their own, that of their row, or a new one that none of `left` has."""
    taken = {str(row.spec.name) for row in left} | {one.name for one in wanted if one.name is not None}
    named = []
    for one, row in zip(wanted, rows, strict=True):
        name = one.name or (str(row.spec.name) if row is not None else _free(one, taken))
        taken.add(name)
        named.append(replace(one, name=name))
    return named


def _free(upstream: UpstreamSpec, taken: set[str]) -> str:
    return free_name(upstream.deployments[0].alias if upstream.deployments else "", taken)


def free_name(model: str, taken: Collection[str]) -> str:
    """`my-model`, `my-model-2`, …: the first that nobody has; never the address, which callers may not see."""
    stem = _STRANGE.sub("-", model).strip("-.")[:LONGEST] or "upstream"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)
