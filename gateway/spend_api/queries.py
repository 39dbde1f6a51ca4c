"""What a request for usage may ask. Names and meanings are LiteLLM's; what cannot be applied is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rest_framework import serializers

from common.errors import InvalidRequest
from gateway.account.entry import MAX_TAG_LENGTH, Outcome
from keys import crypto
from keys.errors import FieldMissing
from keys.strict import StrictSerializer, validate

MOST_ROWS = 1_000
MOST_DAYS = 400
SUCCESS, FAILURE = "success", "failure"

_REFUSED_WITH_422 = frozenset({"page", "page_size", "limit"})
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
# People write 9999-12-31 for "no end"; sums with such times must not overflow.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Moment(serializers.Field[datetime, str, Any, Any]):
    """A day or a time, in UTC unless it says otherwise. As an `end`, a day or a second counts whole."""

    default_error_messages = {"invalid": "Write a day as 2026-11-30, or a time as 2026-11-30 23:59:59."}

    def __init__(self, *, is_end: bool = False, **kwargs: Any) -> None:
        self.is_end = is_end
        super().__init__(required=False, **kwargs)

    def to_internal_value(self, data: object) -> datetime:
        text = str(data).strip()
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("invalid")
        at = min(max(at, _FIRST), _LAST)
        return at + (_DAY if len(text) <= len("2026-11-30") else _SECOND) if self.is_end else at


class CallId(serializers.Field[UUID, str, Any, Any]):
    """The id of a call, as `next_cursor` gave it."""

    default_error_messages = {"invalid": "Not a cursor; give the next_cursor of another page."}

    def to_internal_value(self, data: object) -> UUID:
        try:
            return UUID(str(data))
        except ValueError:
            self.fail("invalid")


def _text(**options: Any) -> serializers.CharField:
    return serializers.CharField(**{"required": False, "allow_blank": True, "max_length": 255, **options})


def _whole(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, **options)


class Range(StrictSerializer):
    """From when to when."""

    start_date = Moment()
    end_date = Moment(is_end=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end = attrs.get("start_date"), attrs.get("end_date")
        if start and end and end <= start:
            raise InvalidRequest("end_date: The end must not be before start_date.", param="end_date")
        return attrs

    def _is_empty(self, name: str, value: object) -> bool:
        return str(value).lower() in {"", "false", "null", "0"}


class Calls(Range):
    """Which calls."""

    inert = frozenset(
        """
        cache_hit_filter error_message exclude_internal_health_checks group_by_session max_spend min_spend model_id
        search session_cursor session_id span_type used_client_oauth_token
        """.split()
    )

    api_key = _text(max_length=crypto.LONGEST_KEY)
    key_alias = _text()
    user_id = _text()
    team_id = _text()
    end_user = _text()
    model = _text()
    model_group = _text()
    request_id = _text()
    tag = _text(max_length=MAX_TAG_LENGTH)
    status_filter = serializers.ChoiceField([SUCCESS, FAILURE], required=False, allow_blank=True)
    status = _text(max_length=10)
    error_code = _text(max_length=10)
    outcome = serializers.ChoiceField([one.value for one in Outcome], required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        for name in ("status", "error_code"):
            _check_status(name, attrs.get(name) or "")
        return attrs


def _check_status(name: str, value: str) -> None:
    words = (SUCCESS, FAILURE) if name == "status" else ()
    if value and value not in words and not (value.isascii() and value.isdecimal() and len(value) == 3):
        also = " success, failure or" if words else ""
        raise InvalidRequest(f"{name}: Give{also} the status of an answer, such as 429.", param=name)


class Rows(Calls):
    """GET /spend/logs."""

    summarize = serializers.BooleanField(default=True)


class Page(Calls):
    """GET /spend/logs/v2."""

    page = _whole(default=1, max_value=1_000_000_000)
    page_size = _whole(default=50, max_value=MOST_ROWS)
    cursor = CallId(required=False)
    sort_by = serializers.ChoiceField(["startTime"], default="startTime")
    sort_order = serializers.ChoiceField(["asc", "desc"], default="desc")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("cursor") and attrs["page"] > 1:
            raise InvalidRequest("cursor: Give a page or a cursor, not both.", param="cursor")
        return super().validate(attrs)


class Top(Range):
    """The first of a list that is ordered by spend."""

    limit = _whole(default=MOST_ROWS, max_value=10_000)


class TopModels(Top):
    """GET /global/spend/models."""

    limit = _whole(default=10, max_value=10_000)


class OfKey(Range):
    """GET /global/spend/logs."""

    api_key = _text(max_length=crypto.LONGEST_KEY)


class Tags(Range):
    """GET /global/spend/tags: `tags` is a list with commas."""

    tags = _text(max_length=10_000)


class Holders(StrictSerializer):
    """GET /spend/keys and /spend/users."""

    limit = _whole(default=MOST_ROWS, max_value=10_000)
    user_id = _text()


class Activity(Range):
    """GET /user/daily/activity and its like; `page` counts days that had calls."""

    inert = frozenset({"timezone", "include_current_utc_day"})

    model = _text()
    api_key = _text(max_length=crypto.LONGEST_KEY)
    page = _whole(default=1, max_value=MOST_DAYS)
    page_size = _whole(default=50, max_value=MOST_ROWS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = needing_range(super().validate(attrs))
        if attrs["end_date"] - attrs["start_date"] > MOST_DAYS * _DAY:
            raise InvalidRequest(f"end_date: Ask for at most {MOST_DAYS} days at once.", param="end_date")
        return attrs


class UserActivity(Activity):
    """GET /user/daily/activity."""

    user_id = _text()


class TeamActivity(Activity):
    """GET /team/daily/activity."""

    team_ids = _text(max_length=10_000)
    exclude_team_ids = _text(max_length=10_000)


class EndUserActivity(Activity):
    """GET /customer/daily/activity."""

    end_user_ids = _text(max_length=10_000)
    exclude_end_user_ids = _text(max_length=10_000)


def read(
    serializer_class: type[StrictSerializer], query: Mapping[str, Any], *, lenient: bool = False
) -> dict[str, Any]:
    """The validated query, without what is empty. Raises InvalidRequest: 400, or 422 for a page or a size.

    `lenient` ignores what nobody knows.
    """
    given = {name: value for name, value in query.items() if value != "" or name not in serializer_class().fields}
    try:
        found = validate(serializer_class, given, lenient=lenient)
    except InvalidRequest as error:
        if error.param in _REFUSED_WITH_422 and not isinstance(error, FieldMissing):
            raise FieldMissing(error.message, param=error.param) from error
        raise
    return {name: value for name, value in found.items() if value != ""}


def needing_range(query: dict[str, Any]) -> dict[str, Any]:
    """The query, which says from when to when. Raises InvalidRequest."""
    for name in ("start_date", "end_date"):
        if name not in query:
            raise InvalidRequest("Please provide start_date and end_date.", param=name)
    return query
