"""The documentation keeps up with the code: keys, columns, options, states, tables and short names."""

import argparse
import importlib
import inspect
import json
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import batchmod
from batchmod.cli.arguments import parser
from batchmod.engine import looks
from batchmod.engine.modes import MODES
from batchmod.errors import BatchmodError
from batchmod.model import Status
from batchmod.providers.hosted import Dialect
from tests.slugs import Walk, walked

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(
    [*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(_ROOT).as_posix(),
)
_OPTIONS_OF_OTHERS = {
    *("--port", "--fault", "--seconds", "--exclude-editable"),
    *("--jobs", "--kills", "--seed", "--uploads"),
    *("--loop-jobs", "--minutes", "--per-minute"),
    *("--head", "--address", "--num-cpus", "--disable-usage-stats", "--tasks", "--rows", "--frames"),
    *("--user", "--now", "--shot"),
    *("--sizes", "--modes", "--clips", "--size", "--start", "--hard"),
}
"""Those of the stand-ins, of pip, of systemd, of Ray, of a hook, and of the benchmarks."""


def _text(name: str) -> str:
    return (_ROOT / name).read_text("utf-8")


def _rows_of_tables(text: str) -> list[str]:
    """The first cell of each table row that begins with a word in backquotes."""
    return re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE)


def _schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_text(f"schemas/{name}.schema.json"))
    return loaded


def _properties(schema: dict[str, Any]) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from _properties(inner)


@pytest.mark.parametrize("name", ["manifest", "row"])
def test_the_manifest_page_names_every_key(name: str) -> None:
    missing = {each for each in _properties(_schema(name)) if f"`{each}`" not in _text("docs/manifest.md")}

    assert not missing


def test_the_manifest_page_gives_every_limit_its_default() -> None:
    limits = _schema("manifest")["properties"]["limits"]["properties"]
    page = _text("docs/manifest.md")

    said = {name: re.search(rf"^\| `{name}` \|.*\| ([^|]*) \|$", page, flags=re.MULTILINE) for name in limits}

    for name, about in limits.items():
        found = said[name]
        assert found is not None
        assert "default" not in about or found[1] == str(about["default"])


def test_the_results_page_lists_the_columns_in_their_order() -> None:
    assert _rows_of_tables(_text("docs/results.md")) == list(_schema("results")["properties"])


def test_every_state_and_table_is_explained() -> None:
    tables = re.findall(r"^CREATE TABLE (\w+)", _text("batchmod/checkpoint/schema.sql"), flags=re.MULTILINE)

    rows = _rows_of_tables(_text("docs/how-it-works.md"))

    assert tables
    assert {*Status, *tables} <= set(rows)


def test_the_engine_page_knows_every_mode_and_look() -> None:
    assert _rows_of_tables(_text("docs/engine.md")) == [*MODES, *looks.names()]


def test_the_readme_counts_the_looks_right() -> None:
    assert f"one of {len(looks.names())} looks" in _text("README.md")


def test_contributing_shows_the_layers_as_they_are_enforced() -> None:
    contracts = tomllib.loads(_text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")

    rows = re.findall(r"^\| (`__main__`|(?:`\w+`(?: \\\| )?)+) \|", _text("CONTRIBUTING.md"), flags=re.MULTILINE)
    shown = [row.replace("`", "").replace("\\", "") for row in rows]

    assert [layer for layer in shown if layer in layers] == layers


def test_contributing_lists_every_member_of_a_dialect() -> None:
    members = {name for name in vars(Dialect) if not name.startswith("_")}

    missing = {name for name in members if not re.search(rf"^\| `{name}[(`]", _text("CONTRIBUTING.md"), re.MULTILINE)}

    assert "begin" in members
    assert not missing


_MESSAGES = "docs/messages.md"


@cache
def _walk() -> Walk:
    return walked(_ROOT / "batchmod")


def _classes(of: type[BatchmodError]) -> Iterator[type[BatchmodError]]:
    """An error and every kind of it, in whatever module."""
    yield of
    for each in of.__subclasses__():
        yield from _classes(each)


def _every_error() -> list[type[BatchmodError]]:
    for module in pkgutil.walk_packages(batchmod.__path__, "batchmod."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [each for each in _classes(BatchmodError) if each.__module__.startswith("batchmod.")]


def test_the_walk_follows_every_short_name_to_where_it_is_given() -> None:
    """Where it cannot, a name could hide: give it as a constant, from a table, or teach the walk that form."""
    assert _walk().unseen == []


def test_the_walk_through_the_code_sees_short_names_of_every_kind() -> None:
    of_errors = {"usage", "bad_manifest", "missing_key", "port_in_use", "folder_in_use", "bug"}
    of_dialects = {
        "key_refused",
        "refused_value",
        "refused_prompt",
        "refused_frame",
        "model_unknown",
        "gateway_refused",
    }
    of_runs = {"budget", "broken", "declined", "sigterm", "until", "not_waited_for", "task_cancelled", "lease_lost"}
    of_rows = {"uncertain", "output_expired", "given_up", "broken_output", "clip_too_long", "prepared_gone"}
    of_warnings = {"clip_format", "frame_unlike", "source_unlikely", "frame_unused"}
    of_media = {"no_look", "bad_keyframes", "unsafe_container", "copy_too_short", "copy_failed"}

    wanted = of_errors | of_dialects | of_runs | of_rows | of_warnings | of_media

    assert wanted - _walk().found.keys() == set()


def test_every_error_of_the_tree_has_its_cure() -> None:
    errors = _every_error()
    own = {each.__name__: each.slug for each in errors if "slug" in vars(each)}

    assert {"UsageError", "RecordOnNetwork", "FolderInUse", "PortInUse"} <= own.keys()
    assert set(own.values()) - set(_rows_of_tables(_text(_MESSAGES))) == set()
    assert all("slug" in inspect.signature(each).parameters for each in errors if "slug" not in vars(each))


def test_every_short_name_has_its_cure() -> None:
    page = set(_rows_of_tables(_text(_MESSAGES)))

    assert {name: place for name, place in _walk().found.items() if name not in page} == {}


def test_every_short_name_has_one_cure() -> None:
    names = re.findall(r"^\| `([a-z_]+)` \|", _text(_MESSAGES), re.MULTILINE)
    assert sorted(names) == sorted(set(names))


def test_every_short_name_has_a_cause_and_a_cure_in_words() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|(.*)\|$", _text(_MESSAGES), re.MULTILINE)
    said = {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}

    assert {name: cells for name, cells in said.items() if len(cells) != 2 or min(map(len, cells)) < 5} == {}


def test_no_cure_is_for_a_short_name_that_does_not_exist() -> None:
    assert set(_rows_of_tables(_text(_MESSAGES))) - _walk().found.keys() == set()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('def f():\n    return Failed(slug="new_name")', {"new_name"}),
        ('def f():\n    raise MediaError("x", slug="a_b" if y else "c_d")', {"a_b", "c_d"}),
        ('class New(BatchmodError):\n    slug = "new_name"', {"new_name"}),
        ('def g(state, slug): ...\ndef f():\n    g(1, "new_name")', {"new_name"}),
        ('def _slug(x):\n    return "a_b" if x else None', {"a_b"}),
        ('_T = {1: "a_b", 2: "c_d"}\ndef f():\n    return Blocked(slug=_T.get(1) or "e_f")', {"a_b", "c_d", "e_f"}),
        ('def f():\n    for a, b in (("x", "a_b"), ("y", "c_d")):\n        Failed(slug=b)', {"a_b", "c_d"}),
        ('def f():\n    slug, words = h()\n    Failed(slug=slug)\ndef h():\n    return "a_b", "some words"', {"a_b"}),
        ('def f(record):\n    record.fail(1, code="a_b")', {"a_b"}),
        ("Q = \"UPDATE work SET error_code = 'a_b'\"", {"a_b"}),
    ],
)
def test_no_form_of_giving_a_short_name_escapes_the_walk(tmp_path: Path, code: str, found: set[str]) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "m.py").write_text(code)

    walk = walked(tmp_path / "p")

    assert (set(walk.found), walk.unseen) == (found, [])


def test_a_short_name_that_is_put_together_is_refused_by_the_walk(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "m.py").write_text('def f(kind):\n    return Failed(slug=f"bad_{kind}")')

    assert walked(tmp_path / "p").unseen == ["p/m.py:2: f'bad_{kind}'"]


def test_every_stand_in_has_a_port_of_its_own() -> None:
    pages = {page.name: page.read_text("utf-8") for page in (_ROOT / "docs" / "providers").glob("*.md")}
    ports = [port for text in pages.values() for port in re.findall(r"tests/servers/\w+\.py --port (\d+)", text)]
    assert len(ports) == len(pages)
    assert sorted(ports) == sorted(set(ports))


def _options(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _options(command)


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.name)
def test_a_page_names_only_options_and_commands_that_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    commands = next(action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))

    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    verbs = set(re.findall(r"(?:^ +|`)batchmod ([a-z]+)", text, flags=re.MULTILINE))

    assert options - set(_options(parser())) - _OPTIONS_OF_OTHERS == set()
    assert verbs - set(commands) == set()


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page

        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_readme_shows_a_first_result_on_its_first_screen() -> None:
    lines = _text("README.md").splitlines()

    assert len(lines) <= 120
    assert "    make demo" in "\n".join(lines[:12])
    assert any("videos made in" in line for line in lines[:30])
    assert any("before-after" in line for line in lines[:30])


@pytest.mark.parametrize(
    "page", [path for path in _PAGES if path.parent.name == "decisions"], ids=lambda path: path.name
)
def test_a_decision_is_short_and_says_what_it_cost(page: Path) -> None:
    text = page.read_text("utf-8")

    assert len(text.splitlines()) <= 60
    assert text.startswith(f"# {page.name[:4]}: ")
    assert "## How we would notice it was wrong" in text
