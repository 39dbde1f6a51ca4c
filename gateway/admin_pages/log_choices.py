"""What the log's filters offer to choose from: words for statuses and ends, upstreams, types of errors, routes."""

from __future__ import annotations

import re

from gateway import routes
from gateway.admin_pages.cause_table import BY_TYPE
from gateway.admin_pages.log_ranges import ANY_LIMIT, NO_KEY
from gateway.admin_pages.log_search import known_values
from gateway.faces import VLLM
from gateway.models import outcome_choices
from keys.identity import ENDPOINT_CLASSES
from keys.limit_words import LIMIT_WORDS
from upstreams.models import Upstream

MOST_UPSTREAMS = 500
MOST_ERROR_TYPES = 200
_SINGLE = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 507)
"""Those that vLLM and the gateway answer with; another may be asked for in the address."""
_STATUS = re.compile(r"[1-5][0-9]{2}")
STATUSES = (
    ("", "Any status"),
    ("2", "2xx"),
    ("3", "3xx"),
    ("4", "4xx"),
    ("5", "5xx"),
    *((str(status), str(status)) for status in _SINGLE),
    ("none", "No status"),
)
ENDS = (
    ("", "However it ended"),
    ("trouble", "Not answered"),
    ("failed", "Failed"),
    ("refused", "Refused by the gateway"),
    ("cut", "Cut by the gateway"),
)
"""As all figures count them (`gateway.account.endings`); those that were answered are nearly all."""
STREAMING = (("", "Any"), ("yes", "Streams"), ("no", "Whole answers"))
_ELSEWHERE = {
    "abort": "answer broken off",
    "BadRequestError": "not accepted by the upstream",
    "internal_server_error": "gateway failed",
    "InternalServerError": "the upstream's own error",
    "upstream_error": "upstream's answer broken off",
}
"""What the table of causes has no line for, as the outcome or the status tells it: vLLM's own types among them."""

Choices = list[tuple[str, str]]


def outcomes() -> Choices:
    return [("", "Any outcome"), *outcome_choices()]


def endpoint_classes() -> Choices:
    return [("", "Any class"), *((name, name.replace("_", " ")) for name in ENDPOINT_CLASSES)]


def limits_in_shadow() -> Choices:
    return [("", "Any call"), (ANY_LIMIT, "Any limit"), *LIMIT_WORDS.items()]


def statuses(asked: str) -> Choices:
    """With the one that is asked for, where it is a status."""
    is_further = _STATUS.fullmatch(asked) and asked not in dict(STATUSES)
    return [*STATUSES, *([(asked, asked)] if is_further else [])]


def upstreams(asked: str) -> Choices:
    """With the one that is asked for by its id, which may be gone."""
    rows = Upstream.objects.order_by("name").values_list("pk", "name")[:MOST_UPSTREAMS]
    choices = [("", "Any upstream"), (NO_KEY, "None"), *((str(pk), name) for pk, name in rows)]
    return with_chosen(choices, asked, "upstream")


def with_chosen(choices: Choices, chosen: str, word: str) -> Choices:
    """What was deleted since, or did not fit into the list, can still be chosen by a link."""
    if chosen and chosen not in dict(choices):
        choices.append((chosen, f"{word} {chosen}"))
    return choices


def error_types(*, sees_all: bool) -> Choices:
    """Types of errors with what they mean, as far as they are ours or vLLM's; before them those that the log has, for
    who sees every team's calls: upstreams name them as they like."""
    words = {**{name: cause.short for name, cause in BY_TYPE.items()}, **_ELSEWHERE}
    logged = known_values("error_type", MOST_ERROR_TYPES) if sees_all else []
    return [(name, words.get(name, "")) for name in dict.fromkeys([*logged, *sorted(words, key=str.lower)])]


def known_routes() -> Choices:
    """The routes of the catalogue with their classes, those of models first."""
    classes = [routes.INFERENCE, routes.MONITORING, routes.SERVER_CONTROL]
    rows = sorted(routes.ROUTES, key=lambda route: classes.index(route.endpoint_class))
    found = {route.template: route.endpoint_class.replace("_", " ") for route in rows}
    return list(found.items())


def route_of(text: str) -> str:
    """What the log calls the route of this path, also where it is written without `/v1`, as a client has it below
    `/vllm`, or with the id of a response in it; a path that is not known is its own route."""
    path = f"/{text.strip().strip('/').casefold()}"
    return routes.find("POST", path[len(VLLM.prefix) :] if path.startswith(f"{VLLM.prefix}/") else path).template
