"""The colours of the admin, in both themes, against WCAG 2.2: 1.4.3 for text, 1.4.11 for the edges of inputs."""

import re
from itertools import product
from pathlib import Path

import pytest
from django.conf import settings

STYLESHEET = Path(settings.BASE_DIR, "gateway/assets/gateway/admin.css").read_text()
COLOURS = {name: themes for name, *themes in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLESHEET)}
TEXT = [
    *product(["body-fg", "body-quiet-color", "link-fg"], ["body-bg", "page-bg", "darkened-bg", "selected-row"]),
    *((f"{kind}-fg", f"{kind}-bg") for kind in ("good", "warning", "bad", "quiet")),
    ("error-fg", "body-bg"),
    ("bad-fg", "body-bg"),
]


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: int) -> float:
    dark, light = sorted(luminance(COLOURS[name][theme]) for name in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("text", "ground"), TEXT)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(text: str, ground: str, theme: int) -> None:
    assert contrast(text, ground, theme) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_edge_of_an_input_can_be_seen(theme: int) -> None:
    assert contrast("border-color", "body-bg", theme) >= 3
