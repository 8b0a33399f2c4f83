"""`recheck_sources: etag`: clips and pictures on the web that are others now make other requests.

What was seen is kept beside the outputs. Only a run asks; a plan says what the last one has seen.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchmod import clock, files, freshness, jobs, sources
from batchmod.app.loading import Loaded, provider_of
from batchmod.app.options import Options
from batchmod.filetypes import sniff
from batchmod.freshness import Look, Seen, Verdict
from batchmod.jobs import Jobs, PlainJobs
from batchmod.jobs import parts_of as jobs_in_parts
from batchmod.model import Job, Row, Source
from batchmod.rows import parts_of
from batchmod.urls import cut

FILE_NAME: Final = "sources.json"
FORM: Final = 1
_ALL_S: Final = 600.0
_WORDS: Final = {
    Verdict.UNREACHABLE: "could not be reached",
    Verdict.NO_ETAG: "have no strong ETag, so that nobody can tell whether they have changed",
    Verdict.UNSURE: "have an ETag that changes from answer to answer, or give no part of themselves",
    Verdict.NO_MEDIA: "answer with something that is no video and no picture",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rechecked:
    """A manifest as its clips are now, and what could not be found out."""

    loaded: Loaded
    warnings: tuple[str, ...] = ()


def settled(loaded: Loaded, options: Options) -> Loaded:
    """The manifest with what the last run has seen; nobody is asked."""
    if not loaded.manifest.recheck_sources:
        return loaded
    return _with(loaded, options, _read(loaded.folder / FILE_NAME))


def asked(loaded: Loaded, options: Options) -> Rechecked:
    """Ask the servers of all chosen rows' clips and pictures, remember the answers; blocks."""
    if not loaded.manifest.recheck_sources:
        return Rechecked(loaded=loaded)
    path = loaded.folder / FILE_NAME
    known, urls = _read(path), _urls(loaded)
    now, verdicts = _looked_at(known, urls)
    if now != known:
        said = {"form": FORM, "sources": {key: freshness.as_json(seen) for key, seen in sorted(now.items())}}
        text = json.dumps(said, indent=1).encode()
        files.write_whole(path, lambda file: file.write(text))
    counts = Counter(verdicts.values())
    warnings = (
        f"recheck_sources: {counts[each]} of {len(urls)} {words}" for each, words in _WORDS.items() if counts[each]
    )
    tail = "; taken for what was last seen there"
    return Rechecked(loaded=_with(loaded, options, now), warnings=tuple(f"{each}{tail}" for each in warnings))


def _looked_at(known: Mapping[str, Seen], urls: Mapping[str, str]) -> tuple[dict[str, Seen], dict[str, Verdict]]:
    """What is known now, and what each look has shown. `urls`: key → where it is fetched."""
    from batchmod.transport.asking import PIECE_BYTES

    first = sources.ask(dict.fromkeys(urls.values(), False), all_s=_ALL_S)
    tags = {
        key: (said.etag if (said := first.get(url)) is not None and not said.problem else None)
        for key, url in urls.items()
    }
    unknown = [key for key, tag in tags.items() if tag is not None and freshness.must_be_read(known.get(key), tag)]
    second = sources.ask({urls[key]: True for key in unknown}, all_s=_ALL_S)
    now, verdicts = dict(known), {}
    for key, tag in tags.items():
        look = Look(etag=tag or "", reached=tag is not None)
        if key in unknown and (read := second.get(urls[key])) is not None and not read.problem:
            kind = sniff(read.head)
            look = replace(
                look,
                again_etag=read.etag,
                content=freshness.content_of(read.size, read.head, read.tail, piece=PIECE_BYTES),
                is_media=bool(kind.video or kind.image),
            )
        seen, verdicts[key] = freshness.judged(known.get(key), look, at=clock.iso(clock.now()))
        now |= {} if seen is None else {key: seen}
    return now, verdicts


def _urls(loaded: Loaded) -> dict[str, str]:
    """The clips and pictures of chosen rows that are on the web: key → URL."""
    found = (source for job in jobs.those(loaded.jobs, loaded.chosen) for source in _web(job))
    return {_key(source): source.location for source in found}


def _web(job: Job) -> Iterator[Source]:
    """A job's sources that are known by their URL: not those to which the user gave an identity."""
    for source in (job.video, job.first_frame):
        if source is not None and not source.local and source.identity.startswith("url:"):
            yield source


def _key(source: Source) -> str:
    """What a URL is kept by: it may hold a secret, and this file is no record."""
    return _digest(source.identity)


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:40]


def _read(path: Path) -> dict[str, Seen]:
    """What was seen; nothing where the file is lost or damaged: what is there then is the beginning."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = said.get("sources") if isinstance(said, dict) and said.get("form") == FORM else None
    read = {key: freshness.from_json(entry) for key, entry in (entries if isinstance(entries, dict) else {}).items()}
    return {key: seen for key, seen in read.items() if seen is not None}


def _with(loaded: Loaded, options: Options, known: Mapping[str, Seen]) -> Loaded:
    """The manifest whose jobs name the content of clips that have changed, and why each is another job."""
    changed = {key: seen for key, seen in known.items() if seen.changed is not None}
    if not changed:
        return loaded
    parts: list[Iterable[Job] | PlainJobs] = []
    reasons: dict[int, str] = {}
    for rows, made in zip(parts_of(loaded.manifest.rows), jobs_in_parts(loaded.jobs), strict=True):
        if isinstance(made, PlainJobs) and not _has_any(made, changed):
            parts.append(made)
            continue
        anew = [_now(row, job, loaded, options, changed) for row, job in zip(rows, made, strict=True)]
        reasons |= {job.number: why for job, why in anew if why}
        parts.append([job for job, _ in anew])
    all_jobs = parts[0] if len(parts) == 1 and not isinstance(parts[0], PlainJobs) else None
    made_anew = (
        tuple(all_jobs) if all_jobs is not None else Jobs(p if isinstance(p, PlainJobs) else tuple(p) for p in parts)
    )
    return replace(loaded, jobs=made_anew, changed=reasons)


def _has_any(made: PlainJobs, changed: Mapping[str, Seen]) -> bool:
    columns = made.rows.columns()
    urls = (url for name in ("video_url", "first_frame_url") for url in columns[name] if url)
    return any(_digest(f"url:{url}") in changed for url in urls)


def _now(row: Row, job: Job, loaded: Loaded, options: Options, changed: Mapping[str, Seen]) -> tuple[Job, str | None]:
    """A row's job as its clip and picture are now, and which of them is another one."""
    reasons = []
    now: dict[str, Source | None] = {"video": job.video, "first_frame": job.first_frame}
    for name, words in (("video", "clip"), ("first_frame", "picture")):
        source = now[name]
        if source is None or source not in tuple(_web(job)) or (seen := changed.get(_key(source))) is None:
            continue
        now[name] = replace(source, identity=f"{source.identity}#{seen.changed}")
        since = f" since {seen.changed_at[:10]}" if seen.changed_at else ""
        reasons.append(f"the {words} at {cut(source.location)} is another one{since}")
    if not reasons:
        return job, None
    assert now["video"] is not None
    facts = loaded.services.facts(provider_of(row, loaded.manifest, options))
    made = jobs.make(
        row,
        video=now["video"],
        first_frame=now["first_frame"],
        keyframes=job.keyframes,
        facts=facts,
        origin=job.origin,
        options=job.options,
        naming=loaded.manifest.naming,
    )
    return made, "; ".join(reasons)
