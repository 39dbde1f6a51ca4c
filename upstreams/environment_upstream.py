"""Keeps the upstream that HOSTED_VLLM_API_BASE names in step with the environment, once at each start.

People's own upstreams are never touched. A credential that was entered in the admin stays while the environment
gives none. When the variable is gone, the upstream stays as well, from then on as one of the admin's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction

from upstreams import base_url
from upstreams.errors import CredentialUnreadable
from upstreams.fields import Credential
from upstreams.models import ADMIN, ENVIRONMENT, Upstream, UpstreamsVersion

logger = logging.getLogger(__name__)

NAME = "environment"
Judged = TypeVar("Judged")


def sync_environment_upstream() -> Upstream | None:
    """The upstream of the environment, created or brought up to date; None when the environment names none.

    None, too, when the admin has an upstream of the same URL already: that one is used as it is.
    Safe when several nodes start at once. Raises ImproperlyConfigured when URL or credential cannot be used; the latter
    goes to the fallback's address where the environment names none.
    """
    base, credential = settings.UPSTREAM_VARIABLES
    _check(credential, Credential(settings.UPSTREAM_CREDENTIAL).check)
    if not settings.UPSTREAM_BASE:
        for upstream in Upstream.objects.filter(source=ENVIRONMENT):
            upstream.source = ADMIN
            upstream.save(update_fields=["source"])
        return None
    url = _check(base, lambda: base_url.normalised(settings.UPSTREAM_BASE))
    return _sync(url, settings.UPSTREAM_CREDENTIAL)


def _check(variable: str, judge: Callable[[], Judged]) -> Judged:
    try:
        return judge()
    except ValidationError as error:
        raise ImproperlyConfigured(f"{variable} cannot be used. {error.messages[0]}") from error


def _sync(url: str, credential: str) -> Upstream | None:
    with transaction.atomic():
        UpstreamsVersion.lock()  # one node after the other
        upstream = Upstream.objects.filter(source=ENVIRONMENT).first()
        if upstream is None:
            upstream = _new(url)
        if upstream is not None and _differs(upstream, url, credential):
            upstream.url = url
            if credential:
                upstream.credential = Credential(credential)
            upstream.is_default = upstream.is_default or not Upstream.objects.filter(is_default=True).exists()
            upstream.save()
    return upstream


def _new(url: str) -> Upstream | None:
    namesake = Upstream.objects.filter(url=url).first()
    if namesake is not None:
        logger.info("HOSTED_VLLM_API_BASE is the URL of the upstream %s, which is used as it is.", namesake.name)
        return None
    taken = set(Upstream.objects.values_list("name", flat=True))
    names = (NAME if number == 1 else f"{NAME} {number}" for number in range(1, len(taken) + 2))
    return Upstream(name=next(name for name in names if name not in taken), url=url, source=ENVIRONMENT)


def _differs(upstream: Upstream, url: str, credential: str) -> bool:
    if upstream.pk is None or upstream.url != url or not Upstream.objects.filter(is_default=True).exists():
        return True
    try:
        return bool(credential) and upstream.credential.reveal() != credential
    except CredentialUnreadable:
        return True
