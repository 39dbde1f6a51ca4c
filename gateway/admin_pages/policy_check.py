"""The policy check: this key, this route, this model, from this address, now: allowed or refused, and by which rule."""

from __future__ import annotations

import ipaddress
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from gateway import routes
from gateway.admin_pages.key_named import MOST_LISTED, NO_SECRET, key_named, known_keys
from gateway.admin_pages.sign_in import address_of_person
from gateway.rehearsal.rehearsal import NoCall, Wanted
from gateway.rehearsal.verdict import Verdict, judge
from keys.models import VirtualKey
from keys.registry import DatabaseDirectory
from keys.scope import visible_teams
from upstreams.models import Deployment, Upstream

PERMISSION = "gateway.use_policy_check"
NAME_OR_ID = r"(?!\s*([Ss][Kk]-|[Bb][Ee][Aa][Rr][Ee][Rr] )).*"
"""What `key_named.looks_like_secret` lets through, as browsers check it."""


class PolicyCheckForm(forms.Form):
    """What is asked. It comes in the address, so that it can be sent to somebody; so no secret may be in it."""

    key = forms.CharField(
        label="Virtual key",
        max_length=300,
        widget=forms.TextInput(
            attrs={
                "list": "known-keys",
                "placeholder": "name or id",
                "autocomplete": "off",
                # Before the browser puts it into an address, of which logs and its history would keep it.
                "pattern": NAME_OR_ID,
                "title": NO_SECRET,
            }
        ),
    )
    method = forms.ChoiceField(choices=[(name, name) for name in routes.METHODS], initial="POST", required=False)
    route = forms.CharField(
        label="Route",
        max_length=2000,
        initial="/v1/chat/completions",
        widget=forms.TextInput(attrs={"list": "known-routes", "spellcheck": "false"}),
        help_text="As a client would write it: below /v1, /vllm or /upstreams/<name>.",
    )
    model = forms.CharField(
        label="Model", max_length=200, required=False, widget=forms.TextInput(attrs={"list": "known-models"})
    )
    address = forms.CharField(label="From address", max_length=50, required=False)
    end_user = forms.CharField(label="End user", max_length=200, required=False)
    upstream = forms.CharField(
        label="Upstream", max_length=100, required=False, help_text="Only where the call names one."
    )

    def __init__(self, *args: Any, user: Any, here: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self._here = here
        self.fields["address"].initial = here
        self.sees_all = visible_teams(user) is None
        if not self.sees_all:
            del self.fields["end_user"]  # they call with keys of any team, and the answer tells what they spent
        self.found: VirtualKey | None = None

    def clean_key(self) -> str:
        text = str(self.cleaned_data["key"])
        self.found = key_named(text, self._user)
        return text

    def clean_route(self) -> str:
        route = str(self.cleaned_data["route"]).strip()
        if not route.startswith("/"):
            raise forms.ValidationError("A route begins with a slash, such as /v1/chat/completions.")
        return route

    def clean_address(self) -> str:
        address = str(self.cleaned_data["address"]).strip() or self._here
        try:
            return str(ipaddress.ip_address(address))
        except ValueError as error:
            raise forms.ValidationError("This is no IP address.") from error

    def wanted(self) -> Wanted:
        """The call that is asked about."""
        said = self.cleaned_data
        return Wanted(
            target=said["route"],
            method=said["method"] or "POST",
            model=said["model"],
            address=said["address"],
            end_user=said.get("end_user", ""),
            upstream=said["upstream"],
        )


def policy_check_view(request: HttpRequest) -> HttpResponse:
    """The form and, once something is asked, the verdict."""
    here = address_of_person(request)
    form = PolicyCheckForm(request.GET or None, user=request.user, here=here)
    verdict = _verdict(form) if form.is_bound and form.is_valid() else None
    if form.errors.get("key") == [NO_SECRET]:
        form = PolicyCheckForm({**request.GET.dict(), "key": ""}, user=request.user, here=here)
        form.is_valid()
        form.errors["key"] = form.error_class([NO_SECRET])
    context = {
        **admin.site.each_context(request),
        "title": "Policy check",
        "form": form,
        "verdict": verdict,
        "key": form.found,
        "now": timezone.now(),
        "known_keys": known_keys(request.user),
        "known_routes": sorted({route.template for route in routes.ROUTES if "{" not in route.template}),
        "known_models": _known_models(),
    }
    response = TemplateResponse(request, "admin/policy_check/index.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response


def _verdict(form: PolicyCheckForm) -> Verdict | None:
    secrets = DatabaseDirectory().of_key(form.found.pk) if form.found is not None else []
    if not secrets:
        form.add_error("key", "This key has no secret, so nobody can call with it.")
        return None
    try:
        return judge(form.wanted(), secrets[-1], sees_all=form.sees_all)
    except NoCall:
        form.add_error("route", "At this address there are no calls: they begin with /v1, /vllm or /upstreams/<name>.")
        return None


def _known_models() -> list[str]:
    aliases = Deployment.objects.order_by("alias").values_list("alias", flat=True).distinct()[:MOST_LISTED]
    served = [
        name for names in Upstream.objects.values_list("served_models", flat=True)[:MOST_LISTED] for name in names
    ]
    return sorted({*aliases, *served})[:MOST_LISTED]
