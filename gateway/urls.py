"""The whole public surface. The relay has the first part; the second is the control plane's, behind it."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path

from gateway import health

Routes = list[URLPattern | URLResolver]

liveness: Routes = [
    path("healthz", health.alive),
    path("health/liveliness", health.liveliness),
    path("health/liveness", health.liveliness),
]


def relay() -> Routes:
    """Calls, and how the relay is."""
    from gateway.handover import hand_over
    from gateway.views import PassThroughView

    return [
        re_path(r"^vllm(?:/|$)", PassThroughView.as_view()),
        *liveness,
        path("readyz", health.ready),
        path("health/readiness", health.ready),
        re_path(r"^(?!health/|readyz|healthz)", hand_over),
    ]


def control() -> Routes:
    """The admin and the key API."""
    from django.contrib import admin

    from gateway.views import front_page

    return [
        path("", front_page),
        path("admin/", admin.site.urls),
        path("key/", include("keys.urls")),
        *liveness,
        path("readyz", health.control_ready),
        path("health/readiness", health.control_ready),
    ]


urlpatterns: Routes = relay() if settings.PLANE == "relay" else control()
handler400 = "gateway.error_handler.bad_request"
handler404 = "gateway.error_handler.not_found"
handler500 = "gateway.error_handler.server_error"
