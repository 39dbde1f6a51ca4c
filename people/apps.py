"""Names the app to Django."""

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate


class PeopleConfig(AppConfig):
    name = "people"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from people import checks, diary, standing
        from people.managers import team_deleted
        from people.roles import keep_roles

        checks.register_all()
        diary.connect()
        standing.connect()
        post_migrate.connect(keep_roles, dispatch_uid="roles")
        post_delete.connect(team_deleted, sender="keys.Team", dispatch_uid="managers of a deleted team")
