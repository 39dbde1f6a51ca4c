"""What Django does anew for each page, each question and each look at a setting, done once for a whole run."""

from __future__ import annotations

import functools
import threading
from typing import Any

STATEMENTS = 4_096
"""So many the database's connection keeps prepared, instead of 128: a share asks more than 800 different ones."""


def begin() -> None:
    """From now on, in this process. Before the database is opened."""
    _look_at_static_files_once()
    _address_static_files_once()
    _read_settings_plainly()
    _keep_statements()
    _keep_to_threads()
    _keep_what_pages_were_given()


def _look_at_static_files_once() -> None:
    """Every test client's middleware would look at them anew."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    look, found = WhiteNoiseMiddleware.add_files_from_finders, {}

    def look_once(middleware: Any) -> None:
        if not found:
            look(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    WhiteNoiseMiddleware.add_files_from_finders = look_once


def _address_static_files_once() -> None:
    """Each page names a dozen of them."""
    from django.templatetags.static import StaticNode

    StaticNode.handle_simple = staticmethod(functools.cache(StaticNode.handle_simple))


def _read_settings_plainly() -> None:
    """Each look at a setting would call a function, for the sake of methods that settings do not have."""
    from django.conf import LazySettings

    LazySettings.__getattribute__ = object.__getattribute__


def _keep_statements() -> None:
    """SQLite's, prepared and in its own way to write parameters."""
    from django.db import connections
    from django.db.backends.sqlite3.base import FORMAT_QMARK_REGEX, SQLiteCursorWrapper

    if connections["default"].vendor != "sqlite":
        return
    connections["default"].settings_dict["OPTIONS"]["cached_statements"] = STATEMENTS
    convert = SQLiteCursorWrapper.convert_query

    @functools.lru_cache(STATEMENTS)
    def converted(query: str) -> str:
        return FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")

    def converted_once(cursor: Any, query: str, *, param_names: Any = None) -> str:
        return converted(query) if param_names is None else convert(cursor, query, param_names=param_names)

    SQLiteCursorWrapper.convert_query = converted_once


def _keep_to_threads() -> None:
    """Of each look at a connection asgiref asks whether a loop of asyncio runs; where none does, this is what it is."""
    from django.db import connections
    from django.urls import base

    kept = threading.local()
    for alias in connections:
        setattr(kept, alias, connections[alias])
    connections._connections = kept
    base._prefixes, base._urlconfs = threading.local(), threading.local()


def _keep_what_pages_were_given() -> None:
    """`response.context` is what a view gave its page: not also what each part and each field of a form was given."""
    from django.template import RequestContext
    from django.test import utils
    from django.test.signals import template_rendered

    def rendered(template: Any, context: Any) -> Any:
        if context.template is template and isinstance(context, RequestContext):
            template_rendered.send(sender=template, template=template, context=context)
        return template.nodelist.render(context)

    utils.instrumented_test_render = rendered
