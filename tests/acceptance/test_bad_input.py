"""What a user gets wrong: all of it at once, each with its place and its cure, and nothing sent."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import (
    PACE,
    Ran,
    as_anyone,
    call,
    command,
    read_results,
    shoot,
    write_clip,
    write_manifest,
    write_picture,
)

GOOD = "  - {id: good, video_url: clip.mp4, prompt: as wool}\n"


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def _without_warnings(err: str) -> str:
    """What `check` says of the rows that are good is left out."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("warning: "))


def refused(server: SegmindStandIn, folder: Path, name: str, content: str | bytes, *more: str) -> Ran:
    """What `check` and a paid `run` both answer to a manifest, which is a refusal that costs and leaves nothing."""
    if not (folder / "clip.mp4").exists():
        write_clip(folder / "clip.mp4")
    manifest = folder / name
    manifest.write_bytes(content.encode() if isinstance(content, str) else content)
    environ = {**server.environment(), "BATCHMOD_HOME": str(folder / "home")}
    ran = [
        call(*words, *more, "--provider", "segmind", environ=environ)
        for words in (("check", name), ("plan", name), ("run", "--yes", name))
    ]

    assert [done.code for done in ran] == [2, 2, 2]
    assert [_without_warnings(done.err) for done in ran] == [ran[1].err] * 3
    assert [done.out for done in ran] == ["", "", ""]
    assert "nothing was sent" in ran[0].err
    assert server.ledger.requests == ()
    assert not (folder / "outputs").exists()
    return ran[-1]


def lines(done: Ran) -> list[str]:
    """What was said, without the source lines and carets under it."""
    return [line for line in done.err.splitlines() if not line.startswith("  ")]


# (file, content, what each line must say: place first)
ONE_PROBLEM: dict[str, tuple[str, str | bytes, str]] = {
    "not_yaml": ("m.yaml", "clips:\n  - id: a\n   video_url: b\n", r"m\.yaml:3:\d+: .*"),
    "not_yaml_quote": ("m.yaml", 'clips:\n  - id: "a\n', r"m\.yaml:\d+:\d+: .*"),
    "not_utf8": (
        "m.yaml",
        b"clips:\n  - {id: a, video_url: clip.mp4, prompt: \xff\xfe}\n",
        r"m\.yaml:2:42: not UTF-8.*",
    ),
    "csv_not_utf8": ("m.csv", b"id,video_url\na,\xff\xfe.mp4\n", r"m\.csv:2.*UTF-8.*"),
    "empty_yaml": ("m.yaml", "", r"m\.yaml.*"),
    "empty_csv": ("m.csv", "", r"m\.csv.*"),
    "no_rows_yaml": ("m.yaml", "clips: []\n", r"m\.yaml:1:\d+.*"),
    "no_rows_csv": ("m.csv", "id,video_url\n", r"m\.csv.*"),
    "unknown_key": ("m.yaml", f"nmae: x\nclips:\n{GOOD}", r"m\.yaml:1:1: unknown key 'nmae'; did you mean 'name'\?"),
    "near_miss": (
        "m.yaml",
        "clips:\n  - {video_url: clip.mp4, promt: x}\n",
        r"m\.yaml:2:\d+: .*did you mean 'prompt'.*",
    ),
    "near_miss_csv": ("m.csv", "id,video_url,promt\na,clip.mp4,x\n", r"m\.csv:1:C: .*did you mean 'prompt'.*"),
    "no_clip": ("m.yaml", "clips:\n  - {id: a, prompt: x}\n", r"m\.yaml:2:\d+ \(video_url\): .*missing.*"),
    "no_clip_csv": ("m.csv", "id,video_url\na,clip.mp4\nb,\n", r"m\.csv:3:B \(video_url\): .*"),
    "no_such_mode": (
        "m.yaml",
        "clips:\n  - {video_url: clip.mp4, mode: adhere_4}\n",
        r"m\.yaml:2:\d+ \(mode\): 'adhere_4' is not a mode; did you mean 'adhere_\d'\?",
    ),
    "no_such_mode_csv": ("m.csv", "video_url,mode\nclip.mp4,flex\n", r"m\.csv:2:B \(mode\): 'flex' is not a mode.*"),
    "duplicate_id": (
        "m.yaml",
        f"clips:\n{GOOD}  - {{id: Good, video_url: clip.mp4}}\n",
        r"m\.yaml:3:\d+ \(id\): duplicate id 'Good'.*m\.yaml:2:\d+.*",
    ),
    "duplicate_id_csv": (
        "m.csv",
        "id,video_url\na,clip.mp4\na,clip.mp4\n",
        r"m\.csv:3:A \(id\): duplicate id 'a'.*m\.csv:2:A.*",
    ),
    "id_with_a_slash": (
        "m.yaml",
        "clips:\n  - {id: ../a, video_url: clip.mp4}\n",
        r"m\.yaml:2:\d+ \(id\): '\.\./a' .*",
    ),
    "id_of_a_device": ("m.csv", "id,video_url\nNUL,clip.mp4\n", r"m\.csv:2:A \(id\): 'NUL' could not be a file name.*"),
    "clip_not_there": (
        "m.yaml",
        f"clips:\n{GOOD}  - {{id: a, video_url: clips/no.mp4}}\n",
        r"m\.yaml:3:\d+ \(video_url\): 'clips/no\.mp4' is not there \(looked for /.*clips/no\.mp4\)",
    ),
    "frame_not_there": (
        "m.csv",
        "id,video_url,first_frame_url\na,clip.mp4,no.png\n",
        r"m\.csv:2:C \(first_frame_url\): 'no\.png' is not there.*",
    ),
    "clip_is_a_folder": ("m.csv", "video_url\n.\n", r"m\.csv:2:A \(video_url\): '\.' is a folder, not a file"),
    "clip_outside": ("m.csv", "video_url\n/etc/hostname\n", r"m\.csv:2:A \(video_url\): .*--allow-outside.*"),
    "clip_by_ftp": ("m.csv", "video_url\nftp://x/a.mp4\n", r"m\.csv:2:A \(video_url\): 'ftp://x/a\.mp4' .*"),
    "no_such_provider": (
        "m.yaml",
        "clips:\n  - {video_url: clip.mp4, provider: [segmind]}\n",
        r"m\.yaml:2:\d+.*provider.*",
    ),
}


@pytest.mark.parametrize("name", ONE_PROBLEM)
def test_a_mistake_is_one_line_with_its_place(name: str, server: SegmindStandIn, tmp_path: Path) -> None:
    file, content, line = ONE_PROBLEM[name]
    problem, count = lines(refused(server, tmp_path, file, content))

    assert re.fullmatch(line, problem)
    assert count == "1 problem; nothing was sent."


def test_a_page_in_place_of_a_sheet_is_refused_with_words(server: SegmindStandIn, tmp_path: Path) -> None:
    *problems, _ = lines(refused(server, tmp_path, "m.csv", "<html><body>Sign in</body></html>\n"))

    assert problems
    assert [line for line in problems if not line.startswith("m.csv")] == []


def test_all_mistakes_are_said_at_once_in_the_order_of_the_file(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = ["id,video_url,mode,first_frame_url", "a,clip.mp4,flex_9,", "a,clip.mp4,,", "c,,,", "con,clip.mp4,,"]
    *problems, count = lines(refused(server, tmp_path, "m.csv", "\n".join(rows) + "\n"))

    assert [line.split(" ")[0] for line in problems] == ["m.csv:2:C", "m.csv:3:A", "m.csv:4:B", "m.csv:5:A"]
    assert count == "4 problems; nothing was sent."


def test_all_missing_files_are_said_at_once(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = ["id,video_url,first_frame_url", "a,no.mp4,no.png", "b,clip.mp4,", "c,neither.mp4,clip.mp4"]
    *problems, count = lines(refused(server, tmp_path, "m.csv", "\n".join(rows) + "\n"))

    assert [line.split(" ")[0] for line in problems] == ["m.csv:2:B", "m.csv:2:C", "m.csv:4:B"]
    assert count == "3 problems; nothing was sent."


def test_all_mistakes_of_several_manifests_are_said_at_once(server: SegmindStandIn, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("clips: []\n", encoding="utf-8")
    content = "video_url,mode\nno.mp4,flex_9\n"
    err = refused(server, tmp_path, "m.csv", content, "other.yaml").err

    assert "m.csv:2:B (mode)" in err
    assert "other.yaml:1:" in err


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_clip_that_may_not_be_read_is_said_before_anything_is_sent(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "closed.mp4").chmod(0)
    (tmp_path / "m.csv").write_text("video_url\nclosed.mp4\n", encoding="utf-8")
    environ = {**server.environment(), "BATCHMOD_HOME": str(tmp_path / "home")}
    done = command("run", "--yes", "--provider", "segmind", "m.csv", environ=environ, cwd=tmp_path, under=as_anyone())

    assert done.code == 2
    assert done.err.splitlines()[0] == "m.csv:2:A (video_url): 'closed.mp4' may not be read"
    assert server.ledger.requests == ()


def test_a_manifest_that_is_not_there_is_said(server: SegmindStandIn, tmp_path: Path) -> None:
    done = call("run", "no.yaml", environ=server.environment(), cwd=tmp_path)

    assert done.code == 2
    assert done.err.startswith("no.yaml: cannot be read: no such file")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("run",), "MANIFEST"),
        (("run", "m.csv", "--frist", "3"), "--frist"),
        (("run", "m.csv", "--first", "0"), "1 or more"),
        (("run", "m.csv", "--max-cost-usd", "-1"), "0 or more"),
        (("run", "m.csv", "--provider", "segmint"), "'segmint' is not a provider; there are segmind"),
        (("run", "m.csv", "--where", "shot"), "--where takes NAME=VALUE, not 'shot'"),
        (("status", "nowhere"), "nowhere is not there"),
        (("rnu",), "rnu"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_named(words: tuple[str, ...], text: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "m.csv").write_text("video_url\nclip.mp4\n", encoding="utf-8")
    done = command(*words, environ={}, cwd=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert "Traceback" not in done.err


def _no_video(path: Path) -> None:
    path.write_bytes(b"This is a text, whatever its name says.\n" * 50)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    write_clip(path)
    path.write_bytes(path.read_bytes()[:400])


def _playlist(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile good.mp4\n", encoding="utf-8")


BAD_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a_text": ("not_a_video", _no_video),
    "empty": ("empty_file", _empty),
    "cut": ("broken_video", _cut),
    "a_playlist": ("not_a_video", _playlist),
}


@pytest.mark.parametrize("provider", ["local", "segmind"])
def test_rows_with_unusable_files_fail_and_the_others_go_on(
    provider: str, server: SegmindStandIn, tmp_path: Path
) -> None:
    write_clip(tmp_path / "good.mp4")
    write_picture(tmp_path / "frame.png")
    _no_video(tmp_path / "no_picture.png")
    rows = [{"id": "good", "video_url": "good.mp4", "first_frame_url": "frame.png", "prompt": "as wool"}]
    for name, (_, make) in BAD_FILES.items():
        make(tmp_path / f"{name}.mp4")
        rows.append({"id": name, "video_url": f"{name}.mp4", "prompt": "as wool"})
    rows.append({"id": "frame", "video_url": "good.mp4", "first_frame_url": "no_picture.png"})
    work = shoot(tmp_path, server, rows)
    done = call("run", work.manifest, "--provider", provider, "--yes", *PACE, environ=work.environ)

    assert done.code == 1, done.err

    lines = work.results()

    assert lines["good"]["status"] == "succeeded"
    expected = {name: slug for name, (slug, _) in BAD_FILES.items()} | {"frame": "not_an_image"}
    assert {row_id: line["error_code"] for row_id, line in lines.items() if row_id != "good"} == expected
    for row_id in expected:
        file = "no_picture.png" if row_id == "frame" else f"{row_id}.mp4"
        assert lines[row_id]["error"].startswith(f"{file}: ")
        assert f"{row_id}: failed: {file}: " in done.err
        assert (lines[row_id]["billed"], lines[row_id]["output"]) == ("false", "")
    assert server.ledger.submits_seen == (provider == "segmind")


def test_check_says_what_is_wrong_with_the_files_too(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4")
    _no_video(tmp_path / "bad.mp4")
    rows = [{"id": "good", "video_url": "good.mp4"}, {"id": "bad", "video_url": "bad.mp4"}]
    write_manifest(tmp_path / "m.yaml", rows)
    done = call("check", "m.yaml", environ={}, cwd=tmp_path)

    assert done.code == 2
    assert re.match(r"m\.yaml:\d+:\d+.*: bad\.mp4: ", done.err)
    assert not (tmp_path / "outputs").exists()


def test_a_clip_beyond_the_providers_limits_fails_before_it_is_sent(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", Clip(width=16, height=16, frames=61, fps=2, audio=False))
    write_clip(tmp_path / "good.mp4")
    work = shoot(tmp_path, server, [{"id": "long", "video_url": "long.mp4"}, {"id": "good", "video_url": "good.mp4"}])
    done = work.run()

    assert done.code == 1, done.err

    lines = {line["id"]: line for line in read_results(work.folder)}

    assert (lines["long"]["error_code"], lines["good"]["status"]) == ("clip_too_long", "succeeded")
    assert "30.5 s" in lines["long"]["error"]
    assert (server.ledger.uploads, server.ledger.submits_seen) == (1, 1)
