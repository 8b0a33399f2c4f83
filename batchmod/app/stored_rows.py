"""A manifest's rows as the record keeps them, for results.csv and the report."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchmod.app import sheets
from batchmod.app.folder import where
from batchmod.app.loading import Invalid, Loaded
from batchmod.checkpoint import Checkpoint, StoredRow
from batchmod.jobs import PlainJobs
from batchmod.jobs import parts_of as jobs_in_parts
from batchmod.model import Job, Row
from batchmod.planning import Action, Plan
from batchmod.rows import Stretch, parts_of

_WRITTEN: Final = (
    *("provider", "model", "mode", "prompt", "video_url", "first_frame_url", "variant"),
    *("review", "keyframes", "source_id"),
)
"""What a row that cannot be sent says of itself, as it was read."""


def store(record: Checkpoint, loaded: Loaded, plan: Plan) -> bool:
    """Keep the manifest's rows for results.csv and the report; whether they are new."""
    manifest, name = where(loaded), "rows_of " + loaded.manifest.name
    held = {item.job.number: item.why for item in plan.of(Action.HOLD)}
    stored = _Stored(manifest=manifest, held=held, says_hold=loaded.held, cells=sheets.cells_of(loaded))
    digest, before = stored.digest(loaded), record.fact(name)
    replacing = [] if before is None else before.split("\n")[:1]
    record.store_rows(stored.rows(loaded), digest=digest, replacing=replacing)
    facts = {**sheets.fact_of(loaded), name: f"{manifest}\n{digest}"}
    changed = {fact: value for fact, value in facts.items() if record.fact(fact) != value}
    if changed:
        record.set_facts(changed)
    return bool(changed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """A manifest's rows as the record keeps them."""

    manifest: str
    held: Mapping[int, str]
    """The number of a row that is held → why."""
    says_hold: frozenset[int]
    cells: Callable[[int | None, Row | None], dict[str, list[str]]]
    """Line and row → the cells that the user wrote for it."""

    def rows(self, loaded: Loaded) -> Iterator[StoredRow]:
        """One by one."""
        for rows, jobs in zip(parts_of(loaded.manifest.rows), jobs_in_parts(loaded.jobs), strict=True):
            if isinstance(jobs, PlainJobs):
                yield from (self._row(row, jobs.of(row)) for row in rows)
            else:
                yield from map(self._row, rows, jobs)
        yield from self._invalid(loaded)

    def digest(self, loaded: Loaded) -> str:
        """Another one wherever one of them would be another: of plain rows it is that of what they are made from."""
        digest = hashlib.sha256()
        for rows, jobs in zip(parts_of(loaded.manifest.rows), jobs_in_parts(loaded.jobs), strict=True):
            if isinstance(rows, Stretch) and isinstance(jobs, PlainJobs):
                digest.update(rows.digest().encode())
                _add(digest, [jobs.providers_as_text(), self._row(rows.head, jobs.head)])
            else:
                _add(digest, list(map(self._row, rows, jobs)))
        _add(digest, [sorted(self.held.items()), sorted(self.says_hold), *self._invalid(loaded)])
        return digest.hexdigest()

    def _row(self, row: Row, job: Job) -> StoredRow:
        is_held = row.number in self.says_hold or row.number in self.held
        fields = {**fields_of(row, job), "why": self.held.get(row.number), **self.cells(row.place.line, row)}
        return StoredRow(row.number, row.id, job.key, "held" if is_held else None, fields, self.manifest)

    def _invalid(self, loaded: Loaded) -> Iterator[StoredRow]:
        return (
            StoredRow(
                row.number,
                row.id,
                None,
                "invalid",
                {**_fields_of_invalid(row), **self.cells(row.line, None)},
                self.manifest,
            )
            for row in loaded.invalid
        )


def _add(digest: "hashlib._Hash", values: Sequence[object]) -> None:
    digest.update(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _fields_of_invalid(row: Invalid) -> dict[str, Any]:
    said = {name: row.said.get(name) for name in _WRITTEN}
    hold = "true" if row.said.get("hold") is True else None
    return {**said, "hold": hold, "id": row.id, "own": dict(row.own), "why": row.why, "source": "", "frame": None}


def fields_of(row: Row, job: Job) -> dict[str, Any]:
    """A row as the record keeps it."""
    return {
        "id": row.id,
        "provider": job.provider,
        "model": row.model,
        "mode": row.mode,
        "prompt": job.prompt,
        "video_url": row.video_url,
        "first_frame_url": row.first_frame_url,
        "variant": row.variant,
        "job_key": job.key,
        "review": row.review,
        "keyframes": row.keyframes,
        "source_id": row.source_id,
        "hold": "true" if row.hold else None,
        # which version was kept or held stays said; a redo is spent, and the record knows on which one
        **({"review_of": row.review_of} if row.review in ("keep", "hold") and row.review_of else {}),
        "own": dict(row.own),
        "source": job.video.location,
        "frame": job.first_frame.location if job.first_frame else None,
    }
