"""What is kept of a translated response, and references into it."""

from __future__ import annotations

import random

import pytest

from common.errors import InvalidRequest
from gateway.responses.conversation import MOST_BYTES, Conversation, resolve, unpacked

ITEM_ID = f"msg_{'0' * 32}_0"
ITEM: dict[str, object] = {"id": ITEM_ID, "type": "message", "role": "assistant", "content": []}
REFERENCE = {"type": "item_reference", "id": ITEM_ID}


def test_it_packs_and_unpacks() -> None:
    conversation = Conversation([ITEM, {"é": "\ud800"}], {"id": "resp_1"})
    packed = conversation.packed()
    assert packed is not None
    assert unpacked(packed) == conversation


def test_a_long_conversation_is_not_kept() -> None:
    text = random.Random(1).randbytes(MOST_BYTES // 2).hex()
    assert Conversation([{"text": text}], {}).packed() is None


def test_a_reference_is_replaced_by_its_item() -> None:
    asked: list[str] = []

    def find(response_id: str) -> list[dict[str, object]]:
        asked.append(response_id)
        return [{"id": "other"}, ITEM]

    assert resolve([{"role": "user"}, REFERENCE], [], find) == [{"role": "user"}, ITEM]
    assert asked == ["resp_" + "0" * 32]


def test_what_the_history_has_is_not_repeated() -> None:
    assert resolve([REFERENCE, "x"], [ITEM, {"id": ["odd"]}], lambda _: []) == ["x"]


@pytest.mark.parametrize("item_id", [ITEM_ID, "msg_1", None, 3])
def test_a_reference_to_nothing_is_refused(item_id: object) -> None:
    with pytest.raises(InvalidRequest) as error:
        resolve([{"type": "item_reference", "id": item_id}], [], lambda _: [])
    assert (error.value.status_code, error.value.param) == (404, "input[0].id")
