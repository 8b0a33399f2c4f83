"""What the stand-in for Segmind lets a test choose: above all, whatever the published contract leaves open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.servers.clips import Clip

KEY = "SG_0123456789abcdef"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the contract leaves open, or a test wants otherwise; times in seconds, money in US dollars."""

    key: str = KEY
    other_keys: tuple[str, ...] = ()
    """Keys of other accounts, each with its own jobs and balance."""
    price: float = 0.60
    credits: float = 1000.0
    queued_s: float = 0.02
    processing_s: float = 0.05
    slots: int | None = None
    """How many jobs run at a time; the others wait QUEUED."""
    submits_per_minute: int | None = None
    rate_window_s: float = 60.0
    rate_counts_polls: bool = False
    record_life_s: float = 3600.0
    """From the submit on; then all three poll URLs answer 404."""
    file_life_s: float = 7 * 86400.0
    output: Clip | Path | Literal["echo"] = field(default_factory=Clip)
    """What a job delivers: a made clip, a file's content, or the uploaded source (else a made clip)."""
    blocking_answer: Literal["bytes", "json"] = "bytes"
    upload_answer: Literal["urls", "file_urls"] = "urls"
    missing_asset: Literal["fail", "refuse"] = "fail"
    """A source on our own host that is not there: the job fails, or the submit is refused with 400."""
    early_result: Literal["status", "not_found"] = "status"
    history_envelope: str = "data"
    """`data`, `data.results`, `items`; empty: a plain list."""
    history_one_envelope: str = ""
    history_delay_s: float = 0.0
    clock_skew_s: float = 0.0
    """How far the service's own clock (Date header, history) is ahead of ours."""
    fail_prompts: Mapping[str, str] = field(default_factory=dict)
    """Text in a prompt → the reason for which its job fails."""
    one_origin: bool = False
    """Everything on one port; else each host has its own."""
