"""What is said of aliases and of routing reaches every process."""

from collections.abc import Callable
from typing import Any

import pytest

from upstreams.models import ModelAlias, Routing, UpstreamsVersion
from upstreams.selection import STRATEGIES

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "write",
    [
        lambda: ModelAlias.objects.create(name="new"),
        lambda: ModelAlias.objects.bulk_create([ModelAlias(name="new")]),
        lambda: ModelAlias.objects.update(stands_for="other"),
        lambda: ModelAlias.objects.all().delete(),
        lambda: ModelAlias.objects.get().delete(),
        lambda: Routing(most_attempts=2).save(),
    ],
    ids=["create", "bulk_create", "update", "delete many", "delete", "routing"],
)
def test_every_write_bumps_the_version(write: Callable[[], Any]) -> None:
    ModelAlias.objects.create(name="old")
    before = UpstreamsVersion.current()
    write()
    assert UpstreamsVersion.current() > before


def test_every_strategy_can_be_chosen_without_a_migration() -> None:
    for name in STRATEGIES:
        Routing(strategy=name).full_clean()
        ModelAlias(name=name, strategy=name).full_clean()


def test_there_is_one_routing() -> None:
    Routing(most_attempts=1).save()
    Routing(most_attempts=2).save()
    assert Routing.objects.count() == 1
    assert Routing.current().most_attempts == 2


def test_both_have_names() -> None:
    assert (str(ModelAlias(name="chat")), str(Routing())) == ("chat", "Routing")
