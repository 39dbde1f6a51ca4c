"""The picker of models in the forms of keys, teams, owners and end users."""

from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.http import QueryDict

from keys.admin_models import KnownModel, ModelsField, ModelsInput, counts_nothing, usable
from keys.models import Team, VirtualKey
from tests.support.people import signed_in, undrawn
from upstreams.models import Deployment, Upstream

KNOWN = [KnownModel("llama"), KnownModel("qwen-7b", is_priced=True, note="stands for q")]
ADD = "/admin/keys/virtualkey/add/"


def widget() -> ModelsInput:
    field = ModelsField()
    field.offer(KNOWN)
    assert isinstance(field.widget, ModelsInput)
    return field.widget


def sent(query: str) -> object:
    return ModelsField().clean(widget().value_from_datadict(QueryDict(query), {}, "models"))


@pytest.mark.parametrize(
    ("query", "models"),
    [
        ("models=", []),
        ("", []),
        ("models_picked=llama&models=", ["llama"]),
        ("models_picked=llama&models_picked=qwen-7b&models=mistral-*", ["llama", "qwen-7b", "mistral-*"]),
        ("models_picked=llama&models=llama", ["llama"]),
        ("models=a%0D%0Ab", ["a", "b"]),
    ],
)
def test_what_is_ticked_and_what_is_typed_counts(query: str, models: list[str]) -> None:
    assert sent(query) == models


def test_known_models_are_ticked_and_others_typed() -> None:
    html = widget().render("models", "qwen-7b\nmistral-*", {"id": "id_models"})
    assert 'value="qwen-7b" data-priced checked' in html
    assert 'value="llama">' in html
    assert "mistral-*</textarea>" in html
    assert "stands for q" in html
    assert '<label class="models-more" for="id_models">' in html


def test_another_order_is_no_change() -> None:
    field = ModelsField()
    assert not field.has_changed(["b*", "a"], "a\nb*")
    assert field.has_changed(["a"], "")
    assert field.has_changed([], "a\0")


def test_what_a_list_allows() -> None:
    assert usable([], KNOWN) == KNOWN
    assert usable(["q*"], KNOWN) == KNOWN[1:]


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, True),
        ({"max_budget": Decimal(1)}, True),
        ({"max_budget": Decimal(1), "models": ["llama"]}, False),
        ({"soft_budget": Decimal(1), "models": ["llama"]}, False),
        ({"budget_limits": [{"max_budget": 1}], "models": ["nowhere"]}, False),
        ({"token_budget": 5, "models": ["llama"]}, True),
        ({"max_budget": Decimal(0), "models": ["llama"]}, True),  # spent already, and says so
        ({"max_budget": Decimal(0), "soft_budget": Decimal(1), "models": ["llama"]}, True),
        ({"model_max_budget": {"phi": {"budget_limit": 0}}, "max_budget": Decimal(1), "models": ["llama"]}, False),
    ],
)
def test_a_budget_counts_where_a_model_has_a_price(fields: dict[str, object], counts: bool) -> None:
    assert counts_nothing(VirtualKey(**fields), KNOWN) is not counts


@pytest.mark.django_db
class TestThePages:
    def a_priced_model(self, **prices: object) -> None:
        upstream = Upstream(name="gpu-1", url="http://gpu-1:8000")
        upstream.save()
        Deployment(upstream=upstream, alias="llama", **prices).save()

    def test_the_form_offers_what_there_is(self) -> None:
        self.a_priced_model()
        Team(team_id="red").save()
        admin = signed_in()
        for page in (ADD, "/admin/keys/team/add/", f"/admin/keys/team/{Team.objects.get().pk}/change/"):
            assert 'name="models_picked" value="llama"' in admin.get(page).content.decode(), page

    def test_a_ticked_model_is_stored(self) -> None:
        self.a_priced_model()
        undrawn(signed_in()).post(
            ADD, {"name": "docs", "key_type": "default", "endpoint_classes": "inference", "models_picked": "llama"}
        )
        assert VirtualKey.objects.get().models == ["llama"]

    @pytest.mark.parametrize(("price", "warned"), [({}, True), ({"input_cost_per_token": Decimal("0.1")}, False)])
    def test_a_budget_that_nothing_is_spent_of_is_told(self, price: dict[str, Decimal], warned: bool) -> None:
        self.a_priced_model(**price)
        admin = signed_in()
        assert ("data-price-warning hidden" not in admin.get(ADD).content.decode()) is warned
        fields = {"name": "docs", "key_type": "default", "endpoint_classes": "inference", "max_budget": "5"}
        told = [str(one) for one in get_messages(undrawn(admin).post(ADD, fields).wsgi_request)]
        words = "The key “docs” has a budget in US dollars. No model that may be used has a price"
        assert any(one.startswith(words) for one in told) is warned  # a page writes the first letter large
        page = admin.get(f"/admin/keys/virtualkey/{VirtualKey.objects.get().pk}/change/").content.decode()
        assert ("Never spent" in page) is warned
