"""What the command line may say, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from batchmod.rows import Ways
from batchmod.urls import is_put_up


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Wishes of one command; None where the manifest or the schema's default decides."""

    provider: str | None = None
    output: str | None = None
    """Where outputs go: a folder, or the address of a store."""
    take_copy: bool = False
    """Whether a copy of a record that may not know everything is gone on with."""
    state: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    extra_columns: tuple[str, ...] = ()
    ways: Ways = field(default_factory=Ways)
    """How sheets are read where their bytes leave a choice."""
    kind: str | None = None
    """What kind of document the manifest is, where its name does not say."""
    only: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    first: int | None = None
    chosen_ids: frozenset[str] | None = None
    """Ids in casefold that alone are meant, where the manifest is a report's marks."""
    rehearse: bool = False
    pair_frames: bool = False
    """Whether rows without a first frame take the edited one of their name, whatever the manifest says."""
    first_frames: bool = True
    """Whether the first frames that rows name must be there."""
    media: bool = True
    """Whether clips and pictures are looked at."""
    allow_outside: bool = False
    key_env: tuple[str, ...] = ()
    """The variables of the environment from which a manifest may take its key."""
    allow_hooks: bool = False
    """Whether what the manifest says of programs to start and of people to tell is heard."""
    skip_invalid: bool = False
    """Whether the good rows go on without the bad ones."""
    add: bool = False
    """Whether a folder may hold the rows of a further manifest."""
    retry_failed: bool = False
    reuse: bool = True
    pay_again: tuple[str, ...] = ()
    until: float | None = None
    """The moment (Unix seconds) after which nothing new is sent."""
    no_wait: bool = False
    accept_expiry: bool = False
    max_in_flight: int | None = None
    submits_per_minute: float | None = None
    polls_per_minute: float | None = None
    max_cost_usd: float | None = None
    price_usd: float | None = None
    history_grace_s: float = 600.0
    drain_s: float = 60.0
    executor: Literal["process", "ray"] = "process"
    """Where the engine works."""
    ray_address: str | None = None
    verify: Literal["decode", "container"] = "decode"
    deliver: tuple[str, ...] = ()
    """What is said of delivered copies over the manifest's word: codecs and KEY=VALUE."""
    scores: bool = True
    """Whether outputs are scored beside the run."""
    wait_scores: bool = False
    score_remote: bool = False
    """Whether sources on the web are fetched for it."""
    yes: bool = False
    if_locked: Literal["refuse", "wait", "skip"] = "refuse"

    @property
    def folder(self) -> str | None:
        """The folder on this machine that `output` names, if it names one."""
        return None if self.output is None or is_put_up(self.output) else self.output
