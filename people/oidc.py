"""Signs people in whom the OpenID provider knows and the settings give a role.

The code flow with state, nonce and PKCE is mozilla-django-oidc's. What it leaves open is closed here: the ID
token's issuer, audience and end; asymmetric signatures only; people are known by issuer and subject, never by an e-mail
address; nobody comes in without a role.
"""

from __future__ import annotations

import hmac
import logging
from typing import Any

import jwt
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from people.claims import claimed, names_in, roles_of
from people.models import Identity
from people.provider import ProviderAway, provider

logger = logging.getLogger("people.sign_in")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_SECONDS = 60
LONGEST_NAME = 150
FAULTS = (SuspiciousOperation, OSError, ValueError, KeyError, TypeError, jwt.PyJWTError, ProviderAway)
"""Whatever a provider can answer that is no sign-in; the errors of requests are OSErrors."""


class Refused(Exception):
    """The provider knows the person, and the gateway lets them not in. The text is for them."""


def value(name: str, *default: Any) -> Any:
    """What the library asks for: constants of ours, and what the provider says of itself."""
    constants = {
        "OIDC_RP_CLIENT_ID": settings.OIDC_CLIENT_ID,
        "OIDC_RP_CLIENT_SECRET": settings.OIDC_CLIENT_SECRET,
        "OIDC_RP_SCOPES": settings.OIDC_SCOPES,
        "OIDC_USE_PKCE": True,
        "OIDC_TIMEOUT": 10,
        "OIDC_AUTHENTICATION_CALLBACK_URL": "oidc_callback",
        "LOGIN_REDIRECT_URL": "admin:index",
    }
    if name in constants:
        return constants[name]
    endpoints = {
        "OIDC_OP_AUTHORIZATION_ENDPOINT": "authorization",
        "OIDC_OP_TOKEN_ENDPOINT": "token",
        "OIDC_OP_USER_ENDPOINT": "userinfo",
        "OIDC_OP_JWKS_ENDPOINT": "keys",
    }
    if name in endpoints:
        return getattr(provider(), endpoints[name])
    if default:
        return default[0]
    raise ImproperlyConfigured(name)


def callback_address(request: HttpRequest) -> str:
    """Where the provider sends people back to; the provider has to know it."""
    path = reverse("oidc_callback")
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)


class OpenIDBackend(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Finds or makes the person that a code stands for, and gives them their roles."""

    def __init__(self) -> None:
        self.UserModel = get_user_model()  # and no more: it is made for every sign-in by password too

    get_settings = staticmethod(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("OIDC_"):
            return value(name)
        raise AttributeError(name)

    def authenticate(self, request: HttpRequest | None, *, nonce: str, code_verifier: str) -> Any:
        return super().authenticate(request, nonce=nonce, code_verifier=code_verifier)

    def get_user(self, user_id: Any) -> Any:
        person = super().get_user(user_id)
        return person if settings.OIDC_ISSUER and person is not None and self.user_can_authenticate(person) else None

    def get_token(self, payload: dict[str, Any]) -> Any:
        return super().get_token({**payload, "redirect_uri": callback_address(self.request)})

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        """The ID token's claims. Raises PyJWTError and SuspiciousOperation (OpenID Connect Core 1.0, 3.1.3.7)."""
        algorithm = jwt.get_unverified_header(token).get("alg")
        if algorithm not in ALGORITHMS:
            raise SuspiciousOperation(f"The ID token is signed by {str(algorithm)[:20]!r}.")
        claims: dict[str, Any] = jwt.decode(
            token,
            self.retrieve_matching_jwk(token),
            algorithms=[algorithm],
            audience=settings.OIDC_CLIENT_ID,
            issuer=provider().issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
        if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
            raise SuspiciousOperation("The ID token was made for another client.")
        if not hmac.compare_digest(str(claims.get("nonce", "")), str(kwargs.get("nonce") or "\0")):
            raise SuspiciousOperation("The ID token belongs to another sign-in.")
        return claims

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> Any:
        claims = payload
        if claimed(claims) is None and provider().userinfo:
            told = self.get_userinfo(access_token, id_token, payload)
            if told.get("sub") != payload["sub"]:  # OpenID Connect Core 1.0, 5.3.2
                raise SuspiciousOperation("The provider told of somebody else.")
            claims = {**told, **payload}
        return admitted(payload["iss"], claims)


def admitted(issuer: str, claims: dict[str, Any]) -> Any:
    """The person of these claims, with the roles that they have now. Raises Refused."""
    roles = roles_of(claims)
    known = Identity.objects.filter(issuer=issuer, subject=claims["sub"]).select_related("user").first()
    if not roles:
        if known is not None:
            known.user.groups.clear()
        logger.warning("A sign-in by single sign-on was refused: %s has no role.", str(claims["sub"])[:200])
        raise Refused("You are signed in there, but have no role here. Ask who runs this gateway for one.")
    with transaction.atomic():
        person = known.user if known is not None else _made(issuer, claims)
        if not person.is_active:
            raise Refused("You are signed in there, but your access here is switched off.")
        _update(person, claims)
        person.groups.set(Group.objects.filter(name__in=roles))
    return person


def _made(issuer: str, claims: dict[str, Any]) -> Any:
    """A new person. Somebody of the same name who signs in with a password is somebody else."""
    people = get_user_model()._default_manager
    name = str(names_in(claims) or claims["sub"])[: LONGEST_NAME - 5]
    free = next(
        candidate
        for candidate in (name, *(f"{name}-{number}" for number in range(2, 1000)))
        if not people.filter(username__iexact=candidate).exists()
    )
    person = people.create(username=free, is_staff=True, password="!")  # noqa: S106 - no password fits this one
    Identity.objects.create(user=person, issuer=issuer, subject=str(claims["sub"]))
    logger.info("%s signs in for the first time.", free)
    return person


def _update(person: Any, claims: dict[str, Any]) -> None:
    person.is_staff, person.is_superuser = True, False
    for column, claim in (("email", "email"), ("first_name", "given_name"), ("last_name", "family_name")):
        setattr(person, column, str(claims.get(claim) or "")[: person._meta.get_field(column).max_length])
    person.save()


class StartView(OIDCAuthenticationRequestView):  # type: ignore[misc]
    """Sends a person to the provider."""

    get_settings = staticmethod(value)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.OIDC_RP_CLIENT_ID = settings.OIDC_CLIENT_ID

    @property
    def OIDC_OP_AUTH_ENDPOINT(self) -> str:  # noqa: N802 - the library's name
        return provider().authorization

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404
        try:
            answer: HttpResponse = super().get(request)
        except ProviderAway as error:
            return _failed(request, f"{error}.", "Single sign-on does not answer. Try again in a minute.")
        add_never_cache_headers(answer)
        return answer

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        return {"redirect_uri": callback_address(request)}


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Where a person comes back from the provider."""

    get_settings = staticmethod(value)

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404
        if request.GET.get("state") not in (request.session.get("oidc_states") or {}):
            # The library would end the session of whoever follows a link that says `error`.
            return _failed(request, "nobody had asked for it here")
        try:
            answer: HttpResponse = super().get(request)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("admin:login")
        except FAULTS as error:
            return _failed(request, f"{type(error).__name__}: {str(error)[:300]}")
        add_never_cache_headers(answer)
        return answer

    def login_failure(self) -> HttpResponse:
        return _failed(self.request, f"the provider said {self.request.GET.get('error', 'nothing')[:100]!r}")


def _failed(request: HttpRequest, reason: str, words: str = "") -> HttpResponse:
    logger.warning("A sign-in by single sign-on failed: %s", reason)
    messages.error(request, words or "The sign-in was not completed. Please try again.")
    return redirect("admin:login")
