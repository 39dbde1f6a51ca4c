import pytest

from gateway.metering.meters import METERS, make_meter
from gateway.metering.stream_meter import HidingMeter, StreamMeter
from gateway.metering.usage import NONE, UNKNOWN
from gateway.routes import ROUTES
from tests.gateway.metering import REQUEST, meter_for, plain_meter, relay, tokens


def test_embeddings_in_bytes_tell_their_tokens_in_a_header():
    metadata = '{"id": "embd-1", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}'
    headers = {"Metadata": metadata, "content-type": "application/octet-stream"}
    meter = plain_meter("embeddings", content_type="application/octet-stream", headers=headers)
    assert relay(meter, [b"\x00\x01"]) == b"\x00\x01"
    assert tokens(meter.usage(REQUEST)) == (8, 0, "reported")


@pytest.mark.parametrize("metadata", [{}, {"metadata": "nonsense"}, {"metadata": "\ud800"}])
def test_embeddings_in_nothing_but_bytes_are_unknown(metadata):
    meter = plain_meter("embeddings", content_type="application/octet-stream", headers=metadata)
    assert meter.usage(REQUEST) == UNKNOWN


@pytest.mark.parametrize("streaming", [True, False])
def test_a_compressed_answer_is_unknown(streaming):
    meter = meter_for("chat", streaming=streaming, headers={"Content-Encoding": "gzip"})
    assert relay(meter, [b"\x1f\x8b"]) == b"\x1f\x8b"
    assert meter.usage(REQUEST) == UNKNOWN


def test_an_identical_encoding_is_none():
    assert isinstance(meter_for("chat", headers={"content-encoding": "identity"}), StreamMeter)


@pytest.mark.parametrize(("name", "status"), [(None, 200), ("chat", 400), ("chat", 503), ("chat", 307)])
def test_where_nothing_was_used_there_is_no_account(name, status):
    meter = plain_meter(name, status=status)
    assert relay(meter, [b'{"usage":{"prompt_tokens":1}}']) == b'{"usage":{"prompt_tokens":1}}'
    assert (meter.usage(REQUEST), meter.started, meter.failure) == (NONE, True, None)


def test_only_a_stream_can_hide_its_usage():
    meter = make_meter("chat", streaming=False, hide_usage=True, status=200, content_type="application/json")
    assert not isinstance(meter, HidingMeter)


def test_the_catalogue_of_routes_names_these_meters():
    assert {route.meter for route in ROUTES if route.meter} == set(METERS)
