"""What whoever starts the service decides: where it listens, who may ask, how much it takes."""

from dataclasses import dataclass, field
from pathlib import Path

from batchmod.urls import is_loopback_host


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What is taken, and how much of it; sizes in bytes, times in seconds.

    Clip size and length are the contract's (docs/providers/segmind.md); the others keep one clip from taking the
    machine.
    """

    clip_bytes: int = 100_000_000
    clip_s: float = 30.0
    frame_pixels: int = 4096 * 2304
    """Of a clip's frame and of an edited first frame."""
    frames: int = 1_800
    """30 seconds of 60 frames."""
    picture_bytes: int = 50_000_000
    prompt_chars: int = 20_000
    queued: int = 500
    """Jobs that wait or run; more are asked to come again."""
    data_bytes: int = 20 * 1024**3
    """All files of the service together."""
    file_s: float = 24 * 3600.0
    """How long an asset or an output lives."""
    record_s: float = 31 * 24 * 3600.0
    """How long the history knows a request that has ended."""
    job_s: float = 3600.0
    """How long the engine may take over one clip."""
    fetch_s: float = 300.0
    """How long a clip or picture may take to arrive from a URL."""
    stall_s: float = 60.0
    """How long a client may leave its body unsent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One service."""

    data: Path
    """The folder for the queue and all files; one service owns it."""
    host: str = "127.0.0.1"
    port: int = 8700
    """0: any that is free."""
    workers: int = 1
    """Clips that are worked on side by side."""
    key: str | None = None
    """What clients must send in `x-api-key`; None: whatever they send, which only loopback allows."""
    public_url: str | None = None
    """Where clients reach the service through a proxy: its host is answered to, and links begin with it."""
    limits: Limits = field(default_factory=Limits)

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return is_loopback_host(self.host)
