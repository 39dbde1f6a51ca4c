"""The WSGI application of both planes."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from gateway.serving.server_response import adopt

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django, with the web server's response object at hand (`gateway.serving.server` says what for).

    A server closes only a body that it received (PEP 3333): should starting the response fail, what is open is
    closed here. `gateway.abandon` is where a view leaves the function for that.
    """
    environ["gateway.server_response"] = adopt(start_response)
    try:
        return _django(environ, start_response)
    except BaseException:
        abandon = environ.get("gateway.abandon")
        if abandon is not None:
            abandon()
        raise
