"""Pages of the admin that belong to no model: where they are, how the navigation names them, who may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

View = Callable[..., HttpResponseBase]
Allowed = Callable[[HttpRequest], bool]
Wrap = Callable[[View], View]


@dataclass(frozen=True, slots=True)
class Part:
    """An address below a page's, for its live parts, its data and its downloads: `Part("rows/", "usage_rows", rows)`.

    It is reversed as `admin:<name>`, and guarded as its page is.
    """

    path: str
    name: str
    view: View


@dataclass(frozen=True, slots=True)
class Page:
    """A page at `/admin/<path>`, reversed as `admin:<path without slashes at its end, others as underscores>`.

    `heading` is the group of the navigation it stands in, `icon` a symbol of includes/icons.html. Who is signed in
    and not `allowed` gets 403, and does not see it in the navigation.
    """

    path: str
    name: str
    heading: str
    icon: str
    view: View
    allowed: Allowed
    parts: tuple[Part, ...] = ()

    @property
    def url_name(self) -> str:
        return self.path.strip("/").replace("/", "_")

    def urls(self, wrap: Wrap) -> Iterator[URLPattern]:
        """The page's addresses. `wrap` is AdminSite.admin_view: who is not signed in is sent to do so."""
        yield path(self.path, wrap(self._guarded(self.view)), name=self.url_name)
        for part in self.parts:
            yield path(f"{self.path}{part.path}", wrap(self._guarded(part.view)), name=part.name)

    def _guarded(self, view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.allowed(request):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded


def has_perm(permission: str) -> Allowed:
    """May be seen by who has this permission, such as `keys.view_virtualkey`."""
    return lambda request: request.user.has_perm(permission)
