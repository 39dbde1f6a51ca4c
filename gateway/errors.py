"""The ways in which a call itself can fail.

common.errors.GatewayError
├── InvalidRequest                400  the call cannot be understood
│   ├── UnsafeTarget              400  the path could be read in two ways
│   ├── DuplicateModel            400  the call names two models
│   ├── ResponseUnknown           404  the key has no response with this id
│   ├── ModelUnknown              404  no upstream has the model that the call names
│   ├── NotOnThisFace             404  an operation of the servers' operators, on `/v1`
│   ├── NotAWebSocket             400  a WebSocket handshake that is not whole
│   ├── BodyTooLarge              413
│   └── BodyTooSlow               408
├── UnsupportedOperation          501  what vLLM cannot do
├── NoRoomForBody                 507  the body is too large for memory, and the disk does not take it
├── NotServing                    503  starting or draining
├── ControlPlaneAway              503  the process with the admin and the key API is not there
├── ControlPlaneBusy              503  too many bodies for the control plane are on their way
├── CallTooLong                   504  over the total time of a call
├── DeploymentNotFound            404  model API: no such model
├── DeploymentRefused             400  model API: the name is taken, or the row is kept elsewhere
├── UpstreamSaturated             503  all upstreams for the call have as many calls as they may have
├── KeyRevoked                    401  the key was blocked or deleted while the call was open
└── upstreams.errors.UpstreamError
    └── UpstreamSaid              any  what the upstream said, in a stream with status 200, of its failure
"""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import GatewayError, InvalidRequest
from upstreams.errors import UpstreamError

LISTED_MODELS = 20


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


class ModelUnknown(InvalidRequest):
    """No upstream has the model. The sentence and the type are vLLM's, with the models that the key may use."""

    status_code = 404
    type = "NotFoundError"
    param = "model"

    def __init__(self, model: str, usable: Sequence[str]) -> None:
        shown = model[:200].encode("utf-8", "replace").decode()
        names = ", ".join(usable[:LISTED_MODELS]) + (", …" if len(usable) > LISTED_MODELS else "")
        there = f" You may use: {names}." if usable else " No model is there that you may use."
        super().__init__(f"The model `{shown}` does not exist.{there}")


class NotOnThisFace(InvalidRequest):
    """The path is one of the servers' own controls, which `/v1` does not have."""

    status_code = 404
    type = "not_found_error"
    default_detail = "There is nothing at this address. The servers' own controls are below /vllm."


class NotAWebSocket(InvalidRequest):
    """The request asks for a WebSocket, and is no handshake of version 13 (RFC 6455, section 4.2.1)."""

    default_detail = "The request is not a valid WebSocket handshake."


class UnsupportedOperation(GatewayError):
    """An operation of OpenAI's that vLLM does not have."""

    status_code = 501
    type = "unsupported_operation"
    default_detail = "This operation of OpenAI's is none that vLLM has."


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


class NoRoomForBody(GatewayError):
    """The request's body is too large to wait in memory, and the disk does not take it (RFC 4918, section 11.5)."""

    status_code = 507
    type = "insufficient_storage"
    default_detail = (
        "The gateway has no room on its disk for a request body of this size at the moment. Smaller calls go on."
    )


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


class ControlPlaneBusy(GatewayError):
    """So many bodies for the control plane are on their way that the relay holds no more; calls go on."""

    status_code = 503
    type = "control_plane_busy"
    retry_after = 5
    default_detail = "Too much is being sent to the admin and the key API at the moment. Calls to /vllm go on."


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


class UpstreamSaturated(GatewayError):
    """Every upstream that could take the call has as many as it may have, and none ended in time."""

    status_code = 503
    type = "upstream_saturated"
    retry_after = 1
    default_detail = "All upstreams for this call are busy, and none had room in time. Try again in a moment."


class UpstreamSaid(UpstreamError):
    """What the upstream said of its failure in a stream that had begun with status 200; nothing had passed on."""

    type = "upstream_error"
    default_detail = "The upstream's answer began with an error."

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__()
        self.status_code = status
        self._error = dict(error)

    def body(self) -> dict[str, dict[str, Any]]:
        """The upstream's own object, with its four fields there in any case."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": None,
                "code": self.status_code,
                **self._error,
            }
        }


class ResponseUnknown(InvalidRequest):
    """There is no such response for this key; the sentence, the type and the status are vLLM's."""

    status_code = 404
    param = "response_id"

    def __init__(self, response_id: str, *, param: str | None = None, dropped: bool = False) -> None:
        """`dropped`: it was this key's, and what it said is no longer kept."""
        shown = response_id[:200].encode("utf-8", "replace").decode()
        gone = " Its conversation is no longer kept; send it as input." if dropped else ""
        super().__init__(f"Response with id '{shown}' not found.{gone}", param=param)


class DeploymentNotFound(GatewayError):
    """The model API is asked for a deployment that is not there."""

    status_code = 404
    type = "not_found_error"
    param = "model_info.id"
    default_detail = "Model not found; its id is the model_info.id of /model/info."


class DeploymentRefused(GatewayError):
    """The model API cannot do this to a deployment: the name is taken, or somebody else keeps the row."""

    status_code = 400
    type = "bad_request_error"
    param = "model_name"
    default_detail = "This model cannot be changed here."
