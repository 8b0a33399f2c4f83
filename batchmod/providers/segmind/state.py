"""Where a job stands at Segmind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchmod.model import Endpoints


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a job stands; `request_id` and what follows it must survive the process."""

    endpoints: Endpoints
    inputs: Mapping[str, Any]
    uploads: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a local file → its URL at the provider."""
    phase: str = "start"
    uploading: str | None = None
    request_id: str | None = None
    status_url: str | None = None
    response_url: str | None = None
    seen: bool = False
    """Whether the provider has answered a status of this request."""
    misses: int = 0
