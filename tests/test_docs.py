"""The documentation tells the truth: settings, errors, routes, columns, commands, links and examples exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from gateway import routes
from gateway.account.entry import Outcome, UsageSource
from gateway.models import RequestLog
from keys.serializers import GenerateKey
from people.roles import WORDS
from tests.test_error_shape import TOLD, every_class

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN_APPS = {"gateway", "keys", "upstreams"}
EXAMPLE = "http://localhost:4000"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


EVERYTHING = "\n".join(page.read_text() for page in PAGES)


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    level = heading.split()[0]
    _, _, rest = text.partition(f"{heading}\n")
    assert rest, f"no heading {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each line of the tables in a text, their heads left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_head:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(text: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- Settings ----------------------------------------------------------------------------------------------------


def settings_read() -> dict[str, tuple[tuple[str, ...], Any]]:
    """Each setting that settings.py reads: its names, aliases last, and its default where that is literal."""
    tree = ast.parse(text_of("gateway/settings.py"))
    tuples = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Tuple)
        if all(isinstance(item, ast.Constant) for item in node.value.elts)
    }
    found: dict[str, tuple[tuple[str, ...], Any]] = {}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        names = [name for name in _texts(call, tuples) if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)]
        if names and _reads_environment(call):
            default = next((_literal(keyword.value) for keyword in call.keywords if keyword.arg == "default"), None)
            found.setdefault(names[0], (tuple(names), default))
    return found


def _reads_environment(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute):
        return isinstance(function.value, ast.Name) and function.value.id == "env"
    return isinstance(function, ast.Name) and function.id == "_secret"


def _texts(call: ast.Call, tuples: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for argument in call.args:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            if isinstance(node, ast.Name) and node.id in tuples:
                yield from tuples[node.id]


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def settings_documented() -> dict[str, tuple[tuple[str, ...], str]]:
    """Each row of the README's tables of settings: its names, and its cell for the default."""
    table = [row for row in rows(section(README.read_text(), "## Settings")) if len(row) == 3]
    return {code(names)[0]: (tuple(code(names)), default) for names, default, _ in table}


def test_the_readme_has_every_setting_and_its_aliases_and_no_other() -> None:
    documented = {name: set(names) for name, (names, _) in settings_documented().items()}
    assert documented == {name: set(names) for name, (names, _) in settings_read().items()}


def test_the_readme_has_the_defaults_of_the_settings() -> None:
    documented = settings_documented()
    for name, (_, default) in settings_read().items():
        if default not in (None, "", []):
            shown = default[0] if isinstance(default, list) else default
            shown = str(shown).lower() if isinstance(shown, bool) else str(shown)
            assert documented[name][1] == f"`{shown}`", name


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = {name for names, _ in settings_read().values() for name in names}
    named = set(re.findall(r"\bGATEWAY_[A-Z_]+[A-Z]\b", EVERYTHING))
    assert {name.removesuffix("_FILE") for name in named} <= known


# --- Errors ------------------------------------------------------------------------------------------------------


def test_the_readme_has_every_error_and_no_other() -> None:
    table = [row for row in rows(section(README.read_text(), "## Errors")) if len(row) == 4]
    documented = {(int(status), code(kind)[0]) for status, kind, _, _ in table}
    errors = [error_class(**TOLD.get(error_class, {})) for error_class in every_class()]
    assert documented == {(error.status_code, error.type) for error in errors} - UNUSED


UNUSED = {(403, "internal_server_error")}  # PermissionRefused is only the root of its branch


# --- Routes, columns, fields ---------------------------------------------------------------------------------------


def test_the_table_of_routes_is_the_catalogue() -> None:
    def quoted(path: str | None) -> str:
        return f"`{path}`" if path else ""

    expected = [
        [", ".join(route.methods), quoted(route.template), route.endpoint_class, route.meter or "", quoted(short)]
        for route in routes.ROUTES
        for short in [route.default_path]
    ]
    assert list(rows(section(text_of("docs/pass-through.md"), "## All routes"))) == expected


def test_every_column_of_the_request_log_is_documented() -> None:
    table = section(text_of("docs/request-log.md"), "## Columns")
    documented = [name for row in rows(table) for name in code(row[0])]
    assert sorted(documented) == sorted(field.name for field in RequestLog._meta.concrete_fields)


@pytest.mark.parametrize(
    ("heading", "words"), [("## Outcomes", Outcome), ("## Where token counts come from", UsageSource)]
)
def test_every_word_of_a_row_is_documented(heading: str, words: Any) -> None:
    table = section(text_of("docs/request-log.md"), heading)
    assert [code(row[0])[0] for row in rows(table)] == [word.value for word in words]


def test_every_field_of_a_new_key_is_documented() -> None:
    table = section(text_of("docs/keys.md"), "### `POST /key/generate`")
    assert sorted(code(row[0])[0] for row in rows(table)) == sorted(GenerateKey().fields)


# --- Commands ------------------------------------------------------------------------------------------------------


def test_every_verb_of_make_is_documented_and_every_documented_one_exists() -> None:
    verbs = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    shell = "\n".join([*code(EVERYTHING), *blocks(EVERYTHING, "bash")])
    assert set(re.findall(r"^(?:\S+=\S+ )*make (?:PYTHON\S+ )?([a-z][a-z-]*)", shell, re.MULTILINE)) == verbs


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    commands = get_commands()
    named = set(re.findall(r"manage\.py ([a-z_]+)", EVERYTHING))
    assert named <= commands.keys()
    assert {name for name, app in commands.items() if app in OWN_APPS} <= named


def test_every_system_check_is_documented() -> None:
    ids = set(re.findall(r"gateway\.[EW]\d+", text_of("gateway/checks.py")))
    assert set(re.findall(r"gateway\.[EW]\d+", text_of("docs/operations.md"))) == ids


# --- Examples ------------------------------------------------------------------------------------------------------


@each_page
def test_json_examples_are_json(page: Path) -> None:
    for block in blocks(page.read_text(), "json"):
        json.loads(block)


@each_page
def test_python_examples_compile(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        compile(block, page.name, "exec")


def paths_called() -> list[tuple[str, str]]:
    """Method and path of each curl of a shell block."""
    shell = "\n".join(block for page in PAGES for block in blocks(page.read_text(), "bash")).replace("\\\n", " ")
    calls = []
    for line in shell.splitlines():
        address = re.search(r"^curl\b.*?https?://[^/\s\"']+(/[^\s\"'?]*)", line)
        if address:
            has_body = " -d " in line or "-X POST" in line or "-X 'POST'" in line
            calls.append(("POST" if has_body else "GET", address[1]))
    return calls


@pytest.mark.parametrize(("method", "path"), paths_called())
def test_a_curl_names_a_path_that_exists(method: str, path: str) -> None:
    if path.startswith("/vllm/"):
        assert routes.find(method, path.removeprefix("/vllm")).route is not None
    else:
        resolve(path)


def test_a_curl_to_nowhere_would_be_noticed() -> None:
    assert len(paths_called()) > 5
    assert routes.find("POST", "/v1/chat/completion").route is None
    with pytest.raises(Resolver404):
        resolve("/key/generat")


# --- Links ---------------------------------------------------------------------------------------------------------


def links(text: str) -> list[str]:
    """The targets of links and images that are in this repository."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_and_image_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


# --- The project ---------------------------------------------------------------------------------------------------


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))["project"]
    return found


def test_the_changelog_has_the_version() -> None:
    assert f"## {project()['version']}\n" in text_of("CHANGELOG.md")


def test_every_dependency_has_a_line() -> None:
    table = section(README.read_text(), "## How it is built")
    names = {re.split(r"[^a-z0-9-]", dependency)[0] for dependency in project()["dependencies"]}
    assert {row[0] for row in rows(table)} == names


def test_the_readme_opens_with_one_sentence() -> None:
    opening = README.read_text().split("\n\n")[1]
    assert opening.count(". ") == 0
    assert opening.endswith(".")


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name]


@cache
def texts() -> dict[Path, str]:
    """What stands in each file that is kept."""
    return {path: path.read_text(errors="replace") for path in tracked() if path.is_file() and path.suffix != ".png"}


def lines_with(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts().items() for match in wanted.finditer(text)
    ]


@pytest.mark.sockets
def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert lines_with(r"(?<![\w.$}/-])/(?:ho[m]e|Use[r]s|wor[k]|roo[t])/[\w.-]+") == []


@pytest.mark.sockets
def test_no_file_names_a_package_index() -> None:
    assert lines_with(r"(?:index-ur[l]|find-link[s])[= ]+\S*[:/]{3}|pypi\.or[g]/simple|\"resolve[d]\": *\"http") == []


def test_every_test_that_compatibility_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/compatibility.md").read_text()))
    assert len(named) > 30
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_the_roles_are_told_in_the_admin_as_they_are_here() -> None:
    table = rows(section(text_of("docs/sign-in.md"), "## Roles"))
    assert dict(table) == dict(WORDS)
