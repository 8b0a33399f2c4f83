"""Which name a copy gets, and whose files are never touched: by what the folder and its ledger say."""

import json
from pathlib import Path

import pytest

from batchmod import files
from batchmod.app.delivered import FOLDER, LEDGER, Copy, Ledger, Place, shown

OUTPUT = "videos/a_v001.mp4"


def place(ledger: Ledger, *, recipe: str = "h264", of: str = "1", source: str = "s", suffix: str = ".mp4") -> Place:
    return ledger.place(OUTPUT, suffix=suffix, of=of, source=source, recipe=recipe)


def put(folder: Path, content: bytes, *, recipe: str = "h264", of: str = "1", source: str = "s") -> str:
    """Make a copy as a session does; its name."""
    ledger = Ledger(folder)
    at = place(ledger, recipe=recipe, of=of, source=source)
    part = folder / FOLDER / ".part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    sha256 = files.sha256_of(part)
    ledger.put(part, at, Copy(output=OUTPUT, of=of, source=source, recipe=recipe, sha256=sha256, notes=("said",)))
    ledger.save()
    return at.name


def test_a_copy_is_named_after_its_version_and_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    names = [
        ledger.place(output, suffix=".mov", of="1", source="s", recipe="r").name
        for output in ("videos/a_v001.mp4", "videos/day 1/a.b_v002.mp4")
    ]

    assert names == ["delivered/a_v001.mov", "delivered/day 1/a.b_v002.mov"]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    name = put(tmp_path, b"one")

    assert place(Ledger(tmp_path)) == Place(
        name=name, state="there", older=files.sha256_of(tmp_path / name), notes=("said",)
    )
    assert shown(tmp_path) == {OUTPUT: name}


@pytest.mark.parametrize("changed", [{"recipe": "prores"}, {"of": "2"}, {"source": "t"}])
def test_another_recipe_output_or_source_replaces_what_we_wrote(tmp_path: Path, changed: dict[str, str]) -> None:
    name = put(tmp_path, b"one")

    assert place(Ledger(tmp_path), **changed).state == "stale"
    assert put(tmp_path, b"two", **changed) == name
    assert (tmp_path / name).read_bytes() == b"two"
    assert place(Ledger(tmp_path), **changed).state == "there"


def test_a_copy_that_was_deleted_is_made_again_under_its_name(tmp_path: Path) -> None:
    name = put(tmp_path, b"one")
    (tmp_path / name).unlink()

    assert place(Ledger(tmp_path)) == Place(name=name, state="free")
    assert shown(tmp_path) == {}


def test_a_copy_that_a_person_changed_is_theirs_and_a_newer_one_gets_another_name(tmp_path: Path) -> None:
    name = put(tmp_path, b"one")
    (tmp_path / name).write_bytes(b"graded")

    assert place(Ledger(tmp_path)).state == "changed"
    assert put(tmp_path, b"two", recipe="crop") == "delivered/a_v001-2.mp4"
    assert (tmp_path / name).read_bytes() == b"graded"
    assert place(Ledger(tmp_path), recipe="crop").state == "there"
    assert shown(tmp_path) == {OUTPUT: "delivered/a_v001-2.mp4"}


def test_a_file_of_somebody_elses_keeps_its_name(tmp_path: Path) -> None:
    theirs = tmp_path / "delivered" / "a_v001.mp4"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")

    assert put(tmp_path, b"one") == "delivered/a_v001-2.mp4"
    assert theirs.read_bytes() == b"theirs"
    assert place(Ledger(tmp_path)).state == "there"


@pytest.mark.parametrize("state", ["a folder", "a link to nothing"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, state: str) -> None:
    name = put(tmp_path, b"one")
    (tmp_path / name).unlink()
    if state == "a folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to(tmp_path / "nowhere")

    assert place(Ledger(tmp_path), recipe="crop").name == "delivered/a_v001-2.mp4"


def test_a_kill_between_ledger_and_rename_leaves_a_copy_that_is_ours(tmp_path: Path) -> None:
    name = put(tmp_path, b"one")
    ledger = Ledger(tmp_path)
    at = place(ledger, recipe="crop")
    gone = tmp_path / FOLDER / ".gone.part"  # the kill: nothing was renamed
    gone.write_bytes(b"two")
    copy = Copy(output=OUTPUT, of="1", source="s", recipe="crop", sha256=files.sha256_of(gone))
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="part"):
        ledger.put(gone, at, copy)

    again = place(Ledger(tmp_path), recipe="crop")

    assert (again.name, again.state) == (name, "stale")
    assert put(tmp_path, b"two", recipe="crop") == name
    assert (tmp_path / name).read_bytes() == b"two"


def test_a_kill_after_the_rename_leaves_a_copy_that_is_there(tmp_path: Path) -> None:
    put(tmp_path, b"one")
    ledger = json.loads((tmp_path / FOLDER / LEDGER).read_text())
    (entry,) = ledger.values()
    entry.update(size=-1, mtime_ns=-1)
    (tmp_path / FOLDER / LEDGER).write_text(json.dumps(ledger))

    assert place(Ledger(tmp_path)).state == "there"


@pytest.mark.parametrize("damage", ["{", "[]", '{"delivered/a_v001.mp4": 3}', '{"delivered/a_v001.mp4": {"x": 1}}'])
def test_without_a_ledger_every_file_is_somebody_elses(tmp_path: Path, damage: str) -> None:
    name = put(tmp_path, b"one")
    (tmp_path / FOLDER / LEDGER).write_text(damage)

    assert place(Ledger(tmp_path)).name == "delivered/a_v001-2.mp4"
    assert (tmp_path / name).read_bytes() == b"one"
    assert shown(tmp_path) == {}


def test_a_full_row_of_names_is_an_error_and_no_loop(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number in range(1, 100):
        (folder / f"a_v001{'' if number == 1 else f'-{number}'}.mp4").touch()

    with pytest.raises(FileExistsError):
        place(Ledger(tmp_path))
