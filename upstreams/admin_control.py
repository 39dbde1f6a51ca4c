"""Server control from an upstream's page: with a permission of its own, and each command in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from common.admin import pressed
from upstreams import control, posture
from upstreams.models import Upstream
from upstreams.observations import check_and_record, record_posture

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Upstream]
else:
    _Base = object

PERMISSION = "upstreams.control_upstream"


def may_control(request: HttpRequest) -> bool:
    """Whether somebody may tell servers what to do."""
    return bool(request.user.has_perm(PERMISSION))


class ControlViews(_Base):
    """Mixed into the ModelAdmin of upstreams."""

    @pressed
    def control_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Gives the server one command, and says what it made of it."""
        upstream = self._controllable(request, object_id)
        command = control.COMMANDS.get(request.POST.get("command", ""))
        if command is None:
            raise Http404
        given = {name: request.POST.get(name, "").strip() for name in command.fields}
        wrong = control.wrong_with(command, given)
        if wrong:
            self.message_user(request, wrong, messages.ERROR)
        else:
            self._run(request, upstream, command, given)
        return redirect("admin:upstreams_upstream_change", upstream.pk)

    def _controllable(self, request: HttpRequest, object_id: int) -> Upstream:
        upstream = self.get_object(request, str(object_id))
        if upstream is None:
            raise Http404
        if not (may_control(request) and self.has_view_permission(request, upstream)):
            raise PermissionDenied
        return upstream

    def _run(self, request: HttpRequest, upstream: Upstream, command: control.Command, given: dict[str, str]) -> None:
        outcome = control.run(command, upstream.url, upstream.credential, given)
        # In the history first: what was done must be known even if the look after it fails.
        self.log_change(request, upstream, f"{command.label}: {outcome.text}")
        self.message_user(
            request, f"On {upstream.name}: {outcome.text}", messages.SUCCESS if outcome.ok else messages.ERROR
        )
        if not outcome.ok:
            return
        if command.is_of_adapters:
            check_and_record(upstream)  # its models are others now
        elif (found := posture.look(upstream.url)) is not None:
            record_posture(upstream, found)
