"""Draining, disabling and activating upstreams: the list's actions, and the buttons on an upstream's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

from common.admin import changeable, figure, log_changes, pressed
from upstreams.models import ACTIVE, DISABLED, DRAINING, Upstream, UpstreamsVersion

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Upstream]
else:
    _Base = object

WORDS = {ACTIVE: "Taking calls again", DRAINING: "Draining", DISABLED: "Disabled"}


class StateActions(_Base):
    """Mixed into the ModelAdmin of upstreams."""

    @admin.action(description="Drain: no new calls, the open ones finish", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        self._set_state(request, queryset, ACTIVE, DRAINING)

    @admin.action(description="End draining: take calls again", permissions=["change"])
    def undrain(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        self._set_state(request, queryset, DRAINING, ACTIVE)

    def _set_state(self, request: HttpRequest, rows: QuerySet[Upstream], old: str, new: str) -> None:
        """Moves those in the old state to the new one; a disabled upstream stays disabled."""
        with transaction.atomic():
            UpstreamsVersion.lock()
            changed = [upstream for upstream in rows if upstream.state == old]
            if changed:
                Upstream.objects.filter(pk__in=[upstream.pk for upstream in changed]).update(state=new)
                log_changes(request, changed, f"{WORDS[new]}.")
        names = ", ".join(upstream.name for upstream in changed) or "no upstream"
        still = self._still_open(changed) if new != ACTIVE else ""
        self.message_user(request, f"{WORDS[new]}: {names}.{still}", messages.SUCCESS if changed else messages.WARNING)

    def open_calls(self, upstream: Upstream) -> int | None:
        """How many calls are open on it; None where nobody knows. Overridden where traffic is known."""
        return None

    def _still_open(self, upstreams: list[Upstream]) -> str:
        counts = [count for upstream in upstreams if (count := self.open_calls(upstream)) is not None]
        if not counts:
            return ""
        total = sum(counts)
        return " No call is open there." if not total else f" {figure(total)} {_are(total)} still open and will finish."

    @pressed
    def state_view(self, request: HttpRequest, object_id: int) -> HttpResponseRedirect:
        """Sets the wanted state of one upstream, and says how many calls are still open."""
        upstream = changeable(self, request, object_id)
        state = request.POST.get("state", "")
        if state not in WORDS:
            self.message_user(request, "Choose active, draining or disabled as the state.", messages.ERROR)
        elif state == upstream.state:
            self.message_user(request, f"The upstream {upstream.name} is {state} already.", messages.WARNING)
        else:
            upstream.state = state
            upstream.save(update_fields={"state", "updated_at"})
            self.log_change(request, upstream, f"{WORDS[state]}.")
            still = self._still_open([upstream]) if state != ACTIVE else ""
            self.message_user(request, f"{WORDS[state]}: {upstream.name}.{still}", messages.SUCCESS)
        return redirect("admin:upstreams_upstream_change", upstream.pk)


def _are(count: int) -> str:
    return "call is" if count == 1 else "calls are"


def buttons(upstream: Upstream) -> list[dict[str, Any]]:
    """The states that the upstream is not in, as buttons in the order of what is wanted most often."""
    labels = {ACTIVE: "Take calls", DRAINING: "Drain", DISABLED: "Disable"}
    if upstream.state == DRAINING:
        labels[ACTIVE] = "End draining"
    return [{"state": state, "label": label} for state, label in labels.items() if state != upstream.state]
