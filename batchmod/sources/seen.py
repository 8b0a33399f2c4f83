"""What looking at clips and pictures showed, remembered by their content: a second look costs nothing."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeVar

from batchmod import files, work
from batchmod.model import ClipFacts, FrameFacts, Source, VideoFacts
from batchmod.work import Refusal

FORM: Final = 1
"""Another number where what is seen of a file changes: what an older batchmod remembers is then looked at anew."""
Facts = TypeVar("Facts", ClipFacts, FrameFacts, VideoFacts)

SIDE_BY_SIDE: Final = 4
_MOST: Final = 100_000


class Seen:
    """Facts of clips and of first frames, by content; in `cache` from one command to the next, if there is one."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, dict[str, Any]] = {} if cache is None else _remembered(cache)
        self._changed = False

    def clips(self, sources: Iterable[Source]) -> dict[str, ClipFacts | Refusal]:
        """Location → the facts of each local clip, several looked at side by side."""
        wanted = {source.location: source for source in sources if source.local}
        known = {at: self._clip(source) for at, source in wanted.items()}
        unknown = [at for at, facts in known.items() if facts is None]
        found = dict(zip(unknown, _at_once(work.clip_facts, unknown), strict=True))
        for at, facts in found.items():
            if isinstance(facts, ClipFacts):
                self._keep(_key(wanted[at]), _as_json(facts))
        return {at: found[at] if facts is None else facts for at, facts in known.items()}

    def frames(self, pairs: Iterable[tuple[Source, Source]]) -> dict[tuple[str, str], FrameFacts | Refusal]:
        """(clip's location, picture's) → the two beside each other; both must be local."""
        wanted = {(clip.location, picture.location): (clip, picture) for clip, picture in pairs}
        known = {at: self._frame(*pair) for at, pair in wanted.items()}
        unknown = [at for at, facts in known.items() if facts is None]
        found = dict(zip(unknown, _at_once(lambda at: work.frame_facts(*at), unknown), strict=True))
        for at, facts in found.items():
            if isinstance(facts, FrameFacts):
                self._keep(_key(*wanted[at]), asdict(facts))
        return {at: found[at] if facts is None else facts for at, facts in known.items()}

    def save(self) -> None:
        """Keep what was learnt; a cache that cannot be written is done without."""
        if self._cache is None or not self._changed:
            return
        newest = dict(list(self._known.items())[-_MOST:])
        with contextlib.suppress(OSError):
            text = json.dumps({"form": FORM, "known": newest}).encode()
            files.write_whole(self._cache, lambda file: file.write(text))

    def _keep(self, key: str, facts: dict[str, Any]) -> None:
        self._known[key] = facts
        self._changed = True

    def _clip(self, source: Source) -> ClipFacts | None:
        said = self._known.get(_key(source))
        return None if said is None else _clip_facts(said)

    def _frame(self, clip: Source, picture: Source) -> FrameFacts | None:
        said = self._known.get(_key(clip, picture))
        return None if said is None else _whole(FrameFacts, said)


def _at_once(look: Any, wanted: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        return list(pool.map(look, wanted))


def _key(*sources: Source) -> str:
    return " ".join(str(source.sha256) for source in sources)


def _remembered(cache: Path) -> dict[str, dict[str, Any]]:
    """What a cache file holds: nothing where it is damaged or of another form."""
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = found.get("known") if isinstance(found, dict) and found.get("form") == FORM else None
    return {key: said for key, said in known.items() if isinstance(said, dict)} if isinstance(known, dict) else {}


def _as_json(facts: ClipFacts) -> dict[str, Any]:
    said = asdict(facts)
    said["pixel_shape"] = str(facts.pixel_shape)
    said["video"]["fps"] = None if facts.video.fps is None else str(facts.video.fps)
    return said


def _clip_facts(said: Mapping[str, Any]) -> ClipFacts | None:
    video = said.get("video")
    if not isinstance(video, dict):
        return None
    try:
        fps = None if video.get("fps") is None else Fraction(video["fps"])
        inner = _whole(VideoFacts, {**video, "fps": fps})
        if inner is None:
            return None
        return _whole(ClipFacts, {**said, "video": inner, "pixel_shape": Fraction(said["pixel_shape"])})
    except (ValueError, TypeError, KeyError, ZeroDivisionError):
        return None


def _whole(kind: type[Facts], said: Mapping[str, Any]) -> Facts | None:
    """The value these are the fields of; None where some are lacking or too many."""
    return kind(**said) if set(said) == {each.name for each in fields(kind)} else None
