"""Why a key, or what is done with one, is refused. Statuses, types and sentences are LiteLLM's where it has them.

    GatewayError
    ├── AuthenticationRefused     401 auth_error
    │   ├── KeyMissing                no key at all
    │   ├── AuthorizationMalformed    an Authorization header that is not `Bearer …`
    │   ├── KeyMalformed              not `sk-…`
    │   ├── KeyUnknown                token_not_found_in_db; a typo reads the same
    │   ├── KeyExpired                expired_key
    │   ├── KeyBlocked
    │   ├── HolderBlocked             its team or its owner is blocked
    │   └── ManagementRefused         a management route without the master key or a management key
    ├── DatabaseAway              503 no_db_connection
    ├── PermissionRefused         403
    │   ├── EndpointClassDenied       key_route_access_denied
    │   ├── ModelDenied               key_model_access_denied
    │   ├── RouteDenied               key_route_access_denied
    │   ├── AddressDenied             key_address_access_denied
    │   ├── EndUserBlocked            end_user_blocked
    │   ├── UpstreamDenied            key_upstream_access_denied
    │   ├── KeyInfoDenied             key_info_access_denied
    │   └── ManagementKeyDenied       management_key_access_denied
    ├── LimitExceeded             429 throttling_error
    ├── BudgetExceeded            422 budget_exceeded, or the status that GATEWAY_BUDGET_STATUS says
    ├── LimitsAway                503: limits cannot be counted, and GATEWAY_LIMITS_WITHOUT_STORE is refuse
    ├── KeyNotFound               404 not_found_error
    ├── GroupNotFound             404 not_found_error: a team, user or customer
    ├── GroupTaken                400 bad_request_error
    │   └── UserTaken                 409
    ├── NameTaken                 400 bad_request_error
    ├── SecretRefused             400 bad_request_error
    ├── SecretTaken               409 bad_request_error
    ├── BodyTooLarge              413
    └── FieldMissing              422

No message holds a secret or its digest.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings

from common.errors import GatewayError, InvalidRequest


class AuthenticationRefused(GatewayError):
    """401."""

    status_code = 401
    type = "auth_error"
    default_detail = "Authentication Error, Invalid API key provided."


class KeyMissing(AuthenticationRefused):
    """The request carries no key."""

    default_detail = "Authentication Error, No api key passed in."


class AuthorizationMalformed(AuthenticationRefused):
    """The only place for a key that is filled is an Authorization header of another scheme."""

    default_detail = "Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix."


class KeyMalformed(AuthenticationRefused):
    """What was sent is not a virtual key."""

    default_detail = "Authentication Error, a virtual key is expected, which starts with 'sk-'."


class KeyUnknown(AuthenticationRefused):
    """No such key, or a typo in one."""

    type = "token_not_found_in_db"
    param = "key"


class KeyExpired(AuthenticationRefused):
    """The key, or the secret that a rotation replaced, is past its time: `expired_at`, in unix seconds."""

    type = "expired_key"

    def __init__(self, *, masked: str, expired_at: float, now: float, is_replaced: bool = False) -> None:
        self.expired_at, self.is_replaced = expired_at, is_replaced
        replaced = ". The key has been given another secret; use that one." if is_replaced else ""
        super().__init__(
            f"Authentication Error - Expired Key. Key Expiry time {_time(expired_at)} and current time {_time(now)}"
            f"{replaced}",
            param=masked,
        )


class KeyBlocked(AuthenticationRefused):
    """An admin has blocked the key."""

    default_detail = "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin."


class HolderBlocked(AuthenticationRefused):
    """An admin has blocked the key's team (`kind` is `team`) or owner (`user`)."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(
            f"Authentication Error, {kind.capitalize()}={name} is blocked. "
            f"Update via `/{kind}/{'unblock' if kind == 'team' else 'update'}` if you're an admin."
        )


class ManagementRefused(AuthenticationRefused):
    """Someone with neither the master key nor a management key asked for a management route."""

    default_detail = (
        "Authentication Error, Only proxy admin can be used to generate, delete, update info for new keys, users and "
        "teams, or to read all usage. Use the master key or a management key."
    )


class DatabaseAway(GatewayError):
    """The key is not known from memory and the database cannot be asked."""

    status_code = 503
    type = "no_db_connection"
    default_detail = "Service Unavailable, the key database is temporarily unreachable. Please retry shortly."
    retry_after = 5


class PermissionRefused(GatewayError):
    """403."""

    status_code = 403


class EndpointClassDenied(PermissionRefused):
    """The key lacks the class of the endpoint."""

    type = "key_route_access_denied"

    def __init__(self, endpoint_class: str, *, is_management: bool = False) -> None:
        words = endpoint_class.replace("_", " ")
        if is_management:
            super().__init__(f"A management key may not call {words} endpoints. Use another key for calls.")
            return
        super().__init__(f"This API key may not call {words} endpoints. Ask your admin to grant {words} to this key.")


MODEL_LISTS = {
    "key": "this API key",
    "team": "this API key's team",
    "user": "this API key's owner",
    "end_user": "the end user of this call",
}
"""Whose list of models refused, in a refusal's words, by the kind of party."""


class ModelDenied(PermissionRefused):
    """A list of models does not hold the call's model: that of the key, its team, owner or end user, as `kind` says."""

    type = "key_model_access_denied"
    param = "model"

    def __init__(self, model: str | None, kind: str = "key") -> None:
        whose = MODEL_LISTS[kind]
        if model is None:
            super().__init__(
                f"{whose[0].upper()}{whose[1:]} is limited to certain models, and the model of this call cannot be "
                "told. Name a model that you may use."
            )
            return
        shown = model[:200].encode("utf-8", "replace").decode()
        super().__init__(
            f"The requested model '{shown}' is not available for {whose}, or the model name is invalid. "
            "Check the models available to you and try again."
        )


class RouteDenied(PermissionRefused):
    """The key's list of routes does not hold the call's."""

    type = "key_route_access_denied"

    def __init__(self, allowed: Sequence[str], route: str) -> None:
        super().__init__(
            f"Virtual key is not allowed to call this route. Only allowed to call routes: {list(allowed)[:20]}. "
            f"Tried to call route: {route[:200]}."
        )


class AddressDenied(PermissionRefused):
    """The caller's address is in none of the key's networks."""

    type = "key_address_access_denied"
    default_detail = "This API key may not be used from this address."


class EndUserBlocked(PermissionRefused):
    """An admin has blocked the end user behind the call."""

    type = "end_user_blocked"
    param = "user"

    def __init__(self, end_user: str) -> None:
        super().__init__(f"The end user '{end_user[:128]}' is blocked. Update via `/customer/unblock`.")


class UpstreamDenied(PermissionRefused):
    """The call names an upstream, and the key may not choose that one."""

    type = "key_upstream_access_denied"
    param = "x-gateway-upstream"
    default_detail = "This API key may not choose this upstream."


class KeyInfoDenied(PermissionRefused):
    """A virtual key asked for the info of another key. The same answer whether that exists or not."""

    type = "key_info_access_denied"
    param = "key"
    default_detail = "A virtual key can only read its own info."


class ManagementKeyDenied(PermissionRefused):
    """A management key would make, change or see one of its own kind, and so outlive its own revocation."""

    type = "management_key_access_denied"
    param = "key"
    default_detail = "Only the master key can make, change, delete, block or see management keys."


class LimitExceeded(GatewayError):
    """A limit has no room for the call. `retry_after` is in seconds; `kind` is whose limit it is."""

    status_code = 429
    type = "throttling_error"

    def __init__(
        self,
        *,
        subject: str,
        limit: str,
        ceiling: int,
        remaining: int,
        retry_after: int,
        kind: str = "key",
        model: str | None = None,
    ) -> None:
        whose = "api_key" if kind == "key" else kind
        limit = limit if model is None else f"{limit} of {model}"
        resets = "" if limit == "max_parallel_requests" else f" Limit resets at: {_time(time.time() + retry_after)}"
        super().__init__(
            f"Rate limit exceeded for {whose}: {subject}. Limit type: {limit}. "
            f"Current limit: {ceiling}, Remaining: {remaining}.{resets}",
            retry_after=retry_after,
        )


class BudgetExceeded(GatewayError):
    """A budget is spent, or held by the calls that are open. The status is LiteLLM 1.109's unless it is set."""

    type = "budget_exceeded"

    def __init__(
        self, *, kind: str, subject: str, spent: str, ceiling: str, limit: str, retry_after: int | None
    ) -> None:
        self.status_code = settings.BUDGET_STATUS
        whose = kind.replace("_", " ").capitalize()
        super().__init__(
            f"Budget has been exceeded! {whose}={subject} Current cost: {spent}, Max budget: {ceiling} ({limit}).",
            retry_after=retry_after,
        )


class LimitsAway(GatewayError):
    """The store of the counters is away, and calls without limits are not wanted."""

    status_code = 503
    type = "limits_unavailable"
    default_detail = "Service Unavailable, limits cannot be counted now. Please retry shortly."
    retry_after = 5


class KeyNotFound(GatewayError):
    """No such key in the database."""

    status_code = 404
    type = "not_found_error"
    param = "key"
    default_detail = "Key not found."


class GroupNotFound(GatewayError):
    """No such team, user or customer."""

    status_code = 404
    type = "not_found_error"
    default_detail = "There is no such team, user or customer."


class GroupTaken(GatewayError):
    """The id of a new team or customer is another's."""

    status_code = 400
    type = "bad_request_error"
    default_detail = "This id exists already."


class UserTaken(GroupTaken):
    """The id or the e-mail address of a user is another's."""

    status_code = 409


class NameTaken(GatewayError):
    """Another key has this name."""

    status_code = 400
    type = "bad_request_error"
    param = "key_alias"

    def __init__(self, name: str) -> None:
        super().__init__(f"Key with alias '{name}' already exists. Unique key aliases across all keys are required.")


class SecretRefused(GatewayError):
    """A secret of the admin's own that cannot be a key."""

    status_code = 400
    type = "bad_request_error"
    param = "key"
    default_detail = (
        "Invalid key format. A virtual key must start with 'sk-' and have 16 to 512 visible ASCII characters; "
        "one that starts with 'sk-vgw-' needs a valid checksum."
    )


class SecretTaken(GatewayError):
    """The secret exists already."""

    status_code = 409
    type = "bad_request_error"
    param = "key"
    default_detail = "This key exists already."


class BodyTooLarge(InvalidRequest):
    """A request body of the key API is over its limit."""

    status_code = 413
    default_detail = "The request body is too large."


class FieldMissing(InvalidRequest):
    """A field that the request cannot do without is missing or out of range: 422, as FastAPI answers."""

    status_code = 422


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(sep=" ", timespec="seconds")
