"""What this process and the one that speaks to Ray say to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """On what terms a worker takes a task: else its results could differ from those of another one."""

    versions: Mapping[str, str]
    """What the driver has installed of all that results depend on."""
    token: tuple[str, str] | None
    """A file that the driver has written, and its text: it must be seen where files are shared."""
    reads: tuple[str, ...]
    """The files that the task reads."""
    drop_environment: tuple[str, ...]
    """The variables that no worker may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """`function(*values)` on a machine that has these free."""

    number: int
    terms: Terms
    function: Callable[..., Any]
    values: tuple[object, ...]
    cpus: float
    gpus: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """A task's result is not wanted any more."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """What the function gave."""

    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """What the function raised."""

    error: Exception


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfit:
    """Nothing of this run can be done so: other versions on a worker, files it does not see, Ray's own refusal."""

    slug: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The worker ended before the function did; `with_its_machine`: and everything else there."""

    message: str
    with_its_machine: bool


Answer = Value | Raised | Unfit | Lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What became of a task."""

    number: int
    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What the cluster has, free or busy; sent first when it is reached, and again whenever that has changed."""

    cpus: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreachable:
    """There is no cluster at that address."""

    message: str
