"""Upstreams, and what their pages in the admin say and do."""

from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client

from tests.support.admin_forms import form_of
from upstreams.models import Upstream

LIST, ADD = "/admin/upstreams/upstream/", "/admin/upstreams/upstream/add/"
SECRET = "the-servers-own-key"
INLINE = {"deployments-TOTAL_FORMS": 0, "deployments-INITIAL_FORMS": 0}


def deployment(**fields: object) -> dict[str, object]:
    """The first row of the deployments as the page posts it."""
    return {f"deployments-0-{name}": value for name, value in fields.items()}


def an_upstream(name: str = "gpu-1", url: str = "http://gpu-1:8000", **fields: object) -> Upstream:
    upstream = Upstream(name=name, url=url, **fields)
    upstream.save()
    return upstream


def page_of(upstream: Upstream, verb: str = "change") -> str:
    return f"{LIST}{upstream.pk}/{verb}/"


def save(admin: Client, upstream: Upstream, **fields: object):
    kept = {"name": upstream.name, "url": upstream.url, "state": upstream.state, "is_default": "on"}
    response = admin.post(page_of(upstream), {**kept, **INLINE, **fields})
    upstream.refresh_from_db()
    return response


def messages_of(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def history_of(upstream: Upstream) -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=upstream.pk)]


def refused(upstream: Upstream, **fields: object) -> dict[str, list[str]]:
    """What the form says of these fields, by their names."""
    form = form_of(upstream, {"name": upstream.name, "url": upstream.url, "state": upstream.state, **fields})
    return dict(form.errors)


def act(admin: Client, action: str, *upstreams: Upstream):
    return admin.post(LIST, {"action": action, "_selected_action": [upstream.pk for upstream in upstreams]})
