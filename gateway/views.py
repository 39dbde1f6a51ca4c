"""Thin views: parse, ask one object, answer."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from gateway.faces import OPENAI, VLLM, Face, upstream_face
from gateway.passthrough import Environ, PassThrough
from gateway.realtime import handshake
from gateway.this_relay import plane


class FirstRenderer(BaseContentNegotiation):
    """Takes the first renderer, whatever the client accepts: `Accept: text/event-stream` must not become a 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class PassThroughView(APIView):
    """`/vllm/<anything>`: every vLLM endpoint in native format, streaming included."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = FirstRenderer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nothing yet: who may do what is decided in `PassThrough`, from the raw request."""

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def relay(self, request: Request) -> HttpResponseBase:
        """Any method."""
        environ = request.META
        if handshake.is_upgrade(environ):
            handshake.take_key(environ)
        return PassThrough(environ, plane, face=self.face(environ)).answer()

    def face(self, environ: Environ) -> Face:
        """How the call came in."""
        return VLLM

    get = head = post = put = patch = delete = options = relay  # type: ignore[assignment]


class NamedUpstreamView(PassThroughView):
    """`/upstreams/<name>/<anything>`: the same, on the upstream that the address names."""

    def face(self, environ: Environ) -> Face:
        return upstream_face(str(environ["RAW_URI"]))


class OpenAIView(PassThroughView):
    """`/v1/<anything>`, and the well-known paths without `/v1`: the OpenAI-compatible face over all upstreams."""

    def face(self, environ: Environ) -> Face:
        return OPENAI


def front_page(request: HttpRequest) -> HttpResponseRedirect:
    """Someone opened the bare address in a browser."""
    return HttpResponseRedirect("/admin/")
