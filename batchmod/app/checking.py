"""What `check` finds out about a manifest that reads well: its media, and what could be mended of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchmod.app import examining, preparing, storing
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.preparing import Mended
from batchmod.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A manifest as a run would take it, with what is worth knowing before."""

    loaded: Loaded
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    mended: tuple[Mended, ...] = ()
    mendable: frozenset[int] = frozenset()
    """The rows whose clips `--fix` would write anew."""


def check(loaded: Loaded, options: Options, *, fix: Callable[[Path], None] | None) -> Checked:
    """Look at the media of the chosen rows.

    With `fix` what can be mended without loss of meaning is written anew; it hears of each clip when its turn comes.
    """
    mended: list[Mended] = []
    with preparing.record_of(loaded, options) as record:
        if fix is not None:
            loaded, mended = preparing.mend(loaded, options, record, tell=fix)
        else:
            loaded = preparing.settled(loaded, options, record)
        mendable = preparing.mendable(loaded, options, record)
        loaded = preparing.without_idle(loaded, options, record)
    seen = examining.examined(loaded, options, mendable) if options.media else examining.Examined(warnings=())
    store = storing.glimpse(loaded, options)
    return Checked(
        loaded=loaded,
        warnings=(*loaded.warnings, *seen.warnings),
        notes=(*seen.notes, *([] if store is None else [store])),
        mended=tuple(mended),
        mendable=mendable,
    )
