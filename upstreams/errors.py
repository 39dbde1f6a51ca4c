"""The ways in which a place to call can fail.

    common.errors.GatewayError
    ├── NoUpstream                503  nothing is there, or may be called now
    ├── NoSuchUpstream            404  the call names an upstream that there is not
    ├── ModelHidden               404  an admin has hidden the model that the call names
    ├── CredentialUnreadable      503  the stored credential was encrypted with other keys
    └── UpstreamError             502  the upstream did not answer as it should
        ├── UpstreamRefused       502  refused the connection: it has seen nothing of the call
        ├── UpstreamNameUnknown   502  its host name does not resolve
        ├── UpstreamTlsFailed     502  no secure connection (certificate, protocol)
        ├── UpstreamConnectTimeout 504 did not accept the connection in time
        ├── UpstreamReset         502  closed the connection before it answered
        ├── UpstreamTimeout       504  accepted the call, then was silent before its response head
        ├── UpstreamInvalid       502  answered with something that is not HTTP
        ├── UpgradeRefused        any  did not make the connection a WebSocket
        └── UpstreamBroken        502  broke off in the middle of its answer

`upstreams.client` translates the HTTP library's errors into these. No message names an address or credential.
"""

from common.errors import GatewayError


class NoUpstream(GatewayError):
    """No upstream may receive this call now."""

    status_code = 503
    type = "no_upstream"
    default_detail = "No upstream can take this call now: none is active and marked as default."


class NoSuchUpstream(GatewayError):
    """The call names an upstream that there is not."""

    status_code = 404
    type = "upstream_not_found"
    param = "x-gateway-upstream"
    default_detail = "There is no upstream of that name."


class ModelHidden(GatewayError):
    """An admin has hidden the model. To its caller it is one that there is not; the type is vLLM's."""

    status_code = 404
    type = "NotFoundError"
    param = "model"
    default_detail = "There is no model of that name."


class CredentialUnreadable(GatewayError):
    """A credential was encrypted with keys that are not in GATEWAY_ENCRYPTION_KEYS."""

    status_code = 503
    type = "upstream_credential_unreadable"
    default_detail = (
        "The credential of the upstream cannot be decrypted. An administrator must enter it again, "
        "or add the key that it was encrypted with to GATEWAY_ENCRYPTION_KEYS."
    )


class UpstreamError(GatewayError):
    """An upstream did not answer as it should. `before_sent`: it cannot have seen the call."""

    status_code = 502
    type = "upstream_error"
    default_detail = "The upstream failed."
    before_sent = False


class UpstreamRefused(UpstreamError):
    """The upstream refuses connections, or there is no way to it."""

    type = "upstream_unreachable"
    default_detail = "The upstream refuses the connection."
    before_sent = True


class UpstreamNameUnknown(UpstreamError):
    """The upstream's host name does not resolve."""

    type = "upstream_unreachable"
    default_detail = "The upstream's host name is not known."
    before_sent = True


class UpstreamTlsFailed(UpstreamError):
    """The upstream offers no secure connection that we trust."""

    type = "upstream_unreachable"
    default_detail = "No secure connection to the upstream is possible."
    before_sent = True


class UpstreamConnectTimeout(UpstreamError):
    """The upstream did not accept the connection within the connect time-out."""

    status_code = 504
    type = "upstream_timeout"
    default_detail = "The upstream did not accept the connection in time."
    before_sent = True


class UpstreamReset(UpstreamError):
    """The upstream closed the connection before it answered."""

    type = "upstream_unreachable"
    default_detail = "The upstream closed the connection before it answered."


class UpstreamTimeout(UpstreamError):
    """The upstream accepted the call and was silent for too long."""

    status_code = 504
    type = "upstream_timeout"
    default_detail = "The upstream did not answer in time."


class UpstreamInvalid(UpstreamError):
    """What the upstream answered is not HTTP."""

    default_detail = "The upstream's answer is not valid HTTP."


class UpstreamBroken(UpstreamError):
    """The upstream broke off in the middle of its answer."""

    default_detail = "The upstream broke off in the middle of its answer."


class UpgradeRefused(UpstreamError):
    """The upstream answered the handshake of a WebSocket with another status than 101."""

    type = "upstream_error"

    def __init__(self, status: int) -> None:
        super().__init__(f"The upstream did not open the WebSocket: it answered {status}.")
        self.status_code = status if 400 <= status <= 599 else 502
