"""POST /customer/new, /customer/update and so on; GET /customer/info and /customer/list. `/end_user/…` is the same."""

from __future__ import annotations

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import transaction
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from keys import history
from keys.errors import GroupNotFound, GroupTaken
from keys.groups_api import answers, serializers
from keys.groups_api.base import MOST_ROWS, NEWEST, GroupView, found, listed, lock, page_of, unused_epochs
from keys.models import EndUser


class CustomerView(GroupView):
    """What the views of customers share."""

    own_columns = {"alias": "alias"}

    def named(self, user_id: str, param: str = "user_id") -> EndUser:
        """The customer. Raises GroupNotFound."""
        rows: QuerySet[EndUser] = EndUser.objects.filter(end_user_id=user_id)
        return found(rows, f"End User Id={user_id} does not exist in db", param)

    def all_named(self, ids: list[str]) -> list[EndUser]:
        """The customers. Raises GroupNotFound, naming all that there are not."""
        rows = list(EndUser.objects.filter(end_user_id__in=ids))
        known = {row.end_user_id for row in rows}
        missing = [user_id for user_id in ids if user_id not in known]
        if missing:
            raise GroupNotFound(f"End User Id(s)={', '.join(missing)[:1_000]} do not exist in db", param="user_ids")
        return rows


class NewView(CustomerView):
    """POST /customer/new."""

    def post(self, request: Request) -> Response:
        """The customer. Raises GroupTaken."""
        fields = self.fields(serializers.CustomerFields)
        user_id = fields["user_id"]
        with transaction.atomic():
            lock()
            if EndUser.objects.filter(end_user_id=user_id).exists():
                raise GroupTaken(
                    f"Customer already exists, passed user_id={user_id}. Please pass a new user_id.", param="user_id"
                )
            customer = self.make(EndUser(end_user_id=user_id, **self.columns(fields)), fields.get("spend"))
        return Response(answers.one(customer, answers.customer))


class UpdateView(CustomerView):
    """POST /customer/update: omitted fields stay, null clears."""

    def post(self, request: Request) -> Response:
        """The changed customer. Raises GroupNotFound."""
        fields = self.fields(serializers.CustomerFields)
        with transaction.atomic():
            lock()
            customer = self.named(fields["user_id"])
            self.change(customer, self.columns(fields, customer), fields)
        return Response(answers.one(customer, answers.customer))


class DeleteView(CustomerView):
    """POST /customer/delete: all or none."""

    def post(self, request: Request) -> Response:
        """How many. Raises GroupNotFound."""
        ids = list(dict.fromkeys(self.fields(serializers.CustomerReferences)["user_ids"]))
        with transaction.atomic():
            lock()
            rows = self.all_named(ids)
            self.record(rows, DELETION, "Deleted")
            EndUser.objects.filter(pk__in=[row.pk for row in rows]).delete()
        message = f"Successfully deleted customers with ids: {ids}"
        return Response({"deleted_customers": len(rows), "message": message})


class BlockView(CustomerView):
    """POST /customer/block. Who is not known yet is made, as LiteLLM does: the next call names them."""

    def post(self, request: Request) -> Response:
        """The blocked customers."""
        ids = list(dict.fromkeys(self.fields(serializers.CustomerReferences)["user_ids"]))
        with transaction.atomic():
            lock()
            known = {row.end_user_id for row in EndUser.objects.filter(end_user_id__in=ids)}
            new = [
                EndUser(end_user_id=user_id, created_by=history.name_of(self.identity))
                for user_id in ids
                if user_id not in known
            ]
            epochs = unused_epochs(new)
            for row in new:
                row.spend_epoch = epochs[row.end_user_id]
            EndUser.objects.bulk_create(new)
            EndUser.objects.filter(end_user_id__in=ids).update(blocked=True)
            rows = self.all_named(ids)
            self.record([row for row in rows if row.end_user_id not in known], ADDITION, "Made and blocked")
            self.record([row for row in rows if row.end_user_id in known], CHANGE, "Blocked")
        return Response({"blocked_users": answers.several(rows, answers.customer)})


class UnblockView(CustomerView):
    """POST /customer/unblock."""

    def post(self, request: Request) -> Response:
        """The ids of those who stay blocked. Raises GroupNotFound."""
        ids = list(dict.fromkeys(self.fields(serializers.CustomerReferences)["user_ids"]))
        with transaction.atomic():
            lock()
            rows = self.all_named(ids)
            EndUser.objects.filter(pk__in=[row.pk for row in rows]).update(blocked=False)
            self.record(rows, CHANGE, "Unblocked")
        blocked = EndUser.objects.filter(blocked=True).order_by("end_user_id").values_list("end_user_id", flat=True)
        return Response({"blocked_users": list(blocked[:MOST_ROWS])})


class InfoView(CustomerView):
    """GET /customer/info."""

    def get(self, request: Request) -> Response:
        """The customer. Raises GroupNotFound."""
        named = self.query(serializers.InfoOfCustomer)["end_user_id"]
        return Response(answers.one(self.named(named, "end_user_id"), answers.customer))


class ListView(CustomerView):
    """GET /customer/list."""

    def get(self, request: Request) -> Response:
        """A bare list, the newest first."""
        query = self.query(serializers.ListCustomers)
        customers = EndUser.objects.order_by(*NEWEST)
        return listed(answers.several(page_of(customers, query), answers.customer), customers.count())
