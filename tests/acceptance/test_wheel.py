"""The wheel stands alone: its schemas and its example are found without a checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(unpacked: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import batchmod; assert batchmod.__file__.startswith("
    code += f"{str(unpacked)!r}); from batchmod.cli import main; sys.exit(main({list(argv)!r}))"
    return subprocess.run([sys.executable, "-P", "-c", code], cwd=unpacked, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["manifest", "row", "results"])
def test_the_wheel_brings_its_schemas(unpacked: Path, name: str) -> None:
    done = run(unpacked, "schema", name)

    assert done.returncode == 0, done.stderr
    assert done.stdout == (CHECKOUT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")


def test_the_wheel_brings_a_demo_that_checks_without_a_problem(unpacked: Path) -> None:
    done = run(unpacked, "check", str(unpacked / "batchmod" / "_manifests" / "demo.yaml"))

    assert (done.returncode, done.stderr) == (0, "")
    assert "4 rows, no problems" in done.stdout


def test_the_wheel_brings_the_page_and_the_record(unpacked: Path) -> None:
    for name in ("report/page.css", "report/page.js", "checkpoint/schema.sql", "py.typed", "__init__.pyi"):
        assert (unpacked / "batchmod" / name).exists()
