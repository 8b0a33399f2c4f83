"""Every snippet of docs/api.md runs as it stands there, and the page knows every wish and every public type."""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmod import api
from tests.servers.segmind import SegmindStandIn
from tests.support import remote_rows, write_manifest

_PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_SNIPPETS = re.findall(r"^```python\n(.*?)^```$", _PAGE, flags=re.MULTILINE | re.DOTALL)
_SAY = {
    "print(done.counts": r"'succeeded': 2.*videos/a_v001.mp4",
    "asyncio.run(night())": r"shots True 1\.2\nmore True 0\.6",
    "problem.place.line": r"\d+ mode 'flex_9' is not a mode",
    "outlook.counts": r"a send new\nb send new\n2 \$1\.20 to \$7\.20\n164\.0 \(\) False\n",
    "observe=watch": r"succeeded a videos/a_v001.mp4\n.*a succeeded /.*a_v001\.mp4 0\.6",
}
"""What is in a snippet → what it must print."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the manifests of the page, and a service."""
    write_manifest(tmp_path / "shots.yaml", remote_rows("a", "b"))
    write_manifest(tmp_path / "more.yaml", remote_rows("c"))
    write_manifest(tmp_path / "bad.yaml", [{**remote_rows("d")[0], "mode": "flex_9"}])
    monkeypatch.chdir(tmp_path)
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        for name, value in {**server.environment(), "BATCHMOD_HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        yield tmp_path


@pytest.mark.parametrize("number", range(len(_SNIPPETS)))
def test_a_snippet_does_what_the_page_says(number: int, place: Path) -> None:
    snippet, out = _SNIPPETS[number], io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(snippet, f"docs/api.md, snippet {number}", "exec"), {"__name__": "__main__"})
    (expected,) = [words for mark, words in _SAY.items() if mark in snippet]

    assert re.search(expected, out.getvalue(), flags=re.DOTALL), out.getvalue()


def test_every_snippet_is_a_program_of_its_own() -> None:
    assert len(_SNIPPETS) == len(_SAY)
    assert all("batchmod" in {_root(node) for node in ast.walk(ast.parse(each))} for each in _SNIPPETS)


def _root(node: ast.AST) -> str | None:
    return node.module if isinstance(node, ast.ImportFrom) else None


@pytest.mark.parametrize("wishes", [api.ReadingWishes, api.RunWishes])
def test_the_page_names_every_wish(wishes: type) -> None:
    assert {name for name in wishes.__annotations__ if f"`{name}`" not in _PAGE} == set()
