"""The pages of `/me/`: paste a key, see what is known of it, close it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from common.errors import GatewayError
from gateway.admin_pages.keys import snippets_for
from gateway.admin_pages.sign_in import address_of_person, in_minutes
from gateway.holder_pages import visit
from gateway.holder_pages.facts import page_of
from gateway.holder_pages.refusals import in_words
from people import throttle

IN_PLACE_OF_THE_SECRET = "YOUR_KEY"  # noqa: S105 - it is none
LONGEST_SECRET = 600


class KeyForm(forms.Form):
    """Where a key is pasted. What was pasted is not shown again."""

    secret = forms.CharField(
        label="Your key",
        max_length=LONGEST_SECRET,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "sk-…", "autofocus": True}
        ),
        error_messages={"required": "Paste your key first.", "max_length": "This is too long to be a key."},
    )

    @sensitive_variables("secret")
    def begin(self, request: HttpRequest) -> bool:
        """Opens the key's page. False, with a sentence in the form, where the key is refused."""
        if not self.is_valid():
            return False
        secret, address = self.cleaned_data["secret"], address_of_person(request)
        # The name is that of the address: nobody can hold up the holders of keys elsewhere.
        attempt = throttle.begin(f"key holder at {address}", address)
        if attempt.wait is not None:
            self.add_error("secret", f"Too many attempts. Please wait {in_minutes(attempt.wait)} and try again.")
            return False
        try:
            visit.begin(request, secret)
        except GatewayError as refusal:
            self.add_error("secret", ValidationError(in_words(refusal)))
            return False
        attempt.succeed()
        return True


@never_cache
@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def holder_view(request: HttpRequest) -> HttpResponse:
    """The key's page, or the form that asks for one."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        if form.begin(request):
            return HttpResponseRedirect(reverse("key-holder"))
        return _form(request, form, status=403)
    try:
        here = visit.current(request)
    except visit.VisitOver as over:
        return _form(request, form, str(over))
    context: dict[str, Any] = {
        "title": here.key.name or here.identity.masked,
        "ends_at": datetime.fromtimestamp(here.ends_at, UTC),
        "key": here.key,
        "masked": here.identity.masked,
        "snippets": snippets_for(request, here.key, IN_PLACE_OF_THE_SECRET),
        **page_of(here),
    }
    return render(request, "holder/key.html", context)


@never_cache
@require_POST
def close_view(request: HttpRequest) -> HttpResponse:
    """Forgets the key."""
    visit.end(request)
    return HttpResponseRedirect(reverse("key-holder"))


def _form(request: HttpRequest, form: KeyForm, note: str = "", status: int = 200) -> HttpResponse:
    return render(request, "holder/paste.html", {"title": "Your key", "form": form, "note": note}, status=status)
