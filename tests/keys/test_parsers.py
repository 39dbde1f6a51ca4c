"""Tests of keys.parsers: what only a stream can do wrong. The rest is tested through the API."""

import io

import pytest

from common.errors import InvalidRequest
from keys.errors import BodyTooLarge
from keys.parsers import ObjectParser


class Broken(io.RawIOBase):
    def read(self, size=-1):
        raise OSError("reset by peer")


def test_a_body_longer_than_it_said_is_refused():
    with pytest.raises(BodyTooLarge):
        ObjectParser().parse(io.BytesIO(b" " * 1_000_001))


def test_a_body_that_breaks_off_is_refused():
    with pytest.raises(InvalidRequest, match="did not arrive"):
        ObjectParser().parse(Broken())
