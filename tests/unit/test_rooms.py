"""The house as a whole: the front door opens fast, and what a room offers is there."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchmod

ROOT = Path(batchmod.__file__).parent
HEAVY = (
    "numba",
    "cv2",
    "numpy",
    "httpx",
    "aiohttp",
    "av",
    "jsonschema",
    "pandas",
    "yaml",
    "tqdm",
    "sqlite3",
    "asyncio",
)
NETWORK_AND_PICTURES = {"numba", "cv2", "numpy", "httpx", "aiohttp", "av", "pandas"}

HELP = """
import sys, resource
from batchmod.cli import main
code = main(["--help"])
used = resource.getrusage(resource.RUSAGE_SELF)
print("\\n", code, used.ru_utime + used.ru_stime, ",".join(sys.modules), file=sys.stderr)
"""
NOTHING = """
import sys, resource
used = resource.getrusage(resource.RUSAGE_SELF)
print("\\n", 0, used.ru_utime + used.ru_stime, ",".join(sys.modules), file=sys.stderr)
"""


def measured(code: str) -> tuple[int, float, set[str]]:
    """The exit code, the CPU seconds and the loaded modules of a fresh Python."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    exit_code, seconds, modules = done.stderr.splitlines()[-1].split()
    return int(exit_code), float(seconds), set(modules.split(","))


def test_help_loads_nothing_heavy() -> None:
    code, _, modules = measured(HELP)

    assert code == 0
    assert "batchmod.cli.main" in modules
    assert not modules & set(HEAVY)


def test_help_is_there_at_once() -> None:
    """Under 0.3 s of CPU beyond Python's own start, on the quietest of some tries."""
    told = min(measured(HELP)[1] for _ in range(3))
    bare = min(measured(NOTHING)[1] for _ in range(3))

    assert told - bare < 0.3


def test_python_m_batchmod_is_the_same_door() -> None:
    done = subprocess.run([sys.executable, "-m", "batchmod", "--help"], capture_output=True, text=True, check=True)

    assert "usage: batchmod" in done.stdout


@pytest.mark.parametrize("name", ["batchmod.manifest", "batchmod.planning", "batchmod.jobs", "batchmod.checkpoint"])
def test_deciding_and_remembering_need_no_network_and_no_pictures(name: str) -> None:
    code = f"import {name}\n{NOTHING}"

    assert not measured(code)[2] & NETWORK_AND_PICTURES


def test_the_record_knows_no_network_and_no_pictures_either() -> None:
    _, _, modules = measured(f"import batchmod.results, batchmod.files, batchmod.executors\n{NOTHING}")

    assert not modules & NETWORK_AND_PICTURES


def test_the_commands_of_a_service_need_no_pictures_until_there_are_some() -> None:
    _, _, modules = measured(f"import batchmod.cli.commands\n{NOTHING}")

    assert not modules & NETWORK_AND_PICTURES


def modules_with_a_public_list() -> list[str]:
    paths = [path for path in ROOT.rglob("*.py") if re.search(r"^__all__\b", path.read_text("utf-8"), re.MULTILINE)]
    inner = [path.relative_to(ROOT.parent).with_suffix("").as_posix() for path in paths]
    return sorted(name.removesuffix("/__init__").replace("/", ".") for name in inner)


@pytest.mark.parametrize("name", modules_with_a_public_list())
def test_what_a_module_offers_is_there(name: str) -> None:
    module = importlib.import_module(name)

    assert [word for word in module.__all__ if not hasattr(module, word)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_some_modules_offer_a_public_list() -> None:
    assert len(modules_with_a_public_list()) >= 3


def test_every_module_says_in_its_first_line_what_it_alone_does() -> None:
    texts = {path: path.read_text("utf-8") for path in ROOT.rglob("*.py")}

    assert [str(path) for path, text in texts.items() if not text.startswith('"""')] == []


def test_no_banner_divides_a_module() -> None:
    texts = {path: path.read_text("utf-8") for path in (*ROOT.rglob("*.py"), *ROOT.parent.glob("tests/**/*.py"))}

    assert [str(path) for path, text in texts.items() if re.search(r"^\s*#\s?[-=#*]{3,}", text, re.MULTILINE)] == []
