"""Names the app to Django."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def keep_version_row(*, using: str, **_: Any) -> None:
    """Restores the version row after `manage.py flush` has emptied the tables."""
    from upstreams.models import UpstreamsVersion

    UpstreamsVersion.objects.using(using).get_or_create(pk=1)


class UpstreamsConfig(AppConfig):
    name = "upstreams"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(keep_version_row, sender=self)
