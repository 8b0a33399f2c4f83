"""The file system of each store: opened on use, with time-outs, and without a memory of its own."""

from importlib.util import find_spec
from typing import Any, Final

from batchmod.errors import MissingExtra
from batchmod.urls import STORES

_LIBRARIES: Final = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "az": ("adlfs", "azure")}
_CONNECT_S: Final = 10
_SILENCE_S: Final = 30
"""How long a store may say nothing while it is asked or read."""
_TRIES: Final = 3


def store_of(url: str) -> str:
    """`s3`, `gs` or `az`."""
    return STORES[url.partition("://")[0].lower()]


def require(url: str) -> None:
    """Raise MissingExtra where the library of an object's store is not installed; nothing is loaded."""
    store = store_of(url)
    library, extra = _LIBRARIES[store]
    if find_spec(library) is None:
        raise MissingExtra(f"{store}:// needs {library}, which is not installed: pip install 'batchmod[{extra}]'")


def opened(store: str) -> Any:
    """A new file system for a store, as fsspec has it. Raises MissingExtra."""
    require(f"{store}://")
    import fsspec

    kind = fsspec.get_filesystem_class(store)
    # what somebody else has written since must be seen: no cache of listings, no instance of another's settings
    own = {"skip_instance_cache": True, "use_listings_cache": False}
    return kind(**own, **(_for_s3() if store == "s3" else {}))


def _for_s3() -> dict[str, Any]:
    """Time-outs, few tries inside each other, and signatures that every region takes."""
    return {
        "cache_regions": True,
        "config_kwargs": {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _SILENCE_S,
            "signature_version": "s3v4",
            "retries": {"mode": "standard", "total_max_attempts": _TRIES},
        },
    }
