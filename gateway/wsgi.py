"""The WSGI application of both planes."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django, with the web server's response object at hand (`gateway.server` says what for)."""
    response = environ["gateway.server_response"] = getattr(start_response, "__self__", None)
    if response is not None:
        response.version = "vllm-gateway"
    return _django(environ, start_response)
