"""`batchmod looks`: what a prompt can ask of the embedded engine, in words and in a picture."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from batchmod import media
from batchmod.cli import main
from batchmod.engine import looks
from batchmod.engine.looks.sheet import sheet
from tests.engine.pictures import demo_frames, write_clip

WITHOUT_OPENCV = """
import importlib.util, sys
whole = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("cv2", "numba") else whole(name, *rest)
from batchmod.cli import main
sys.exit(main({argv!r}))
"""


def test_every_look_modifier_and_colour_is_listed_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["looks"])
    said = capsys.readouterr()

    assert (code, said.err) == (0, "")
    flat = " ".join(said.out.split())
    words = {look.name: look.words for look in looks.LOOKS} | {each.name: each.words for each in looks.MODIFIERS}
    assert [name for name, own in words.items() if f"{name} {', '.join(own)}" not in flat] == []
    assert set(looks.COLOURS) <= set(re.findall(r"\w+", flat))
    assert max(map(len, said.out.splitlines())) <= 100


def test_a_machine_can_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["looks", "--json"])
    told = json.loads(capsys.readouterr().out)

    assert code == 0
    assert [look["name"] for look in told["looks"]] == list(looks.names())
    assert [each["name"] for each in told["modifiers"]] == [modifier.name for modifier in looks.MODIFIERS]
    assert told["looks"][0]["words"] == list(looks.LOOKS[0].words)
    assert told["colours"]["teal"] == "#007880"
    assert told["sheet"] is None


def test_the_sheet_is_a_picture_of_the_examples_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["looks", "--sheet", str(tmp_path / "all.png")])
    told = capsys.readouterr().out

    assert code == 0
    assert str(tmp_path / "all.png") in told
    page = media.read_image(tmp_path / "all.png")
    rows = -(-(1 + len(looks.LOOKS) + len(looks.MODIFIERS) + 3) // 4)
    assert page.shape[1] == 4 * 412 + 12
    assert page.shape[0] // rows > 225


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_the_sheet_can_be_drawn_from_ones_own_picture(tmp_path: Path, kind: str) -> None:
    red = np.full((64, 96, 3), (200, 30, 30), np.uint8)
    own = tmp_path / ("own.mp4" if kind == "clip" else "own.png")
    if kind == "clip":
        write_clip(own, [red])
    else:
        media.write_png(own, red)

    assert main(["looks", "--sheet", str(tmp_path / "all.png"), "--frame", str(own)]) == 0
    first = media.read_image(tmp_path / "all.png")[20:200, 20:300].reshape(-1, 3)
    assert np.abs(first.mean(axis=0) - (200, 30, 30)).max() < 12


@pytest.mark.parametrize(
    ("width", "height"), [(16, 12), (90, 160), (20, 1200), pytest.param(2000, 20, marks=pytest.mark.slow)]
)
def test_a_sheet_is_drawn_from_any_shape(width: int, height: int) -> None:
    page = sheet(np.full((height, width, 3), 120, np.uint8))

    assert page.shape[1] == 4 * 412 + 12


def test_every_tile_of_the_sheet_differs_and_has_its_label() -> None:
    page = sheet(demo_frames(1, 480, 270)[0])
    count = 1 + len(looks.LOOKS) + len(looks.MODIFIERS) + 3
    height = (page.shape[0] - 12) // -(-count // 4)
    cells = [
        page[12 + row * height :, 12 + column * 412 :][: height - 12, :400]
        for row, column in (divmod(number, 4) for number in range(count))
    ]

    pictures, labels = [cell[:-46] for cell in cells], [cell[-46:] for cell in cells]
    assert all((label.min(axis=-1) < 120).sum() > 100 for label in labels)
    assert len({picture.tobytes() for picture in pictures}) == count


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--frame", "a.png"], "--sheet"),
        (["--sheet", "all.jpg"], "name it all.png"),
        (["--sheet", "nowhere/all.png"], "nowhere is no folder"),
        (["--sheet", "all.png", "--frame", "none.mp4"], "none.mp4 is not there"),
    ],
)
def test_what_cannot_be_is_said(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["looks", *argv])
    said = capsys.readouterr().err

    assert code == 2
    assert words in said


def test_a_text_is_no_picture_to_draw_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    code = main(["looks", "--sheet", str(tmp_path / "all.png"), "--frame", str(tmp_path / "notes.txt")])

    assert code == 1
    assert "[not_a_video]" in capsys.readouterr().err
    assert not (tmp_path / "all.png").exists()


@pytest.mark.parametrize("argv", [["looks"], ["looks", "--json"], ["looks", "--sheet", "all.png"]])
def test_without_the_engine_it_says_how_to_install_it(argv: list[str]) -> None:
    code = WITHOUT_OPENCV.format(argv=argv)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "pip install 'batchmod[local]'" in done.stderr
    assert "[missing_extra]" in done.stderr
    assert "Traceback" not in done.stderr
