"""batchmod modifies video clips in batches: a manifest goes in, modified videos come out.

    from batchmod import load_manifest, plan, run, run_sync

Each name is imported when it is used; their types stand in `__init__.pyi`, and docs/api.md says how they work.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "batchmod.api": ("LoadedManifest", "load_manifest", "plan", "run", "run_sync"),
    "batchmod.app": ("Outlook", "Summary"),
    "batchmod.changes": ("Change", "Changes", "Difference"),
    "batchmod.errors": (
        *("BatchmodError", "FolderInUse", "ManifestError", "MediaError", "MissingExtra", "MissingKey"),
        *("OtherManifest", "Place", "Problem", "RecordOnNetwork", "RecordRefused", "SpendingNeedsAWord"),
        *("StoppedEarly", "UsageError"),
    ),
    "batchmod.forecast": ("Cap", "Reused", "Share", "Span"),
    "batchmod.model": ("Estimate", "Event", "Job", "Row", "Status"),
    "batchmod.planning": ("Action", "Item"),
    "batchmod.results": ("RowResult",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - all of them are texts
    "__version__",
    *sorted(_HOME_OF),
]


def __getattr__(name: str) -> object:
    """A public name, imported now."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'batchmod' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
