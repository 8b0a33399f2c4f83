"""The user's own folders, for the index of paid work and the caches: the same from whatever folder one calls."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from batchmod import index
from batchmod.errors import UsageError

CONFIGURATION: Final = "config.yaml"
_NOWHERE = (
    "there is no home folder to keep the index of paid work in: set BATCHMOD_HOME to a folder that can be written and "
    "that stays, else the same request could be paid twice"
)


def index_file(environ: Mapping[str, str]) -> Path:
    """The per-user index of paid work, in our own data folder.

    Raises UsageError where there is none: in the current folder the next run would not find it.
    """
    return data_folder(environ) / index.FILE_NAME


def data_folder(environ: Mapping[str, str]) -> Path:
    """Our own data folder: BATCHMOD_HOME, else where the system keeps a user's data. Raises UsageError without one."""
    own = environ.get("BATCHMOD_HOME")
    if own:
        return Path(own).absolute()
    base, home = _named(environ, "XDG_DATA_HOME", "LOCALAPPDATA"), _home(environ)
    if base is not None:
        return base / "batchmod"
    if home is None:
        raise UsageError(_NOWHERE)
    return home / ".local" / "share" / "batchmod"


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Our own cache folder: below BATCHMOD_HOME, else where the system keeps caches; None where there is none."""
    own = environ.get("BATCHMOD_HOME")
    if own:
        return Path(own).absolute() / "cache"
    base, home = _named(environ, "XDG_CACHE_HOME", "LOCALAPPDATA"), _home(environ)
    if base is not None:
        return base / "batchmod"
    return home / ".cache" / "batchmod" if home is not None else None


def configuration_file(environ: Mapping[str, str]) -> Path | None:
    """The user's own configuration, whether it is there or not: below BATCHMOD_HOME, else where the system keeps such.

    None where there is no home.
    """
    own = environ.get("BATCHMOD_HOME")
    if own:
        return Path(own).absolute() / CONFIGURATION
    base, home = _named(environ, "XDG_CONFIG_HOME", "APPDATA"), _home(environ)
    if base is not None:
        return base / "batchmod" / CONFIGURATION
    return home / ".config" / "batchmod" / CONFIGURATION if home is not None else None


def _named(environ: Mapping[str, str], *names: str) -> Path | None:
    """The first folder that one of these variables names; a relative one is none (XDG base directory specification)."""
    found = (Path(value) for name in names if (value := environ.get(name)))
    return next((path for path in found if path.is_absolute()), None)


def _home(environ: Mapping[str, str]) -> Path | None:
    """`$HOME`, else what the system's list of users says: a service is often started without the variable."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home and Path(home).is_absolute():
        return Path(home)
    if os.name != "posix":
        return None
    import pwd

    try:
        listed = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return listed if listed.is_absolute() and listed != Path("/nonexistent") else None
