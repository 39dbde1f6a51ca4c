"""Turns what a server says of its models into deployments, and leaves alone what people have made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import transaction

from upstreams.models import DISCOVERED, Deployment, Upstream, UpstreamsVersion

Detail = Mapping[str, Any]
_SAID = ("root", "parent", "max_model_len")


def note_models(upstream: Upstream, listed: Sequence[Detail]) -> bool:
    """Brings the models of an upstream in step with its own list. Returns whether anything was written.

    Each listed model gets a deployment under its own name. One that the server does not list any more goes, unless
    somebody has edited it: then it stays, and no call goes there until the server lists the model again.
    Two queries while nothing has changed; nothing is noted when the URL has been changed meanwhile.
    """
    if not _differs(upstream, listed):
        return False
    with transaction.atomic():
        UpstreamsVersion.lock()  # one node after the other
        row = Upstream.objects.filter(pk=upstream.pk, url=upstream.url).first()
        if row is None:
            return False
        deployments = list(Deployment.objects.filter(upstream=row))
        wanted, gone = _new(listed, deployments), _gone(listed, deployments)
        if gone:
            Deployment.objects.filter(pk__in=[one.pk for one in gone]).delete()
        if wanted:
            Deployment.objects.bulk_create(
                Deployment(upstream=row, alias=name, served_name=name, source=DISCOVERED) for name in wanted
            )
        details = _dated(listed, row.served_details)
        models = [one["id"] for one in listed]
        Upstream.objects.filter(pk=row.pk).update(served_models=models, served_details=details)
    return True


def _differs(upstream: Upstream, listed: Sequence[Detail]) -> bool:
    known = Upstream.objects.filter(pk=upstream.pk, url=upstream.url).values_list("served_models", "served_details")
    row = known.first()
    if row is None:
        return False
    if row[0] != [one["id"] for one in listed] or row[1] != _dated(listed, row[1]):
        return True
    deployments = list(Deployment.objects.filter(upstream_id=upstream.pk))
    return bool(_new(listed, deployments) or _gone(listed, deployments))


def _new(listed: Sequence[Detail], deployments: Collection[Deployment]) -> list[str]:
    """The models without a deployment, whose names are free. One that was renamed has one."""
    taken = {one.alias for one in deployments}
    taken |= {one.served_name for one in deployments if one.source == DISCOVERED}
    return [one["id"] for one in listed if one["id"] not in taken]


def _gone(listed: Sequence[Detail], deployments: Collection[Deployment]) -> list[Deployment]:
    names = {one["id"] for one in listed}
    return [
        one for one in deployments if one.source == DISCOVERED and one.served_name not in names and not one.is_edited
    ]


def _dated(listed: Sequence[Detail], known: Sequence[Detail]) -> list[dict[str, Any]]:
    """The list with the times at which each was first seen: vLLM's own `created` is the time of the question."""
    before = {one.get("id"): one for one in known if isinstance(one, dict)}
    dated = []
    for one in listed:
        old = before.get(one["id"])
        same = old is not None and all(old.get(name) == one.get(name) for name in _SAID)
        dated.append({**one, "created": old["created"] if same and old and "created" in old else one["created"]})
    return dated
