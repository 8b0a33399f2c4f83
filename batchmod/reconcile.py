"""What a provider's history says of requests we are not sure of: found, never accepted, or still open.

Trust in a history is earned: "not there" counts as "never accepted" only under all the conditions of `_absent`.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchmod.model import Attempt, HistoryRow
from batchmod.urls import is_signed_for, is_stored, without_query

_GAP: Final = "~"
WINDOW_BEFORE_S: Final = 600.0
"""How long before our own POST a history row may be stamped: histories are stamped by another clock."""

NOT_RECOGNISED: Final = "the history lists a request of ours with other inputs than we sent, so it cannot be searched"
UNPROVEN: Final = "the history has not listed any request of ours that we know was accepted"
INEXACT: Final = "the record was made anew and does not hold this request word for word: the history may show it unseen"
IN_GRACE: Final = "the history may still be catching up"
SAME_INPUTS: Final = "the history has a request with exactly these inputs, and nobody can say whose it is"


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """A walk through a history, newest first; `complete`: it reached its end or a row older than the window."""

    rows: tuple[HistoryRow, ...]
    complete: bool
    skew_s: float = 0.0
    """How far the provider's clock was seen to be from ours (its `Date` header)."""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A request whose id we hold: what proves that a walk lists, and that we recognise, what was accepted."""

    request_id: str
    body: Any
    sent_at: float | None = None
    """When it left, by our clock (Unix seconds): its row tells how far from that the history's stamps are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """A walk as it is read: what makes a row a request's own, and how far its stamps may be from our clock."""

    walk: Walk
    contract: frozenset[str]
    """The fields by which two requests differ."""
    earliest_s: float = 0.0
    """How far before its POST a request that we hold was stamped, at most; 0 or less."""
    latest_s: float = 0.0
    """How far behind it, at most; 0 or more."""

    def fits(self, body: Any, row: HistoryRow) -> bool:
        """Whether a row has the inputs of a body."""
        return same_inputs(body, row.inputs, contract=self.contract)

    def start(self, attempt: Attempt) -> float:
        """The earliest stamp a row of this attempt may bear."""
        return window_start(attempt, self.walk.skew_s) + self.earliest_s

    def is_in_time(self, attempt: Attempt, row: HistoryRow) -> bool:
        """Whether a row may have been stamped for this attempt; one without a time may always."""
        return row.at is None or row.at >= self.start(attempt)

    def is_near(self, attempt: Attempt, row: HistoryRow) -> bool:
        """Whether a row was stamped about when the attempt left: without its exact body nothing else tells it apart."""
        start = self.start(attempt)
        return row.at is not None and start <= row.at <= 2 * attempt.sent_at - start + self.latest_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The attempt was accepted under this request id: go on with it."""

    attempt: Attempt
    row: HistoryRow


@dataclass(frozen=True, kw_only=True, slots=True)
class NeverAccepted:
    """The attempt created nothing: its job may be planned again."""

    attempt: Attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class StillOpen:
    """Nothing can be said yet; `until` (Unix seconds) is when asking again may help, if waiting can."""

    attempt: Attempt
    reason: str
    until: float | None = None


Verdict = Found | NeverAccepted | StillOpen


def same_inputs(body: Any, inputs: Mapping[str, Any] | None, *, contract: Collection[str] = ()) -> bool:
    """Whether a history row's inputs are the body we sent: each field of ours equal, and no other of the contract's.

    A field of the `contract` that we did not send makes it another request's, unless it is empty. Fields of which the
    contract does not know may be extra: a service adds its own. A field inside another is named as `input.prompt`.
    """
    if inputs is None or not isinstance(body, Mapping):
        return False
    own = frozenset(_fields(body))
    further = any(_is_given(_at(inputs, name)) for name in contract if name not in own)
    return not further and all(_same(value, inputs.get(name)) for name, value in body.items())


def _is_given(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def _fields(body: Any, outer: str = "") -> Iterator[str]:
    """The names of a body's fields, those inside others too."""
    if isinstance(body, Mapping) and not _is_gap(body):
        for name, value in body.items():
            yield f"{outer}{name}"
            yield from _fields(value, f"{outer}{name}.")


def _at(inputs: Any, name: str) -> Any:
    """The value of a field, None where there is none."""
    for part in name.split("."):
        inputs = inputs.get(part) if isinstance(inputs, Mapping) else None
    return inputs


def gap(url: str | None = None) -> dict[str, str | None]:
    """In a body: a value that is not known any more, or only as a URL without its query."""
    return {_GAP: url}


def exact(body: Any) -> bool:
    """Whether a body is known word for word."""
    return isinstance(body, Mapping) and bool(body) and not _has_gap(body)


def _is_gap(value: Any) -> bool:
    return isinstance(value, Mapping) and _GAP in value


def _has_gap(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _is_gap(value) or any(_has_gap(inner) for inner in value.values())
    return isinstance(value, list) and any(_has_gap(inner) for inner in value)


def _same(ours: Any, theirs: Any) -> bool:
    if _is_gap(ours):
        known = ours[_GAP]
        return isinstance(theirs, str) and known in (None, without_query(theirs))
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(_same(value, theirs.get(name)) for name, value in ours.items())
    if isinstance(ours, str) and is_stored(ours):  # what was sent was signed for that one request
        return isinstance(theirs, str) and (theirs == ours or is_signed_for(theirs, ours))
    return _plain(theirs) == _plain(ours)


def resolve(
    attempts: Sequence[Attempt],
    *,
    walk: Walk,
    known: Iterable[Known],
    taken: Collection[str] = (),
    rivals: Sequence[Attempt] = (),
    contract: Iterable[str] = (),
    now: float,
    grace_s: float,
) -> list[Verdict]:
    """A verdict per uncertain attempt; each history row serves one attempt, the nearest in time first.

    `known` proves the history; `taken` are further request ids that belong to somebody already. `rivals` are attempts
    nobody has an answer to and nobody asks about now, such as those still in the air: a row that may be one's own is
    given to nobody. `contract`: the fields of a body by which two requests differ (see `same_inputs`).
    """
    held = {item.request_id: item for item in known}
    view = _view(walk, held, contract, [*attempts, *rivals])
    free = [row for row in deduplicated(walk.rows) if row.request_id not in held and row.request_id not in taken]
    disputed = {row.request_id for row in free if any(_may_own(rival, row, view) for rival in rivals)}
    open_ = [row for row in free if row.request_id not in disputed]
    pairs = _pair([attempt for attempt in attempts if exact(attempt.body)], open_, view)
    pairs |= _pair_by_what_is_known(attempts, open_, pairs, view)
    owned = {*held, *taken, *(row.request_id for row in pairs.values())}
    unclaimed = [row for row in _as_listed(walk.rows) if row.request_id not in owned]
    doubt = _doubt(view, held)
    return [
        Found(attempt=attempt, row=pairs[attempt.attempt_id])
        if attempt.attempt_id in pairs
        else _absent(attempt, view=view, doubt=doubt, unclaimed=unclaimed, disputed=disputed, now=now, grace_s=grace_s)
        for attempt in attempts
    ]


def readable(verdict: Verdict) -> bool:
    """Whether the walk reached back far enough and simply did not show the request."""
    return isinstance(verdict, NeverAccepted) or (
        isinstance(verdict, StillOpen) and verdict.reason in (UNPROVEN, IN_GRACE)
    )


def candidates(attempts: Sequence[Attempt], walk: Walk, contract: Collection[str]) -> frozenset[str]:
    """The request ids of the rows that have the inputs of any of these attempts: whose else may they be?"""
    fits = (row for row in walk.rows if any(same_inputs(each.body, row.inputs, contract=contract) for each in attempts))
    return frozenset(row.request_id for row in fits)


def window_start(attempt: Attempt, skew_s: float) -> float:
    """The earliest stamp a history row of this attempt may bear, where stamps are seen to be right."""
    return attempt.sent_at - max(WINDOW_BEFORE_S, abs(skew_s) + 60.0)


def grace_end(attempt: Attempt, grace_s: float) -> float:
    """Until when (Unix seconds) the history may still be catching up with an attempt."""
    return max(attempt.sent_at, attempt.seen_dead_at or attempt.sent_at) + grace_s


def _view(walk: Walk, held: Mapping[str, Known], contract: Iterable[str], attempts: Iterable[Attempt]) -> _View:
    """What we ever sent counts as the contract's own, and the stamps of what we hold tell the history's clock.

    A history may be stamped in another zone, and our own clock may have been wrong when a request left.
    """
    bodies = [*(item.body for item in held.values()), *(attempt.body for attempt in attempts)]
    fields = frozenset(contract).union(*(_fields(body) for body in bodies))
    shifts = [
        row.at - sent_at
        for row in walk.rows
        if row.at is not None and row.request_id in held and (sent_at := held[row.request_id].sent_at) is not None
    ]
    return _View(walk=walk, contract=fields, earliest_s=min([0.0, *shifts]), latest_s=max([0.0, *shifts]))


def _may_own(rival: Attempt, row: HistoryRow, view: _View) -> bool:
    return bool(rival.body) and view.fits(rival.body, row) and view.is_in_time(rival, row)


def _pair(attempts: Sequence[Attempt], rows: Sequence[HistoryRow], view: _View) -> dict[int, HistoryRow]:
    candidates: list[tuple[float, int, HistoryRow]] = []
    for attempt in attempts:
        for row in rows:
            if view.fits(attempt.body, row) and view.is_in_time(attempt, row):
                distance = abs(row.at - attempt.sent_at) if row.at is not None else math.inf
                candidates.append((distance, attempt.attempt_id, row))
    pairs: dict[int, HistoryRow] = {}
    used: set[str] = set()
    for _, attempt_id, row in sorted(candidates, key=lambda item: (item[0], item[1], item[2].request_id)):
        if attempt_id not in pairs and row.request_id not in used:
            pairs[attempt_id] = row
            used.add(row.request_id)
    return pairs


def _pair_by_what_is_known(
    attempts: Sequence[Attempt], rows: Sequence[HistoryRow], pairs: Mapping[int, HistoryRow], view: _View
) -> dict[int, HistoryRow]:
    """Pairs for attempts with gaps in their bodies: only where one attempt and one row fit nothing else."""
    taken = {row.request_id for row in pairs.values()}
    gappy = [attempt for attempt in attempts if not exact(attempt.body) and attempt.body]
    fits = [
        (attempt, row)
        for attempt in gappy
        for row in rows
        if row.request_id not in taken and view.fits(attempt.body, row) and view.is_near(attempt, row)
    ]
    of_attempt = Counter(attempt.attempt_id for attempt, _ in fits)
    of_row = Counter(row.request_id for _, row in fits)
    return {
        attempt.attempt_id: row
        for attempt, row in fits
        if of_attempt[attempt.attempt_id] == 1 and of_row[row.request_id] == 1
    }


def _absent(
    attempt: Attempt,
    *,
    view: _View,
    doubt: str | None,
    unclaimed: Sequence[HistoryRow],
    disputed: Collection[str],
    now: float,
    grace_s: float,
) -> NeverAccepted | StillOpen:
    why = _unsearchable(attempt, view.walk) or _lookalike(attempt, unclaimed, view) or doubt
    if why is not None:
        return StillOpen(attempt=attempt, reason=why)
    if any(row.inputs is None and view.is_in_time(attempt, row) for row in unclaimed):
        reason = "the history has requests without readable inputs in that time"
        return StillOpen(attempt=attempt, reason=reason)
    others = [row for row in unclaimed if row.request_id not in disputed]  # those are a rival's, word for word
    if any(_same_clip(attempt.body, row.inputs) and view.is_in_time(attempt, row) for row in others):
        reason = "the history has a request for the same clip with other inputs in that time"
        return StillOpen(attempt=attempt, reason=reason)
    over = grace_end(attempt, grace_s)
    if now < over:
        return StillOpen(attempt=attempt, reason=IN_GRACE, until=over)
    return NeverAccepted(attempt=attempt)


def _unsearchable(attempt: Attempt, walk: Walk) -> str | None:
    """Why this attempt cannot be missed in this walk."""
    if walk.problem:
        return walk.problem
    if not walk.complete:
        return "the history does not reach back to the request's time"
    return None if exact(attempt.body) else INEXACT


def _lookalike(attempt: Attempt, unclaimed: Sequence[HistoryRow], view: _View) -> str | None:
    """A row with exactly our inputs keeps a request open whenever it was stamped: clocks and zones may be wrong."""
    return SAME_INPUTS if any(view.fits(attempt.body, row) for row in unclaimed) else None


def _doubt(view: _View, held: Mapping[str, Known]) -> str | None:
    """Why this walk proves nothing; None where it lists requests we hold, and we know each of them by its inputs."""
    shown = [row for row in view.walk.rows if row.request_id in held and row.inputs is not None]
    if not any(exact(held[row.request_id].body) for row in shown):
        return UNPROVEN
    known = all(view.fits(held[row.request_id].body, row) for row in shown if held[row.request_id].body)
    return None if known else NOT_RECOGNISED


def _same_clip(body: Any, inputs: Mapping[str, Any] | None) -> bool:
    """Whether a row that is not ours by all its inputs names a URL that we sent: it may be ours, written otherwise."""
    if inputs is None or not isinstance(body, Mapping):
        return False
    theirs = dict(_urls_in(inputs))
    return any(path in theirs and _same(url, theirs[path]) for path, url in _urls_in(body))


def _urls_in(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, URL) of every URL in a body, however deep."""
    if isinstance(value, str) and (value.startswith(("http://", "https://")) or is_stored(value)):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _urls_in(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _urls_in(inner, f"{path}/{number}")


def deduplicated(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """One row a request, a readable one if there is one: a request with several outputs is listed once for each."""
    found: dict[str, HistoryRow] = {}
    for row in rows:
        if row.request_id not in found or found[row.request_id].inputs is None:
            found[row.request_id] = row
    return list(found.values())


def _as_listed(rows: Sequence[HistoryRow]) -> list[HistoryRow]:
    """Every row, but for unreadable ones of a request that another row makes readable.

    A list that shows one id with two inputs hides neither of them from who asks what was never accepted.
    """
    legible = {row.request_id for row in rows if row.inputs is not None}
    return [row for row in rows if row.inputs is not None or row.request_id not in legible]


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
