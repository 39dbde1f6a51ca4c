"""Models that stand in the path: `/engines/{model}/…` and, on `/v1`, `/models/{id}`. Pure.

The only two places where an encoded slash is let through, since names such as `org/model` hold one and the openai
library sends it encoded. Anything else that is unsafe in a path stays so in a model's name.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.paths import UnsafePath

_ENGINES = re.compile(r"(?:/v1)?/engines/([^?#]+?)/(chat/completions|completions|embeddings)(/?(?:\?.*)?)", re.DOTALL)
_MODELS = re.compile(r"((?:/v1)?/models/)([^?#]+?)(/?(?:\?.*)?)", re.DOTALL)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\%]|(?:^|/)\.{0,2}(?:/|$)")
_PLACEHOLDER = "-"


def engine(raw_target: str, prefix: str) -> tuple[str, str] | None:
    """The model of `/engines/{model}/…` below `prefix`, and the target that is meant; None for all other targets.

    Raises UnsafePath for a name that could be read as another path.
    """
    found = _ENGINES.fullmatch(raw_target[len(prefix) :]) if raw_target.startswith(prefix) else None
    return (_name(found[1]), f"{prefix}/v1/{found[2]}{found[3]}") if found else None


def listed(raw_target: str) -> tuple[str, str] | None:
    """The id of `/v1/models/{id}`, and the target with a placeholder for it; None for all other targets.

    Raises UnsafePath.
    """
    found = _MODELS.fullmatch(raw_target)
    return (_name(found[2]), f"{found[1]}{_PLACEHOLDER}{found[3]}") if found else None


def _name(raw: str) -> str:
    try:
        name = unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafePath("The model's name is not UTF-8.") from error
    if _UNSAFE.search(name):
        raise UnsafePath("The model's name could be read as another path.")
    return name
