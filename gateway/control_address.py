"""Where the control plane listens and where the relay finds it: a unix socket beside the data, or an address."""

import hashlib
import tempfile
from pathlib import Path
from typing import Protocol

from gateway.local_files import private_directory

LONGEST_SOCKET_PATH = 100  # Linux takes 107 bytes


class _Settings(Protocol):
    CONTROL_ADDRESS: str
    DATA_DIR: Path


def listen_address(settings: _Settings) -> str:
    """What gunicorn binds: `unix:/path` or `host:port`."""
    if settings.CONTROL_ADDRESS:
        return settings.CONTROL_ADDRESS
    path = settings.DATA_DIR / "control.sock"
    if len(str(path).encode()) > LONGEST_SOCKET_PATH:
        name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        path = private_directory(Path(tempfile.gettempdir()) / f"vllm-gateway-{name}") / "control.sock"
    return f"unix:{path}"


def base_url(settings: _Settings) -> str:
    """The same as an upstream client understands it."""
    address = listen_address(settings)
    return address if address.startswith("unix:") else f"http://{address}"
