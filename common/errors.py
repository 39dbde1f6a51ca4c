"""The root of the error tree.

    rest_framework.exceptions.APIException
    └── GatewayError                 a refusal or a failure of ours: status, type, sentence, param
        ├── InvalidRequest           400  the request cannot be understood
        ├── keys.errors.…            who may call, and how much
        ├── upstreams.errors.…       where a call can go
        └── gateway.errors.…         the call itself

Code refuses by raising one of these; `gateway.error_handler` writes every error body.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rest_framework.exceptions import APIException


class GatewayError(APIException):
    """A refusal or failure that the caller is told about.

    `type` is the stable word that programs match on, `param` names the offending field. The message never
    holds a key, a credential or an upstream's address. `retry_after` is in seconds and becomes `Retry-After`;
    `headers` go with it. `told` is what the request log keeps of it beside the sentence, in values of JSON.
    """

    status_code = 500
    type = "internal_server_error"
    param: str | None = None
    retry_after: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    told: Mapping[str, Any] = MappingProxyType({})
    default_detail = "Internal server error."

    def __init__(self, message: str | None = None, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        if param is not None:
            self.param = param
        if retry_after is not None:
            self.retry_after = retry_after

    @property
    def message(self) -> str:
        """The sentence that the caller reads."""
        return str(self.detail)

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body. `code` is the status as a string, as LiteLLM writes it; the four fields are OpenAI's."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": str(self.status_code),
            }
        }


class InvalidRequest(GatewayError):
    """The request cannot be understood: 400."""

    status_code = 400
    type = "invalid_request_error"
    default_detail = "The request is not valid."
