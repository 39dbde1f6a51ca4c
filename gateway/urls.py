"""The whole public surface. The relay has the first part; the second is the control plane's, behind it."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path

from gateway import health, limits_in_use

Routes = list[URLPattern | URLResolver]

_OPENAI = (
    "v1(?:/|$)|v2/(?:rerank|embed)|chat/completions|completions|embeddings|responses|messages|rerank|score|classify"
    "|pooling|tokenize|detokenize|audio/|models(?:/|$)|realtime|engines/|images/|files(?:/|$)|batches(?:/|$)|moderations"
)
"""The OpenAI face: `/v1`, and what LiteLLM's users call without it."""

_CONTROL_BELOW_V1 = "v1/model/"

liveness: Routes = [
    path("healthz", health.alive),
    path("health/liveliness", health.liveliness),
    path("health/liveness", health.liveliness),
]


def relay() -> Routes:
    """Calls, and how the relay is."""
    from gateway.handover import hand_over
    from gateway.views import NamedUpstreamView, OpenAIView, PassThroughView

    return [
        re_path(r"^vllm(?:/|$)", PassThroughView.as_view()),
        re_path(r"^upstreams/[^/]+(?:/|$)", NamedUpstreamView.as_view()),
        re_path(rf"^(?!{_CONTROL_BELOW_V1})(?:{_OPENAI})", OpenAIView.as_view()),
        *liveness,
        path("readyz", health.ready),
        path("health/readiness", health.ready),
        path(limits_in_use.PATH[1:], limits_in_use.tell),
        re_path(r"^(?!health/|readyz|healthz)", hand_over),
    ]


def control() -> Routes:
    """The admin, the key API and the model API."""
    from django.contrib import admin

    from gateway.views import front_page
    from keys.urls import v2_urlpatterns

    return [
        path("", front_page),
        path("admin/oidc/", include("people.urls")),
        path("admin/", admin.site.urls),
        path("me/", include("gateway.holder_pages.urls")),
        path("", include("gateway.spend_api.urls")),
        path("api/", include("gateway.api_schema.urls")),
        path("key/", include("keys.urls")),
        path("v2/key/", include(v2_urlpatterns)),
        path("", include("keys.groups_api.urls")),
        path("", include("gateway.model_api.urls")),
        *liveness,
        path("readyz", health.control_ready),
        path("health/readiness", health.control_ready),
    ]


urlpatterns: Routes = relay() if settings.PLANE == "relay" else control()
handler400 = "gateway.error_handler.bad_request"
handler403 = "gateway.error_handler.forbidden"
handler404 = "gateway.error_handler.not_found"
handler500 = "gateway.error_handler.server_error"
