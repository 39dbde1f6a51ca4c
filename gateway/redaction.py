"""The last line of defence: nothing that looks like a key or a credential leaves through a log."""

import logging
import re

from gateway.secrets_in_text import without_secrets

_KEY = re.compile(r"\b(sk-)[A-Za-z0-9_\-]{8,}")
_INSTEAD = "…".encode()
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+")


def redact(text: str) -> str:
    """The text with keys, bearer credentials and whatever else is known to be a secret replaced."""
    text = _BEARER.sub(r"\1 …", _KEY.sub(r"\1…", text))
    body = text.encode("utf-8", "surrogatepass")
    cleaned = without_secrets(body, _INSTEAD)
    return text if cleaned is body else cleaned.decode("utf-8", "surrogatepass")


class RedactingFilter(logging.Filter):
    """Rewrites each record's message and traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
