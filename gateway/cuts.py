"""Why an open call is ended from outside: raised in the greenlet that serves the call, wherever it waits.

They are no `Exception`: nothing between the waiting place and the relay may take them for an error of its own.
gunicorn takes a GreenletExit that reaches it for a quiet end of the connection.
"""

from gevent import GreenletExit

from common.errors import GatewayError
from gateway.account.entry import Outcome


class CallCut(GreenletExit):  # type: ignore[misc]
    """An open call ends now. `error` is what the client is told, None when nobody is there to be told."""

    def __init__(self, outcome: Outcome, error: GatewayError | None = None) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome
        self.error = error


def client_gone() -> CallCut:
    """The client left, or stopped reading."""
    return CallCut(Outcome.CLIENT_DISCONNECTED)
