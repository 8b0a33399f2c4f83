"""Rows of a manifest and requests of a history: which are the same, and where that is beyond doubt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchmod.jobs import normalised_prompt
from batchmod.model import HistoryRow, Job, Source
from batchmod.urls import identity_of_url, is_signed_for, is_stored

Uploaded = Callable[[str], str | None]
"""SHA-256 of a local file → the URL it has at the provider, if that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A job and the one request that is its own."""

    job: Job
    row: HistoryRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A job that several requests fit, or that shares the one that fits it with other jobs."""

    job: Job
    rows: tuple[HistoryRow, ...]


def match(
    jobs: Sequence[Job], rows: Sequence[HistoryRow], uploaded: Uploaded
) -> tuple[tuple[Pair, ...], tuple[Choice, ...]]:
    """What fits beyond doubt, and what a person must choose.

    Where a clip's URL is known it decides. For a local clip sent up by somebody else it is not: then model, mode,
    prompt and whether there is a first frame must do, and only where one job and one request fit nothing else.
    """
    fits = {job.key: [row for row in rows if differences(job, row, uploaded) == ()] for job in jobs}
    sure = {job.key: [row for row in fits[job.key] if _by_url(job, row, uploaded)] for job in jobs}
    spoken_for = {row.request_id for of_job in sure.values() for row in of_job}
    left = {
        key: sure[key] or [row for row in of_job if row.request_id not in spoken_for] for key, of_job in fits.items()
    }
    wanted: dict[str, int] = {}
    for of_job in left.values():
        for row in of_job:
            wanted[row.request_id] = wanted.get(row.request_id, 0) + 1
    pairs, choices = [], []
    for job in jobs:
        found = left[job.key]
        if len(found) == 1 and wanted[found[0].request_id] == 1:
            pairs.append(Pair(job=job, row=found[0]))
        elif found:
            choices.append(Choice(job=job, rows=tuple(sorted(found, key=lambda row: row.at or 0.0))))
    return tuple(pairs), tuple(choices)


def differences(job: Job, row: HistoryRow, uploaded: Uploaded) -> tuple[str, ...]:
    """The fields in which a request is not what the job would send; empty where it fits."""
    inputs = row.fields
    if row.inputs is None or inputs is None:
        return ("inputs",)
    told = {
        "model": job.model is None or inputs.get("model") in (None, job.model),
        "mode": inputs.get("mode") == job.mode,
        "prompt": _prompt(inputs) == job.prompt,
        "video_url": _same_file(job.video, inputs.get("video_url"), uploaded) is not False,
        "first_frame_url": _same_frame(job.first_frame, inputs.get("first_frame_url"), uploaded),
    }
    return tuple(name for name, same in told.items() if not same)


def body_of(job: Job, row: HistoryRow) -> dict[str, Any]:
    """What a request was sent with, for the record: a job's objects by their own URLs, and no signature."""
    objects = [each.location for each in (job.video, job.first_frame) if each is not None and is_stored(each.location)]
    return {name: _unsigned(value, objects) for name, value in (row.inputs or {}).items()}


def _unsigned(value: Any, objects: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _unsigned(inner, objects) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unsigned(inner, objects) for inner in value]
    return next((url for url in objects if isinstance(value, str) and is_signed_for(value, url)), value)


def _prompt(inputs: Mapping[str, Any]) -> str | None:
    prompt = inputs.get("prompt")
    return normalised_prompt(prompt) if isinstance(prompt, str) else None


def _same_frame(frame: Source | None, given: Any, uploaded: Uploaded) -> bool:
    if frame is None or not given:
        return frame is None and not given
    return _same_file(frame, given, uploaded) is not False


def _same_file(source: Source, given: Any, uploaded: Uploaded) -> bool | None:
    """Whether a URL is a source of ours; None where nobody can say: the file may have been sent up by another way."""
    if not isinstance(given, str):
        return False
    if source.local:
        return True if source.sha256 and given == uploaded(source.sha256) else None
    if is_stored(source.location):  # where it could not be signed, it was sent up as a file is
        return True if is_signed_for(given, source.location) else None
    try:
        return identity_of_url(given) == identity_of_url(source.location)
    except ValueError:
        return False


def _by_url(job: Job, row: HistoryRow, uploaded: Uploaded) -> bool:
    return row.fields is not None and _same_file(job.video, row.fields.get("video_url"), uploaded) is True
