"""What a stand-in remembers: the jobs it accepted, the requests it saw, and what it charged."""

import heapq
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """A job's life, in Segmind's words."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Kind(StrEnum):
    """What a request asks for; faults are planned and requests are counted by it."""

    SUBMIT = "submit"
    BLOCKING = "blocking"
    STATUS = "status"
    RESULT = "result"
    UPLOAD = "upload"
    HISTORY = "history"
    CREDITS = "credits"
    CANCEL = "cancel"
    DOWNLOAD = "download"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class Clock:
    """Epoch seconds that never jump back and that a test may push forward."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def iso(epoch: float) -> str:
    """`2026-05-03T10:00:00.250Z`."""
    stamp = datetime.fromtimestamp(epoch, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An accepted request with its whole timetable, fixed on acceptance; times in epoch seconds."""

    request_id: str
    account: str
    inputs: Mapping[str, Any]
    """Exactly as received."""
    identity: str
    """The inputs as canonical JSON, with the stand-in's own asset URLs replaced by their content's hash."""
    accepted_at: float
    starts_at: float
    ends_at: float
    price: float
    price_if_failed: float = 0.0
    video: bytes = b""
    error: str | None = None
    """The reason it will fail for; None: it will complete."""
    failed_status: int = 422
    history_from: float = 0.0
    history_fault: str | None = None
    blocking: bool = False
    seeded: bool = False
    """Put there by a test, not by a request of the client under test."""

    def state(self, now: float) -> State:
        if now < self.starts_at:
            return State.QUEUED
        if now < self.ends_at:
            return State.PROCESSING
        return State.FAILED if self.error is not None else State.COMPLETED

    def billed(self, now: float) -> float:
        """US dollars charged so far: the price from completion on, else nothing."""
        charges = {State.COMPLETED: self.price, State.FAILED: self.price_if_failed}
        return charges.get(self.state(now), 0.0)


@dataclass(kw_only=True, slots=True)
class Seen:
    """One HTTP request as it reached a stand-in; `status` None: it got no answer (yet, or by a fault)."""

    number: int
    at: float
    origin: str
    kind: Kind
    method: str
    path: str
    peer: int
    """The client's port: equal numbers are one connection."""
    key: str
    """`absent`, `good` or `bad`."""
    headers: tuple[str, ...]
    leak: bool = False
    """The key, or any credential, came to an origin that has no business with it."""
    admitted: bool = False
    """Passed the key and the rate limit."""
    fault: str | None = None
    status: int | None = None


class Ledger:
    """Thread-safe; what is charged follows from the jobs' timetables and the clock at the time of reading."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._jobs: dict[str, Job] = {}
        self._seen: list[Seen] = []
        self._running: list[tuple[float, str]] = []
        """A heap by the time of ending."""
        self._reserved: Counter[str] = Counter()
        self._charged: Counter[str] = Counter()
        """Per account, in millionths of a dollar, so that sums are exact."""
        self._lock = threading.RLock()

    def accept(self, job: Job) -> None:
        """A seeded job is remembered and costs nothing."""
        with self._lock:
            self._jobs[job.request_id] = job
            if not job.seeded:
                heapq.heappush(self._running, (job.ends_at, job.request_id))
                self._reserved[job.account] += _micros(job.price)

    def cancel(self, request_id: str) -> None:
        """A job that has not ended ends now, by the wish of its owner."""
        with self._lock:
            now = self.clock.now()
            job = self._jobs[request_id]
            self._jobs[request_id] = replace(job, starts_at=min(job.starts_at, now), ends_at=now, error="canceled")

    def _settle(self) -> None:
        """Turns the reservations of what has ended into charges, or lets them go."""
        now = self.clock.now()
        while self._running and self._running[0][0] <= now:
            job = self._jobs[heapq.heappop(self._running)[1]]
            self._reserved[job.account] -= _micros(job.price)
            self._charged[job.account] += _micros(job.billed(now))

    def charged(self, account: str) -> float:
        """US dollars taken from an account so far."""
        with self._lock:
            self._settle()
            return self._charged[account] / 1e6

    def reserved(self, account: str) -> float:
        """US dollars held back for its running jobs."""
        with self._lock:
            self._settle()
            return self._reserved[account] / 1e6

    def running_until(self) -> list[float]:
        """When each unended job will end, soonest first."""
        with self._lock:
            self._settle()
            return sorted(end for end, _ in self._running)

    def saw(self, **values: Any) -> Seen:
        with self._lock:
            seen = Seen(number=len(self._seen) + 1, at=self.clock.now(), **values)
            self._seen.append(seen)
        return seen

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Accepted from the client under test, oldest first."""
        return tuple(job for job in self.all_jobs if not job.seeded)

    @property
    def all_jobs(self) -> tuple[Job, ...]:
        with self._lock:
            return tuple(self._jobs.values())

    @property
    def requests(self) -> tuple[Seen, ...]:
        with self._lock:
            return tuple(self._seen)

    def job(self, request_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(request_id)

    def state(self, request_id: str) -> State | None:
        job = self.job(request_id)
        return job.state(self.clock.now()) if job else None

    @property
    def accepted(self) -> int:
        return len(self.jobs)

    @property
    def billed(self) -> int:
        """Jobs charged by now."""
        now = self.clock.now()
        return sum(job.billed(now) > 0 for job in self.jobs)

    @property
    def billed_usd(self) -> float:
        now = self.clock.now()
        return round(sum(job.billed(now) for job in self.jobs), 6)

    def billed_by_inputs(self) -> dict[str, int]:
        """Identity of the inputs → how many jobs are charged by now."""
        now = self.clock.now()
        return dict(Counter(job.identity for job in self.jobs if job.billed(now)))

    def owed_by_inputs(self) -> dict[str, int]:
        """Identity of the inputs → how many jobs are charged, or will be when they end."""
        return dict(Counter(job.identity for job in self.jobs if job.error is None))

    def paid_twice(self) -> dict[str, int]:
        """The oracle of the money tests: empty, unless some inputs are owed for more than once."""
        return {identity: count for identity, count in self.owed_by_inputs().items() if count > 1}

    def count(self, *kinds: Kind) -> int:
        return sum(seen.kind in kinds for seen in self.requests)

    @property
    def submits_seen(self) -> int:
        return self.count(Kind.SUBMIT, Kind.BLOCKING)

    @property
    def uploads(self) -> int:
        return self.count(Kind.UPLOAD)

    @property
    def polls(self) -> int:
        return self.count(Kind.STATUS, Kind.RESULT)

    @property
    def downloads(self) -> int:
        return self.count(Kind.DOWNLOAD)

    @property
    def history_calls(self) -> int:
        return self.count(Kind.HISTORY)

    @property
    def key_leaks(self) -> int:
        return len(self.leaks)

    @property
    def leaks(self) -> tuple[Seen, ...]:
        return tuple(seen for seen in self.requests if seen.leak)

    def wait_until(self, what: Callable[["Ledger"], bool], *, timeout_s: float = 5.0) -> None:
        """Blocks until `what(ledger)`; AssertionError with the counters if it never comes."""
        end = time.monotonic() + timeout_s
        while not what(self):
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout_s} s: {self.counters()}")
            time.sleep(0.005)

    def counters(self) -> dict[str, float]:
        names = ("submits_seen", "accepted", "billed", "billed_usd", "uploads", "polls", "downloads")
        return {name: getattr(self, name) for name in (*names, "history_calls", "key_leaks")}

    def snapshot(self) -> dict[str, Any]:
        """All of it as JSON values."""
        now = self.clock.now()
        return {
            **self.counters(),
            "billed_by_inputs": self.billed_by_inputs(),
            "owed_by_inputs": self.owed_by_inputs(),
            "paid_twice": self.paid_twice(),
            "jobs": [_shown(job, now) for job in self.all_jobs],
            "requests": [{**asdict(seen), "at": iso(seen.at)} for seen in self.requests],
        }


def _micros(usd: float) -> int:
    return round(usd * 1e6)


def _shown(job: Job, now: float) -> dict[str, Any]:
    return {
        "request_id": job.request_id,
        "accepted_at": iso(job.accepted_at),
        "inputs": dict(job.inputs),
        "identity": job.identity,
        "state": str(job.state(now)),
        "billed": job.billed(now),
        "error": job.error,
        "blocking": job.blocking,
        "seeded": job.seeded,
    }


def canonical(inputs: Mapping[str, Any]) -> str:
    """The inputs as JSON in one spelling, whatever the order of the fields."""
    return json.dumps(inputs, sort_keys=True, ensure_ascii=False)
