"""Where the control plane listens and where the relay finds it: a unix socket beside the data, or an address."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Protocol

from django.core.exceptions import ImproperlyConfigured

from gateway.address_settings import LONGEST_SOCKET_PATH, host_and_port
from gateway.serving.listening import port_trouble, socket_trouble
from gateway.serving.local_files import private_directory


class _Settings(Protocol):
    CONTROL_ADDRESS: str
    DATA_DIR: Path


def listen_address(settings: _Settings) -> str:
    """What gunicorn binds: `unix:/path` or `host:port`. Raises ImproperlyConfigured."""
    if settings.CONTROL_ADDRESS:
        return settings.CONTROL_ADDRESS
    path = settings.DATA_DIR / "control.sock"
    if len(str(path).encode()) > LONGEST_SOCKET_PATH:
        path = _short_directory(path) / "control.sock"
    return f"unix:{path}"


def check_free(settings: _Settings) -> None:
    """Raises ImproperlyConfigured when the control plane could not listen where GATEWAY_CONTROL_ADDRESS says."""
    address = settings.CONTROL_ADDRESS
    if address.startswith("unix:"):
        trouble = socket_trouble(Path(address.removeprefix("unix:")))
    else:
        trouble = port_trouble(*host_and_port(address)) if address else None
    if trouble:
        raise ImproperlyConfigured(f"The control plane cannot listen on GATEWAY_CONTROL_ADDRESS {address}: {trouble}.")


def _short_directory(path: Path) -> Path:
    """A directory for the socket among the temporary files, which must be nobody's but ours."""
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    directory = private_directory(Path(tempfile.gettempdir()) / f"vllm-gateway-{name}")
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is too long a path for a socket, and {directory} is not ours alone; "
            "set GATEWAY_CONTROL_ADDRESS to a loopback address such as 127.0.0.1:4001."
        )
    return directory


def base_url(settings: _Settings) -> str:
    """The same as an upstream client understands it."""
    address = listen_address(settings)
    return address if address.startswith("unix:") else f"http://{address}"
