"""The groups of routes that a key's `allowed_routes` may name, as LiteLLM's and ours. Pure."""

from __future__ import annotations

from gateway.faces import Face
from gateway.routes import INFERENCE, MONITORING, SERVER_CONTROL, Match

_BY_CLASS = {
    INFERENCE: frozenset(("llm_api_routes",)),
    MONITORING: frozenset(("llm_api_routes", "monitoring_routes")),
    SERVER_CONTROL: frozenset(("server_control_routes",)),
}


def groups_of(face: Face, match: Match) -> frozenset[str]:
    """The groups that a call to this route is in."""
    by_face = "vllm_routes" if face.verbatim else "openai_routes"
    return _BY_CLASS[match.endpoint_class] | ({by_face} if match.endpoint_class != SERVER_CONTROL else frozenset())
