"""The documentation keeps up with the code: keys, columns, options, states, tables and short names."""

import argparse
import ast
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from batchmod.cli.arguments import parser
from batchmod.engine import looks
from batchmod.engine.modes import MODES
from batchmod.model import Status
from batchmod.providers.hosted import Dialect

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
    *("--sizes", "--modes", "--clips", "--size", "--start", "--hard"),
}
"""Those of the stand-ins, of pip, of Ray, and of the benchmarks."""
_SLUG = re.compile(r"[a-z]+(?:_[a-z]+)*")


def _text(name: str) -> str:
    return (_ROOT / name).read_text("utf-8")


def _rows_of_tables(text: str) -> list[str]:
    """The first cell of each table row that begins with a word in backquotes."""
    return re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE)


def _schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_text(f"schemas/{name}.schema.json"))
    return loaded


# --- keys and columns ---


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


# --- states, tables, modes, looks, layers ---


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


# --- short names ---


def _words(node: ast.AST) -> set[str]:
    """The texts in an expression that could be short names, but for those it only compares with."""
    if isinstance(node, ast.Compare):
        return set()
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) and _SLUG.fullmatch(node.value) else set()
    return set(chain.from_iterable(map(_words, ast.iter_child_nodes(node))))


def _slugs_in(node: ast.AST) -> Iterable[str]:
    """The short names a statement or call of the code gives to what goes wrong."""
    match node:
        case ast.keyword(arg="slug" | "code", value=ast.Constant() as given):
            return _words(given)
        case ast.Assign(targets=[ast.Name(id="slug" | "stop")], value=value):
            return _words(value)
        case ast.AnnAssign(target=ast.Name(id="slug" | "_ADVICE" | "SIGNALLED"), value=ast.expr() as value):
            return (
                _words(ast.Tuple([key for key in value.keys if key])) if isinstance(value, ast.Dict) else _words(value)
            )
        case ast.Call(func=ast.Attribute(attr="stop" | "drain"), args=[ast.Constant() as first, *_]):
            return _words(first)
        case ast.FunctionDef(name=name) if name.endswith("_slug"):
            return {word for word in _words(node) if "_" in word}
        case ast.Constant(value=str(text)):
            return re.findall(r"error_code = '(\w+)'", text)
        case _:
            return ()


def _slugs_in_the_code() -> set[str]:
    files = sorted((_ROOT / "batchmod").rglob("*.py"))
    nodes = chain.from_iterable(ast.walk(ast.parse(path.read_text("utf-8"))) for path in files)
    return set(chain.from_iterable(_slugs_in(node) for node in nodes))


def test_the_walk_through_the_code_sees_short_names_of_every_kind() -> None:
    of_every_kind = {"key_refused", "refused_value", "refused_prompt", "budget", "broken", "declined", "sigterm"}
    of_every_kind |= {"bad_manifest", "missing_key", "no_look", "output_expired", "uncertain", "model_unknown"}

    assert of_every_kind <= _slugs_in_the_code()


def test_every_short_name_has_its_cure() -> None:
    assert _slugs_in_the_code() - set(_rows_of_tables(_text("docs/messages.md"))) == set()


def test_every_short_name_has_one_cure() -> None:
    names = re.findall(r"^\| `([a-z_]+)` \|", _text("docs/messages.md"), re.MULTILINE)
    assert sorted(names) == sorted(set(names))


def test_every_stand_in_has_a_port_of_its_own() -> None:
    pages = {page.name: page.read_text("utf-8") for page in (_ROOT / "docs" / "providers").glob("*.md")}
    ports = [port for text in pages.values() for port in re.findall(r"tests/servers/\w+\.py --port (\d+)", text)]
    assert len(ports) == len(pages)
    assert sorted(ports) == sorted(set(ports))


def test_no_cure_is_for_a_short_name_that_does_not_exist() -> None:
    assert set(_rows_of_tables(_text("docs/messages.md"))) - _slugs_in_the_code() == set()


# --- options, links, length ---


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
