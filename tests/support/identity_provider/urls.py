"""What the provider answers, and what it claims of people. PASSWORD is everybody's."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.oauth2_validators import OAuth2Validator

from tests.support.identity_provider import PASSWORD

_claimed: dict[str, dict[str, Any]] = {}
"""By username: what is claimed beside the address and the groups; `_groups_in` says in which answer the latter are."""


class Claims(OAuth2Validator):  # type: ignore[misc]
    """The claims that providers have beside the standard's: groups, and whatever a test says."""

    oidc_claim_scope = None  # all of them, whatever scope was asked for

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        person = request.user
        more = {name: value for name, value in _claimed[person.username].items() if not name.startswith("_")}
        return {"preferred_username": person.username, "email": person.email, "email_verified": True, **more}

    def get_id_token_dictionary(self, token: Any, token_handler: Any, request: Any) -> Any:
        claims, expires = super().get_id_token_dictionary(token, token_handler, request)
        if _claimed[request.user.username]["_groups_in"] == "id_token":
            claims["groups"] = _groups(request.user)
        return claims, expires

    def get_userinfo_claims(self, request: Any) -> dict[str, Any]:
        return {**super().get_userinfo_claims(request), "groups": _groups(request.user)}


def _groups(person: User) -> list[str]:
    return [group.name for group in person.groups.all()]


@csrf_exempt
def people(request: HttpRequest) -> HttpResponse:
    """Makes or changes one of the provider's people."""
    said = json.loads(request.body)
    person, _ = User.objects.get_or_create(username=said["username"])
    person.email, person.is_active = said["email"], said["is_active"]
    person.set_password(PASSWORD)
    person.save()
    person.groups.set([Group.objects.get_or_create(name=name)[0] for name in said["groups"]])
    _claimed[person.username] = {**said["claims"], "_groups_in": said["groups_in"]}
    return HttpResponse(status=204)


urlpatterns = [
    path("login/", LoginView.as_view(template_name="login.html")),
    path("people/", people),
    path("", include("oauth2_provider.urls")),
]
