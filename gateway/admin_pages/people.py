"""People and roles in the admin: who may sign in, with which roles, and whose teams they manage.

Nobody gives away, here, what they have not themselves: somebody who may change people must not become a superuser by
it, nor a manager of everybody's keys.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet
from django.forms import CheckboxSelectMultiple, ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from common.admin import moment
from gateway.admin_pages.role_permissions import KeepsTheRest, PermissionBoxes, in_words, name_of, offer
from keys.admin_fields import SuggestInput
from keys.admin_forms import known_teams
from keys.scope import visible_teams
from people.models import TeamManager
from people.roles import ROLES
from people.roles import WORDS as ROLE_WORDS

if TYPE_CHECKING:
    _Inline = admin.TabularInline[TeamManager, User]
    _Form = ModelForm[TeamManager]
    _RoleForm = ModelForm[Group]
    _PersonForm = UserChangeForm[User]
else:
    _Inline, _Form, _RoleForm, _PersonForm = admin.TabularInline, ModelForm, ModelForm, UserChangeForm

ONLY_SUPERUSERS = ("is_superuser", "user_permissions")
WORDS = {
    "is_active": ("Active", "Clear it to lock somebody out: their sessions end at once."),
    "is_staff": ("Uses the admin", "Without it nobody gets past the log-in page."),
    "is_superuser": ("Superuser", "May do everything, whatever the roles say."),
    "user_permissions": ("Single permissions", "On top of those of the roles."),
}


class ManagedTeamForm(_Form):
    """Which team."""

    class Meta:
        model = TeamManager
        fields = ["team_id"]
        widgets = {"team_id": SuggestInput(known_teams)}


class ManagedTeams(_Inline):
    """The teams that a person manages. Only who sees every team may say so."""

    model = TeamManager
    form = ManagedTeamForm
    extra = 0
    verbose_name = "team"
    verbose_name_plural = "Manages these teams"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and visible_teams(request.user) is None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and visible_teams(request.user) is None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and visible_teams(request.user) is None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and visible_teams(request.user) is None


class RoleFilter(admin.RelatedFieldListFilter):
    """By role; Django calls them groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "role"


class PersonForm(KeepsTheRest, _PersonForm):
    """Somebody who is there already."""

    permissions_field = "user_permissions"


class PeopleAdmin(UserAdmin[User]):
    """Who may sign in."""

    form = PersonForm
    inlines = (ManagedTeams,)
    list_display = ("username", "email", "roles", "teams", "is_active", "signed_in")
    list_filter = ("is_active", "is_superuser", ("groups", RoleFilter))
    filter_horizontal = ()
    show_facets = admin.ShowFacets.NEVER
    search_help_text = "Name or e-mail address"
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "groups")}),
        ("Beyond roles", {"classes": ("collapse",), "fields": ("is_superuser", "user_permissions")}),
        ("Dates", {"fields": ("signed_in", "joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups", "managed_teams")

    @admin.display(description="roles")
    def roles(self, person: User) -> str:
        if is_a_program(person):
            return f"none: stands in the history for the {person.username}; nobody can sign in as it"
        names = [role.name for role in person.groups.all()]
        return ", ".join(["Superuser", *names] if person.is_superuser else names) or "none"

    @admin.display(description="manages")
    def teams(self, person: Any) -> str | None:
        return ", ".join(row.team_id for row in person.managed_teams.all()) or None

    @admin.display(description="last sign-in", ordering="last_login")
    def signed_in(self, person: User) -> SafeString | str:
        return moment(person.last_login, "never")

    @admin.display(description="added")
    def joined(self, person: User) -> SafeString | str:
        return moment(person.date_joined)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fixed = () if request.user.is_superuser else ONLY_SUPERUSERS
        return (*super().get_readonly_fields(request, obj), *fixed, "single", "signed_in", "joined")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        found: Any = super().get_fieldsets(request, obj)
        if request.user.is_superuser:
            return found
        shown = {"user_permissions": "single"}  # in words: it is only shown
        return [(title, {**part, "fields": [shown.get(one, one) for one in part["fields"]]}) for title, part in found]

    @admin.display(description=WORDS["user_permissions"][0])
    def single(self, person: User) -> SafeString | str:
        return in_words(person.user_permissions.all())

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user_permissions":
            field = super().formfield_for_manytomany(db_field, request, **kwargs, widget=PermissionBoxes())
            offer(field, request.user)
            return field
        if db_field.name == "groups":
            queryset = Group.objects.filter(pk__in=[one.pk for one in roles_within(request.user)])
            kwargs |= {"queryset": queryset, "widget": CheckboxSelectMultiple, "label": "Roles"}
            kwargs["help_text"] = "A key manager sees the keys and calls of the teams below, and of no others."
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in WORDS:
            field.label, field.help_text = WORDS[db_field.name]
        if field is not None and db_field.name == "groups" and hasattr(field.widget, "can_add_related"):
            field.widget.can_add_related = False  # a role is made with thought, on its own page
        return field

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        super().save_related(request, form, formsets, change)
        person = form.instance
        if person.is_active and not person.is_staff and person.groups.exists():
            text = f"The user “{person}” has a role and cannot sign in yet: tick “Uses the admin” on their page."
            self.message_user(request, text, messages.WARNING)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and is_within(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and is_within(request.user, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        super().delete_queryset(request, queryset.filter(pk__in=[p.pk for p in queryset if is_within(request.user, p)]))


def is_a_program(person: User) -> bool:
    """Whether the history alone needs it, for what the master key or a program did. No form takes a blank in a name."""
    can_sign_in = person.is_active or person.last_login is not None or person.has_usable_password()
    return " " in person.username and not can_sign_in


class RolesList(ChangeList):
    """Calls them roles, as everything else does."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        roles = self.model_admin.opts
        self.title = str(self.title).replace(str(self.opts.verbose_name), str(roles.verbose_name))
        self.opts = roles


class RoleForm(KeepsTheRest, _RoleForm):
    """A role of somebody's own."""


class RolesAdmin(GroupAdmin):
    """Roles. The built-in ones are kept by the migrations, so they are shown and not changed."""

    form = RoleForm
    filter_horizontal = ()
    list_display = ("name",)

    def __init__(self, model: type[Group], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        self.opts = copy(model._meta)  # not Django's own, which its migrations keep
        self.opts.verbose_name, self.opts.verbose_name_plural = "role", "roles"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RolesList

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        is_set = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return ("name", *(("purpose",) if obj and obj.name in ROLE_WORDS else ()), "permissions" if is_set else "may")

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "purpose", "may")

    @admin.display(description="may")
    def purpose(self, role: Group) -> str:
        return capfirst(f"{ROLE_WORDS[role.name]}.")

    @admin.display(description="permissions")
    def may(self, role: Group) -> SafeString | str:
        """What it may do, a line for each kind of thing."""
        return in_words(role.permissions.all())

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        if db_field.name != "permissions" or request is None:
            return super().formfield_for_manytomany(db_field, request, **kwargs)
        field = super().formfield_for_manytomany(db_field, request, **kwargs, widget=PermissionBoxes())
        offer(field, request.user)
        return field

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_own(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        super().delete_queryset(request, queryset.exclude(name__in=ROLES))

    @staticmethod
    def _is_own(request: HttpRequest, role: Any) -> bool:
        return role is None or (role.name not in ROLES and role in roles_within(request.user))


def roles_within(person: Any) -> list[Group]:
    """The roles that give nothing that the person has not."""
    mine = person.get_all_permissions()
    rows = Group.objects.prefetch_related("permissions__content_type")
    return [row for row in rows if person.is_superuser or mine.issuperset(map(name_of, row.permissions.all()))]


def is_within(person: Any, other: Any) -> bool:
    """Whether the other has nothing that the person has not: by a new password one could become them.

    Of who is locked out counts what they would have again: Django says that they have nothing.
    """
    if other is None or person.is_superuser:
        return True
    given = Permission.objects.filter(Q(user=other) | Q(group__user=other)).select_related("content_type")
    if other.is_superuser or not person.get_all_permissions().issuperset(map(name_of, given)):
        return False
    teams = visible_teams(person)
    return teams is None or teams.issuperset(other.managed_teams.values_list("team_id", flat=True))
