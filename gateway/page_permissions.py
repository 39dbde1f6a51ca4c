"""Permissions for pages of the admin that show no model's rows. There is no such table."""

from django.db import models


class AdminPage(models.Model):
    """Only something that Django can hang permissions on."""

    class Meta:
        managed = False
        verbose_name = "admin page"
        default_permissions = ()
        permissions = [
            ("view_settings_in_force", "Can see the settings in force, the system checks and the doctor's results"),
            ("use_policy_check", "Can ask whether a call would be allowed"),
            ("use_playground", "Can call models from the playground, with a key that is made for it"),
        ]

    def __str__(self) -> str:
        return "admin page"
