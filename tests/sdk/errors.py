"""What the SDKs made by one generator have in common: which exception each status and each break must become."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.servers.standin import StandIn

BY_STATUS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    502: "InternalServerError",
}


def each_is_the_sdks_own(sdk: ModuleType, server: StandIn, submit: Callable[..., Any]) -> None:
    """Every refusal and every break of a submit is seen as the exception the SDK names for it."""
    for status, name in BY_STATUS.items():
        fault = {429: "error_429_retry_after"}.get(status, f"error_{status}")
        server.faults.add(fault, on="submit", seconds=0.01)
        with pytest.raises(getattr(sdk, name)) as caught:
            submit()
        assert caught.value.status_code == status
    server.faults.add("reset_before_accept", on="submit")
    with pytest.raises(sdk.APIConnectionError):
        submit()
    server.faults.add("accept_then_delay", on="submit", seconds=2.0)
    with pytest.raises(sdk.APITimeoutError):
        submit(timeout=0.3)


def same_request_as_ours(server: StandIn) -> None:
    """The two jobs in the ledger, one of the SDK's and one of ours, are one request, field by field."""
    theirs, ours = server.ledger.jobs
    assert theirs.identity == ours.identity
