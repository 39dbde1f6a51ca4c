"""The ways in which a call itself can fail.

common.errors.GatewayError
├── InvalidRequest                400  the call cannot be understood
│   ├── UnsafeTarget              400  the path could be read in two ways
│   ├── DuplicateModel            400  the body names two models
│   ├── BodyTooLarge              413
│   └── BodyTooSlow               408
├── NotServing                    503  starting or draining
├── ControlPlaneAway              503  the process with the admin and the key API is not there
├── CallTooLong                   504  over the total time of a call
└── KeyRevoked                    401  the key was blocked or deleted while the call was open
"""

from common.errors import GatewayError, InvalidRequest


class UnsafeTarget(InvalidRequest):
    """The path holds something that a server behind us might read as another path."""

    param = "path"
    default_detail = (
        "The path is not accepted: it must not contain '.', '..' or empty segments, encoded slashes, "
        "backslashes or control characters."
    )


class DuplicateModel(InvalidRequest):
    """Which model is meant would depend on who reads the body."""

    param = "model"
    default_detail = "The body names 'model' more than once."


class BodyTooLarge(InvalidRequest):
    """The request's body is over the limit."""

    status_code = 413
    type = "request_too_large"

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        super().__init__(f"The request body is larger than the {limit / 1e6:g} MB that this gateway accepts.")


class BodyTooSlow(InvalidRequest):
    """The request's body stopped coming, or trickles."""

    status_code = 408
    type = "request_timeout"
    default_detail = "The request body did not arrive in time."


class NotServing(GatewayError):
    """This process is starting or about to end."""

    status_code = 503
    type = "not_serving"
    retry_after = 1
    default_detail = "The gateway is starting or stopping. Try again in a moment."


class ControlPlaneAway(GatewayError):
    """The admin and the key API are not there; calls go on."""

    status_code = 503
    type = "control_plane_away"
    retry_after = 2
    default_detail = "The admin and the key API are not available at the moment. Calls to /vllm go on."


class CallTooLong(GatewayError):
    """The call was open for longer than a call may be."""

    status_code = 504
    type = "call_timeout"
    default_detail = "The call took longer than the gateway allows."


class KeyRevoked(GatewayError):
    """The key was blocked or deleted while its call was open."""

    status_code = 401
    type = "auth_error"
    default_detail = "Authentication Error, the key was revoked while the call was running."
