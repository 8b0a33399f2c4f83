"""A page to send: report.html for somebody who need not know of money, with light videos, in one zip."""

import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

from batchmod import clock, executors, files, providers, report, work
from batchmod.app import folder as folders
from batchmod.app import outcomes, paging
from batchmod.checkpoint import Checkpoint
from batchmod.errors import UsageError
from batchmod.report import Card, Clip, Places, Shown

_LONGEST: Final = 640
_BIT_RATE: Final = 500_000
_MEDIA: Final = "media"
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip: when the studio worked is nobody's business, and one batch makes one zip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundled:
    """A zip that was packed."""

    path: Path
    clips: int
    """How many videos are in it."""
    bytes: int
    left: tuple[str, ...]
    """What could not be put in, and why."""


@dataclass(kw_only=True, slots=True)
class _Wanted:
    """The videos that the page will show: file → its name in the zip."""

    names: dict[Path, str] = field(default_factory=dict)

    def name(self, path: Path, like: str) -> str:
        """A name that no system minds and that tells nothing of where the file lies."""
        if path not in self.names:
            taken = {name.casefold() for name in self.names.values()}
            plain = files.safe_name(like) or "clip"
            number, name = 1, f"{_MEDIA}/{plain}.mp4"
            while name.casefold() in taken:
                number += 1
                name = f"{_MEDIA}/{plain}-{number}.mp4"
            self.names[path] = name
        return self.names[path]


def bundle(folder: Path, target: Path, *, state: Path | None = None) -> Bundled:
    """Pack the page and a light copy of every video that it shows: whole, or not at all.

    Only rows with an output are in it, each in the version that was kept, else in its newest. Raises UsageError where
    there is none.
    """
    with folders.look_at(folder, state=state) as record:
        noted, sources = _noted(record)
        places = Places(folder=folder, sources=sources, first_frames={})
        cards = list(report.cards_of(noted, places=places, background=paging.background(record, noted)))
        title, folder_id = record.fact("manifest_name") or folder.name, record.fact("folder_id") or ""
    cards.sort(key=lambda card: card.row)  # not what we doubt first
    wanted = _Wanted()
    shown = [_for_client(card, clip, wanted, folder, sources) for card in cards if (clip := _chosen(card)) is not None]
    if not shown:
        raise UsageError(f"{folder} has no output yet that could be sent")
    with tempfile.TemporaryDirectory(prefix="batchmod-") as scratch:
        gone = {path: "the file is not there any more" for path in wanted.names if not path.is_file()}
        there = {path: name for path, name in wanted.names.items() if path not in gone}
        refused = {**gone, **asyncio.run(_made(there, Path(scratch)))}
        lacking = {wanted.names[path] for path in refused}
        about = report.page.About(
            title=title,
            made_at=clock.iso(clock.now()),
            totals=report.Gathering().totals,
            shown=len(shown),
            folder_id=folder_id,
            for_client=True,
        )
        text = report.page.render(about, [_without(card, lacking) for card in shown])
        path = files.write_whole(target.absolute(), lambda file: _pack(file, text, wanted.names, Path(scratch)))
    left = tuple(f"left out: {path.name}: {why}" for path, why in sorted(refused.items()))
    return Bundled(path=path, clips=len(wanted.names) - len(refused), bytes=path.stat().st_size, left=left)


def _noted(record: Checkpoint) -> tuple[report.Gathering, dict[str, str]]:
    noted = report.Gathering()
    for _ in noted.watch(outcomes.lines(record)):
        pass
    located = {row.id: row.fields["source"] for row in record.stored_rows() if row.fields.get("source")}
    return noted, located


def _chosen(card: Card) -> Clip | None:
    """The version that a person has kept, else the newest."""
    versions = [clip for clip in (card.after, *card.older) if clip is not None]
    kept = (clip for clip in versions if card.review == "keep" and clip.version == card.review_of)
    return next(kept, card.after)


def _for_client(card: Card, clip: Clip, wanted: _Wanted, folder: Path, sources: Mapping[str, str]) -> Card:
    """The row as a client sees it: no money, no request, no doubt, no place on our disks, no column of the studio's."""
    output = folder / clip.shown.name
    after = wanted.name(output, output.stem)
    source = Path(sources.get(card.id, ""))
    is_here = card.before.href is not None and source.is_absolute()
    name = wanted.name(source, f"{source.stem}-before") if is_here else None
    before = Shown(name=source.stem, href=name) if is_here else Shown(name="before", href=None)
    return replace(
        card,
        before=before,
        before_thumb=None,
        after=Clip(version=clip.version, shown=Shown(name=output.name, href=after), size=clip.size, fps=clip.fps),
        older=(),
        first_frame=None,
        flagged=False,
        to_look_at=False,
        scores=(),
        facts=tuple(
            text if name in ("size", "rate", "length") else "" for name, text in _named(clip.facts or card.facts)
        ),
        copy=None,
        cost_usd=None,
        finished_at=None,
        own=(),
        flag_reason=None,
        error_code=None,
        error=None,
        warnings=None,
        advice=None,
        review=None,
        review_of=None,
        review_note=None,
        news=None,
        run_id=None,
        manifest=None,
    )


def _named(facts: Iterable[str]) -> Iterator[tuple[str, str]]:
    return zip(report.FACTS, facts, strict=True)


def _without(card: Card, lacking: Iterable[str]) -> Card:
    """The card without references to videos that could not be made."""
    gone = set(lacking)
    before = replace(card.before, href=None) if card.before.href in gone else card.before
    after = None if card.after is None or card.after.shown.href in gone else card.after
    return replace(card, before=before, after=after)


async def _made(names: Mapping[Path, str], scratch: Path) -> dict[Path, str]:
    """Make every video small, some side by side; those that cannot be, and why."""
    (scratch / _MEDIA).mkdir()
    keys = tuple(key for name in providers.NAMES if (key := providers.facts(name).key_env))
    pool = executors.Processes(max(1, min(executors.cores(), len(names))), drop_environment=keys)
    refused: dict[Path, str] = {}

    async def make(path: Path, name: str) -> None:
        said: Any = await pool.submit(work.proxy, str(path), str(scratch / name), _LONGEST, _BIT_RATE)
        if isinstance(said, work.Refusal):
            refused[path] = said.message
            (scratch / name).unlink(missing_ok=True)

    try:
        await asyncio.gather(*(make(path, name) for path, name in names.items()))
    finally:
        pool.close()
    return refused


def _pack(file: IO[bytes], text: Iterator[str], names: Mapping[Path, str], scratch: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open(_entry(report.FILE_NAME, zipfile.ZIP_DEFLATED), "w") as page:
            report.pieces(text)(page)
        for name in names.values():
            if (scratch / name).exists():
                with (scratch / name).open("rb") as small, archive.open(_entry(name, zipfile.ZIP_STORED), "w") as entry:
                    shutil.copyfileobj(small, entry)


def _entry(name: str, how: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.compress_type = how
    entry.external_attr = 0o644 << 16
    return entry
