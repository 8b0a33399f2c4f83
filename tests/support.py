"""What tests of the whole product share: small clips, manifests, the command line, and reading what a run left."""

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from batchmod.checkpoint import FILE_NAME
from batchmod.cli import main
from batchmod.runner import delivering
from tests import events, guards
from tests.servers.clips import Clip, encoded, unique
from tests.servers.standin import StandIn

PACE = ("--submits-per-minute", "6000", "--polls-per-minute", "60000")
"""Options that take the waiting out of a run against a stand-in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str


def call(*argv: str | Path, environ: Mapping[str, str], cwd: Path | None = None) -> Ran:
    """Run a command in this process, with exactly this environment but for PATH."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if guards.is_secret(name) or name.startswith("BATCHMOD_"):
                patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(_in_time(argv))
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def command(*argv: str | Path, environ: Mapping[str, str], cwd: Path | None = None, under: Sequence[str] = ()) -> Ran:
    """Run a command as a user does: a process of its own, without a terminal; `under` goes before it."""
    done = subprocess.run(
        [*under, sys.executable, "-m", "batchmod", *_in_time(argv)],
        env=bare_environment() | dict(environ),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def _in_time(argv: Sequence[str | Path]) -> list[str]:
    """A run without what it makes beside itself, unless the test asks for it: that depends on how fast a core is."""
    words = [str(word) for word in argv]
    asked = {"--wait-scores", "--score-remote", "--no-scores"} & set(words)
    return words if asked or words[:1] != ["run"] else [*words, "--no-scores"]


def as_anyone() -> tuple[str, ...]:
    """What starts a command to which permissions apply: root reads and writes every file, unless it lets go of that."""
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def bare_environment() -> dict[str, str]:
    """The environment without anything of a provider's or of ours."""
    own = ("BATCHMOD_",)
    return {name: v for name, v in os.environ.items() if not guards.is_secret(name) and not name.startswith(own)}


def write_clip(path: Path, clip: Clip | None = None, *, mark: str = "") -> Path:
    """A small real MP4; clips with different marks have different content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = encoded(clip or Clip())
    path.write_bytes(unique(video, mark) if mark else video)
    return path


def write_picture(path: Path, *, width: int = 64, height: int = 48) -> Path:
    """A small real PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    across = np.linspace(0, 255, width, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(np.broadcast_to(across[:, None], (height, width, 3)).copy(), format="rgb24")
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_manifest(path: Path, rows: Iterable[Mapping[str, Any]], **top: Any) -> Path:
    """A YAML manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"version": 1, **top, "clips": [dict(row) for row in rows]}, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def remote_rows(*ids: str) -> list[dict[str, Any]]:
    """Rows with clips on the web, each another request."""
    return [
        {"id": row_id, "video_url": f"https://example.com/{row_id}.mp4", "prompt": f"as wool, {row_id}"}
        for row_id in ids
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shoot:
    """A folder with a manifest that a stand-in is to work on."""

    server: StandIn
    home: Path
    manifest: Path
    provider: str = "segmind"

    @property
    def folder(self) -> Path:
        """Where its outputs go."""
        return self.manifest.parent / "outputs" / self.manifest.stem

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its runs."""
        return {**self.server.environment(), "BATCHMOD_HOME": str(self.home)}

    def rows(self, rows: Iterable[Mapping[str, Any]], **top: Any) -> None:
        """Write its manifest anew."""
        write_manifest(self.manifest, rows, **top)

    def run(self, *argv: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """`batchmod run` on the stand-in, paid, in this process."""
        words = (
            "run",
            str(self.manifest),
            "--provider",
            self.provider,
            "--yes",
            "--history-grace",
            "0.3",
            *PACE,
            *argv,
        )
        log = self.folder / "events.jsonl"
        before = log.stat().st_size if log.exists() else 0
        done = call(*words, environ=self.environ if environ is None else environ, cwd=cwd)
        if log.exists():
            events.check_all(log.read_bytes()[before:].decode())
        if "--json" in argv:
            events.check_all(done.out)
        return done

    def results(self) -> dict[str, dict[str, str]]:
        """id → its line of results.csv."""
        return {line["id"]: line for line in read_results(self.folder)}

    def statuses(self) -> dict[str, str]:
        """id → status."""
        return {row_id: line["status"] for row_id, line in self.results().items()}

    def outputs(self) -> list[str]:
        """The names of the finished videos."""
        return sorted(path.name for path in (self.folder / "videos").glob("*"))


def shoot(
    folder: Path, server: StandIn, rows: Iterable[Mapping[str, Any]], *, at: str = "segmind", **top: Any
) -> Shoot:
    """A folder with a manifest of these rows, for the stand-in of the provider `at` to work on."""
    made = Shoot(server=server, home=folder / "home", manifest=folder / "shots.yaml", provider=at)
    made.rows(rows, **top)
    return made


def paid_long_ago(work: Shoot, *, days: float) -> None:
    """Let the record and the service remember everything as so many days older."""
    work.server.advance(days * 86400)
    with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
        db.execute("UPDATE work SET submitted_at = submitted_at - ?", (days * 86400,))


def few_tries_at_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs in this process try each download twice: five tries at a file that is gone take eight seconds."""
    monkeypatch.setattr(delivering, "_TRIES", 2)


def read_results(folder: Path) -> list[dict[str, str]]:
    """The lines of results.csv as any CSV reader sees them."""
    with (folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The lines of events.jsonl."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def video_facts(path: Path) -> Clip:
    """Size, frames, rate and sound of a video, by decoding all of it."""
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        rate = int(stream.average_rate or 0)
        return Clip(
            width=stream.width, height=stream.height, frames=frames, fps=rate, audio=bool(container.streams.audio)
        )


def files_holding(text: str, *folders: Path) -> Sequence[Path]:
    """Every file below the folders whose bytes hold the text."""
    wanted = text.encode()
    every = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in every if wanted in path.read_bytes()]
