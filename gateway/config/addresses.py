"""An upstream's address in the form in which it is stored, or a sentence that names line and key."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from gateway.config.sections import Section
from upstreams import base_url


def normalised(section: Section, key: str, url: str) -> str:
    """As `base_url.normalised`. Raises ConfigError; the address itself is not repeated."""
    try:
        return base_url.normalised(url)
    except ValidationError as error:
        raise section.error(key, f"cannot be used. {error.messages[0]}") from error
