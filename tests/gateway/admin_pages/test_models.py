"""The list of models, and its warning."""

from decimal import Decimal

import pytest

from keys.models import Team, VirtualKey
from tests.support.people import signed_in
from upstreams.model_list import every_model, price_words
from upstreams.models import ModelAlias, Upstream
from upstreams.pricing import Prices

pytestmark = pytest.mark.django_db
LIST = "/admin/upstreams/modelalias/"


@pytest.fixture
def upstream() -> Upstream:
    return Upstream.objects.create(name="gpu-1", url="http://gpu-1:8000", served_models=["qwen"])


def html() -> str:
    return signed_in().get(LIST).content.decode()


def test_it_works(upstream: Upstream) -> None:
    upstream.deployments.create(alias="chat", served_name="qwen", input_cost_per_token="0.0000005")
    Upstream.objects.update_quietly(served_details=[{"id": "qwen", "max_model_len": 131072}])
    page = html()
    assert "131,072 <span" in page
    assert "chat" in page
    assert f"/admin/upstreams/upstream/{upstream.pk}/change/" in page
    assert "$0.50 prompt per million tokens" in page


def test_without_a_model_the_next_step_is_told() -> None:
    page = html()
    assert "Add an upstream" in page
    assert "No alias yet" in page


def test_every_name_is_there_with_where_it_leads(upstream: Upstream) -> None:
    other = Upstream.objects.create(name="gpu-2", url="http://gpu-2:8000", state="draining")
    for one in (upstream, other):
        one.deployments.create(alias="qwen")
    upstream.deployments.create(alias="org/*")
    upstream.deployments.create(alias="secret", hidden=True)
    ModelAlias.objects.create(name="gpt-4", stands_for="qwen", strategy="session_affinity")
    ModelAlias.objects.create(name="lost", stands_for="nothing")
    told = {
        one.name: [(place.upstream.name, place.served_name, place.note) for place in one.places]
        for one in every_model()
    }
    both = [("gpu-1", "", ""), ("gpu-2", "", "Draining")]
    assert told == {
        "gpt-4": [("gpu-1", "qwen", ""), ("gpu-2", "qwen", "Draining")],
        "lost": [],
        "qwen": both,
        "org/*": [("gpu-1", "", "")],
    }


def test_how_a_name_is_routed_and_how_long_its_context_is(upstream: Upstream) -> None:
    Upstream.objects.update_quietly(served_details=[{"id": "qwen", "max_model_len": 2048}])
    upstream.deployments.create(alias="qwen")
    ModelAlias.objects.create(name="qwen", strategy="session_affinity")
    model = every_model()[0]
    assert (model.strategy, model.max_model_len) == ("session affinity", 2048)


@pytest.mark.parametrize("kind", ["team", "key", "nobody"])
def test_models_without_a_price_are_named_where_budgets_in_dollars_exist(upstream: Upstream, kind: str) -> None:
    upstream.deployments.create(alias="free")
    upstream.deployments.create(alias="dear", cost_per_request="0.01")
    if kind == "team":
        Team.objects.create(team_id="red", max_budget=5)
    elif kind == "key":
        VirtualKey.objects.issue(name="one", budget_limits=[{"budget_duration": "1h", "max_budget": 2}])
    shown = signed_in().get(LIST).context["unpriced"]
    assert shown == ([] if kind == "nobody" else ["free"])


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (None, ""),
        (
            Prices(input=Decimal("0.000001"), output=Decimal("0.0000025")),
            "$1 prompt, $2.50 completion per million tokens",
        ),
        (Prices(cached=Decimal("0.00000012345")), "$0.12345 cached per million tokens"),
        (Prices(second=Decimal("0.001"), request=Decimal("0.2")), "$0.001 a second; $0.20 a call"),
    ],
)
def test_prices_are_told_in_words(prices: Prices | None, words: str) -> None:
    assert price_words(prices) == words
