"""Segmind's balance: GET /v1/get-user-credits, in US dollars (docs.segmind.com, account and billing APIs)."""

from batchmod.model import Endpoints, Reply, Request, Work
from batchmod.providers.answers import as_object, price


def balance_request(endpoints: Endpoints) -> Request | None:
    """The question for the credits."""
    return Request(method="GET", url=f"{endpoints.api}/v1/get-user-credits", read_timeout_s=2.0)


def balance_of(reply: Reply) -> float | None:
    """Bought and free credits together; None where the answer names neither."""
    body = as_object(reply)
    parts = [price(body.get(name)) for name in ("credits", "free-credits")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def cancel_request(work: Work, endpoints: Endpoints) -> Request | None:
    """None: Segmind knows no way to stop a job."""
    return None
