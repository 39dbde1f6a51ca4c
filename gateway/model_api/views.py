"""LiteLLM's `/model/*`. Belongs to the control plane; shares authentication, body and error shape with the key API."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.config.history import record
from gateway.errors import DeploymentNotFound
from gateway.model_api import fields, rows
from gateway.model_api.answers import described, groups
from keys import serializers
from keys.base_view import ManagementView
from keys.identity import MASTER
from keys.permissions import is_manager, may_use_model
from upstreams.models import DISABLED, Deployment, ModelAlias, UpstreamsVersion


class ModelView(ManagementView):
    """What all views here share. Writes need the master key or a management key."""

    @property
    def is_manager(self) -> bool:
        """Whether the caller sees everything but credentials."""
        return is_manager(self.identity)

    def body(self, serializer_class: type[serializers.StrictSerializer]) -> dict[str, Any]:
        """The validated fields of the body, which may speak the fork's dialect. Raises InvalidRequest."""
        data = fields.with_one_name(cast("dict[str, Any]", self.request.data))
        return serializers.validate(serializer_class, data)

    def query(self, serializer_class: type[serializers.StrictSerializer]) -> dict[str, Any]:
        """The validated query. Raises InvalidRequest."""
        return serializers.validate(serializer_class, self.request.query_params.dict())

    def note(self, row: Deployment, action: int, word: str) -> None:
        """Leaves a line in Django's history."""
        who = str(MASTER.name) if self.identity is MASTER else "management key"
        by = "" if self.identity is MASTER else f" by {self.identity.label}"
        record([row], action, f"{word} through the model API{by}.", who)

    def answer(self, row: Deployment) -> Response:
        """The row as LiteLLM answers a write."""
        return Response({"model_id": rows.id_of(row), **described(row, is_manager=True)})


class NewView(ModelView):
    """POST /model/new."""

    def post(self, request: Request) -> Response:
        """The new row. Raises DeploymentRefused when the server has the model already."""
        given = self.body(fields.NewModel)
        with transaction.atomic():
            UpstreamsVersion.lock()
            row = rows.add(given)
            self.note(row, ADDITION, "Added")
        return self.answer(row)


class UpdateView(ModelView):
    """POST /model/update: omitted fields stay, null clears, model_info is replaced when it has more than the id."""

    def post(self, request: Request) -> Response:
        """The changed row. Raises DeploymentNotFound and DeploymentRefused."""
        given = self.body(fields.UpdateModel)
        with transaction.atomic():
            UpstreamsVersion.lock()
            row = rows.change(rows.find(given["model_info"]["id"]), given)
            self.note(row, CHANGE, "Changed")
        return self.answer(row)


class DeleteView(ModelView):
    """POST /model/delete."""

    def post(self, request: Request) -> Response:
        """LiteLLM's sentence. Raises DeploymentNotFound and DeploymentRefused."""
        named = self.body(fields.DeleteModel)["id"]
        with transaction.atomic():
            UpstreamsVersion.lock()
            row = rows.find(named)
            rows.refuse_discovered(row)
            self.note(row, DELETION, "Deleted")
            rows.remove(row)
        return Response({"message": f"Model: {named} deleted successfully"})


class ReadView(ModelView):
    """Any key may read; an ordinary one sees the names and limits of what it may use."""

    needs_manager = False

    def visible(self) -> list[Deployment]:
        """The deployments that the caller may see, by name."""
        found = Deployment.objects.select_related("upstream").order_by("alias", "pk")
        if self.is_manager:
            return list(found)
        usable = found.filter(hidden=False).exclude(upstream__state=DISABLED)
        return [row for row in usable if may_use_model(self.identity, row.alias)]

    def shown(self, found: list[Deployment]) -> list[dict[str, Any]]:
        """As the caller may see them."""
        return [described(row, is_manager=self.is_manager) for row in found]


class InfoView(ReadView):
    """GET /model/info and /v1/model/info."""

    def get(self, request: Request) -> Response:
        """All, or the one of `?litellm_model_id=`. Raises DeploymentNotFound."""
        named = self.query(fields.InfoQuery).get("litellm_model_id")
        found = [row for row in self.visible() if not named or rows.id_of(row) == named]
        if named and not found:
            raise DeploymentNotFound
        return Response({"data": self.shown(found)})


class PageView(ReadView):
    """GET /v2/model/info, in pages."""

    def get(self, request: Request) -> Response:
        """One page; `model` and `modelId` are exact, `search` is a part of the name."""
        query = self.query(fields.PageQuery)
        found = [row for row in self.visible() if _fits(row, query)]
        start = (query["page"] - 1) * query["size"]
        return Response(
            {
                "data": self.shown(found[start : start + query["size"]]),
                "total_count": len(found),
                "current_page": query["page"],
                "total_pages": -(-len(found) // query["size"]),
                "size": query["size"],
            }
        )


def _fits(row: Deployment, query: dict[str, Any]) -> bool:
    return (
        (not query.get("model") or row.alias == query["model"])
        and (not query.get("modelId") or rows.id_of(row) == query["modelId"])
        and (query.get("search") or "").lower() in row.alias.lower()
    )


class GroupView(ReadView):
    """GET /model_group/info."""

    def get(self, request: Request) -> Response:
        """One entry for each model name, or the one of `?model_group=`."""
        named = self.query(fields.GroupQuery).get("model_group")
        names = dict(ModelAlias.objects.exclude(stands_for="").values_list("name", "stands_for"))
        if not self.is_manager:
            names = {name: stands for name, stands in names.items() if may_use_model(self.identity, name)}
        found = groups(self.visible(), names)
        return Response({"data": [one for one in found if not named or one["model_group"] == named]})
