"""Upstreams and deployments as rows."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from upstreams.models import HEALTHY, DeletedUpstream, Deployment, Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db


def make(name: str = "one", **fields: Any) -> Upstream:
    return Upstream.objects.create(**{"name": name, "url": f"http://{name}:8000", **fields})


def stored(upstream: Upstream) -> Upstream:
    return Upstream.objects.get(pk=upstream.pk)


def test_saving_normalises_the_url() -> None:
    assert make(url="HTTP://One:8000/v1/").url == "http://one:8000"


def test_an_unusable_url_cannot_be_saved() -> None:
    with pytest.raises(ValidationError, match="must start with http"):
        make(url="one:8000")


def test_cleaning_names_the_field_of_an_unusable_url() -> None:
    with pytest.raises(ValidationError) as caught:
        Upstream(name="one", url="one:8000").full_clean()
    assert list(caught.value.message_dict) == ["url"]


def test_an_unusable_credential_cannot_be_saved() -> None:
    with pytest.raises(ValidationError, match="ASCII"):
        make(credential="two words")


def test_states_health_and_source_have_labels() -> None:
    upstream = make()
    labels = upstream.get_state_display(), upstream.get_health_display(), upstream.get_source_display()
    assert labels == ("Active", "Unknown", "Admin")


# --- The credential stays with its server ---------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://one:8000", "http://evil:8000", "http://one:8001"])
def test_a_url_of_another_server_clears_the_credential(url: str) -> None:
    upstream = make(credential="swordfish")
    upstream.url = url
    upstream.save()
    assert not stored(upstream).credential


def test_a_path_on_the_same_server_keeps_the_credential() -> None:
    upstream = stored(make(credential="swordfish"))
    upstream.url = "http://one:8000/prefix"
    upstream.save()
    assert stored(upstream).credential.reveal() == "swordfish"


def test_a_credential_given_with_the_new_url_is_kept() -> None:
    upstream = stored(make(credential="swordfish"))
    upstream.url, upstream.credential = "http://two", "marlin"
    upstream.save()
    assert stored(upstream).credential.reveal() == "marlin"


def test_saving_the_url_alone_clears_the_credential_too() -> None:
    upstream = stored(make(credential="swordfish"))
    upstream.url = "http://evil"
    upstream.save(update_fields=["url"])
    assert not stored(upstream).credential


def test_a_url_that_was_not_saved_is_not_taken_for_the_old_one() -> None:
    upstream = stored(make(credential="swordfish"))
    upstream.url = "http://evil"
    upstream.save(update_fields=["name"])
    upstream.save()
    assert not stored(upstream).credential


def test_a_row_that_was_read_in_parts_clears_the_credential() -> None:
    make(credential="swordfish")
    upstream = Upstream.objects.only("name").get()
    upstream.url = "http://evil"
    upstream.save()
    assert not stored(upstream).credential


def test_a_row_that_was_read_again_clears_the_credential() -> None:
    upstream = make(credential="swordfish")
    Upstream.objects.filter(pk=upstream.pk).update(credential="marlin")
    upstream.refresh_from_db()
    upstream.url = "http://evil"
    upstream.save()
    assert not stored(upstream).credential


def test_a_bulk_update_cannot_change_urls() -> None:
    make(credential="swordfish")
    with pytest.raises(ValueError, match="one by one"):
        Upstream.objects.update(url="http://evil")


def test_a_new_url_forgets_what_was_observed() -> None:
    upstream = make(health=HEALTHY, served_models=["a"], vllm_version="1")
    upstream.url = "http://one:8000/prefix"
    upstream.save(update_fields=["url"])
    row = stored(upstream)
    assert (row.health, row.served_models, row.vllm_version) == ("unknown", [], "")


# --- The default ----------------------------------------------------------------------------------------------


def test_the_first_upstream_becomes_the_default() -> None:
    assert make("one").is_default
    assert not make("two").is_default


def test_making_one_the_default_takes_the_mark_from_the_other() -> None:
    one, two = make("one"), make("two")
    Upstream.objects.make_default(two)
    assert (stored(one).is_default, stored(two).is_default) == (False, True)


def test_both_rows_get_a_new_version_when_the_default_changes() -> None:
    one, two, version = make("one"), make("two"), UpstreamsVersion.current()
    Upstream.objects.make_default(two)
    assert {row.pk for row in Upstream.objects.newer_than(version)} == {one.pk, two.pk}


def test_a_second_default_passes_validation_and_replaces_the_first() -> None:
    one, two = make("one"), Upstream(name="two", url="http://two", is_default=True)
    two.full_clean()
    two.save()
    assert not stored(one).is_default


def test_saving_another_column_of_a_stale_row_leaves_the_default_alone() -> None:
    one, two = make("one"), make("two")
    Upstream.objects.make_default(two)
    one.save(update_fields=["name"])
    assert stored(two).is_default


# --- Versions -------------------------------------------------------------------------------------------------


def test_a_database_that_was_emptied_takes_upstreams_again() -> None:
    UpstreamsVersion.objects.all().delete()  # as `manage.py flush` does
    make()
    assert UpstreamsVersion.current() == 1


def test_a_save_takes_one_version() -> None:
    upstream = make()
    version = UpstreamsVersion.current()
    upstream.save()
    assert upstream.version == UpstreamsVersion.current() == version + 1


def test_deleting_leaves_a_tombstone() -> None:
    upstream = make()
    row_id = upstream.pk
    upstream.delete()
    assert DeletedUpstream.objects.get().row_id == row_id


def test_observations_bump_no_version() -> None:
    make()
    version = UpstreamsVersion.current()
    Upstream.objects.update_quietly(health=HEALTHY)
    assert UpstreamsVersion.current() == version


@pytest.mark.parametrize(
    "write",
    [
        lambda upstream, deployment: deployment.save(),
        lambda upstream, deployment: deployment.delete(),
        lambda upstream, deployment: upstream.deployments.create(alias="new"),
        lambda upstream, deployment: upstream.deployments.update(served_name="x"),
        lambda upstream, deployment: upstream.deployments.all().delete(),
        lambda upstream, deployment: Deployment.objects.bulk_create([Deployment(upstream=upstream, alias="new")]),
    ],
    ids=["save", "delete", "create", "update", "delete many", "bulk_create"],
)
def test_every_write_of_a_deployment_changes_its_upstream(write: Any) -> None:
    upstream, other = make("one"), make("two")
    deployment = upstream.deployments.create(alias="chat")
    version = UpstreamsVersion.current()
    write(upstream, deployment)
    assert list(Upstream.objects.newer_than(version)) == [upstream]
    assert stored(other).version < version


def move_by_save(deployment: Deployment, upstream: Upstream) -> None:
    deployment.upstream = upstream
    deployment.save()


def move_in_bulk(deployment: Deployment, upstream: Upstream) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(upstream=upstream)


@pytest.mark.parametrize("move", [move_by_save, move_in_bulk])
def test_moving_a_deployment_changes_both_upstreams(move: Any) -> None:
    one, two = make("one"), make("two")
    deployment = one.deployments.create(alias="chat")
    version = UpstreamsVersion.current()
    move(deployment, two)
    assert set(Upstream.objects.newer_than(version)) == {one, two}


def test_a_deployment_without_served_name_is_served_under_its_alias() -> None:
    deployment = make().deployments.create(alias=" chat ")
    assert (str(deployment), deployment.served_name) == ("chat", "chat")
