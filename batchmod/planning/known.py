"""What a plan is made from besides the jobs: what the record knows, and what the command line asks."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from batchmod.model import Claim, Delivery, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The record as planning needs it."""

    works: Mapping[str, Work] = field(default_factory=dict)
    """job_key → its latest work, but for wishes."""
    wishes: Mapping[str, Work] = field(default_factory=dict)
    """job_key → the version that `--pay-again` asked for and that was not sent."""
    paid_again: Container[str] = frozenset()
    """The keys of which `--pay-again` opened a version in this run, which is one until it ends with 0 or 1."""
    deliveries: Mapping[int, tuple[Delivery, ...]] = field(default_factory=dict)
    """work_id → its deliveries."""
    unfinished: tuple[Work, ...] = ()
    """Every work that is submitting, submitted or uncertain."""
    files: frozenset[str] = frozenset()
    """The outputs that are there, relative to the output folder."""
    elsewhere: Mapping[str, Claim] = field(default_factory=dict)
    """job_key → what another output folder of this user holds."""
    reusable: Container[str] = frozenset()
    """The keys among those whose file is there."""
    at_once: Callable[[Sequence[str], Sequence[str]], Sequence[int] | None] | None = None
    """Keys and ids of many jobs → nothing where all are new; each one's work where all are done, delivered to just
    these ids, and there; None where they have to be looked at one by one."""
    dearest: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(provider, origin) → the highest price per second that was truly charged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the command line asks of the plan."""

    retry_failed: bool = False
    max_attempts: int = 3
    pay_again: frozenset[int] = frozenset()
    """Rows of which `--pay-again` asks one more version."""
    redo: frozenset[int] = frozenset()
    """Rows whose `review: redo` counts now."""
    locked: frozenset[int] = frozenset()
    """Rows whose review says keep: nothing is paid for them again."""
    price_usd: float | None = None
    """What a request is taken to cost where its provider publishes no price."""
    changed: Mapping[int, str] = field(default_factory=dict)
    """Rows whose clip on the web is another one now → why they make another request."""
    stale_before: float | None = None
    """Outputs that were finished before this moment (Unix seconds) are made once more."""


def latest_by_key(works: Iterable[Work]) -> dict[str, Work]:
    """job_key → the work made last for it; one that was only wished for stands behind every other."""
    return {work.job_key: work for work in sorted(works, key=lambda work: (not work.is_wish, work.work_id))}


def wishes_by_key(works: Iterable[Work], shown: Mapping[str, Work]) -> dict[str, Work]:
    """job_key → the version that was wished for and not sent, where there is another one to show."""
    return {work.job_key: work for work in works if work.is_wish and shown[work.job_key] is not work}
