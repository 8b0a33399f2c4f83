"""What a service may not have: a dialect imports from here what it lacks, and says why."""

from collections.abc import Iterator

from batchmod.model import Endpoints, HistoryRow, Reply, Request, Work


def cancel_request(work: Work, endpoints: Endpoints) -> Request | None:
    """None: a request cannot be stopped."""
    return None


def history_request(
    endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
) -> Request | None:
    """None: requests are not listed, so a lost one cannot be found."""
    return None


def history_spans(since: float, now: float) -> Iterator[tuple[float, float]]:
    """None."""
    return iter(())


def history_rows(reply: Reply) -> list[HistoryRow] | None:
    """None: there is no history."""
    return None


def balance_request(endpoints: Endpoints) -> Request | None:
    """None: the balance cannot be asked for."""
    return None


def balance_of(reply: Reply) -> float | None:
    """None."""
    return None
