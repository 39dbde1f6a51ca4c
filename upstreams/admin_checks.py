"""Looks at a server for an admin who waits: before it is saved, later, and one tiny call to a model of it.

A button's answer comes as a part of the page where a script asks for it (header X-Fragment), else as a whole page or
a message: all of this works without a script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from common.admin import changeable, duration, posted_from, pressed
from upstreams import preview, trial
from upstreams.admin_forms import AGAIN
from upstreams.models import Upstream
from upstreams.observations import check_and_record, record, record_posture

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Upstream]
else:
    _Base = object

KEPT = ("name", "url", "state", "is_default", "max_parallel", "price_per_hour")


def wants_fragment(request: HttpRequest) -> bool:
    """Whether a script puts the answer into the page that is open."""
    return request.headers.get("X-Fragment") == "1"


class CheckViews(_Base):
    """Mixed into the ModelAdmin of upstreams."""

    @method_decorator(never_cache)
    @posted_from("upstreams_upstream_add")
    def preview_view(self, request: HttpRequest) -> HttpResponseBase:
        """Checks the server that the form of a new upstream names; saves nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        credential = request.POST.get("credential", "").strip()
        seen = preview.look(request.POST.get("url", ""), credential)
        context: dict[str, Any] = {"preview": seen, "twins": Upstream.objects.at(seen.url)}
        if wants_fragment(request):
            return render(request, "admin/upstreams/upstream/preview.html", context)
        context["credential_again"] = AGAIN if credential else ""
        request.method = "GET"  # the form is shown again with what was entered, and is not judged yet
        return self.add_view(request, reverse("admin:upstreams_upstream_add"), context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What was entered before a check without a script; a credential is never given back."""
        if not request.POST:
            return dict(super().get_changeform_initial_data(request))
        return {name: request.POST[name] for name in KEPT if name in request.POST}

    @pressed
    def check_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Looks at the upstream now, and says what it found."""
        upstream = changeable(self, request, object_id)
        result = check_and_record(upstream)
        told = f"Checked. {result.text}"  # a message begins with a capital letter, which vLLM does not
        self.message_user(request, told, messages.SUCCESS if result.healthy else messages.ERROR)
        self.log_change(request, upstream, told)
        return redirect("admin:upstreams_upstream_change", upstream.pk)

    @pressed
    @method_decorator(never_cache)
    def try_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Makes one tiny call to the chosen model of the upstream, and says how it went."""
        upstream = changeable(self, request, object_id)
        model = request.POST.get("model", "")
        if model in callable_models(upstream):
            result = trial.call(upstream.url, upstream.credential, model)
            self.log_change(request, upstream, f"Called {model} as a test. {result.text}")
        else:
            result = trial.Trial(ok=False, text="Choose one of the models that this upstream serves.")
        if wants_fragment(request):
            context = {"trial": result, "model": model, "took": duration(result.seconds * 1000)}
            return render(request, "admin/upstreams/upstream/trial.html", context)
        told = f"Called {model}: {result.text}" + (f" It said “{result.answer}”" if result.answer else "")
        took = f" ({duration(result.seconds * 1000)})" if result.seconds else ""
        self.message_user(request, told + took, messages.SUCCESS if result.ok else messages.ERROR)
        return redirect("admin:upstreams_upstream_change", upstream.pk)


def take_over_preview(upstream: Upstream) -> None:
    """A new upstream begins with what the check before it was saved has shown."""
    seen = preview.seen_of(upstream.url, upstream.credential.reveal())
    if seen is None:
        return
    record(upstream, seen.check, seen.at)
    if seen.posture is not None:
        record_posture(upstream, seen.posture, seen.at)


def callable_models(upstream: Upstream) -> list[str]:
    """The names that the server knows: those that it listed, else those of its deployments."""
    listed = [str(name) for name in upstream.served_models]
    names = listed or [one.served_name for one in upstream.deployments.all()]
    return [name for name in dict.fromkeys(names) if "*" not in name]
