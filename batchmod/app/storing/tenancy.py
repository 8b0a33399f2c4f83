"""One run at a time for a store: a lease among its objects, since the lock on a folder is on one machine's disk.

As for a folder on a network (`lease`): a lease is a numbered object that is made only where there is none, the highest
number owns the store, and its time of change, by the store's clock, is the heartbeat. One that was given back stays as
an empty claim. Where a store cannot refuse to overwrite, two that begin within the same second may both believe to own
it; each finds out with its next heartbeat.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from batchmod import clock
from batchmod.errors import FolderInUse, StoppedEarly, StorageError
from batchmod.lease import Holder, Terms
from batchmod.storage import Stored, Stores

FOLDER: Final = "lease"
_OURS: Final[set[str]] = set()
"""The tokens of the leases that this process holds; another one of it could not be given back."""
TERMS: Final = Terms(beat_s=20.0, stale_s=120.0)


class Tenancy:
    """A store's lease that this process holds, or held."""

    def __init__(self, stores: Stores, store: str, *, number: int, about: dict[str, Any]) -> None:
        self._stores, self._store, self._about = stores, store, about
        self.number = number
        self._lost = self._left = self._is_away = False

    @property
    def token(self) -> str:
        """What tells this lease from every other."""
        return str(self._about["token"])

    def check(self) -> None:
        """Raise StoppedEarly where another run has taken the store over."""
        if self._lost:
            text = f"this run no longer owns {self._store}: it was silent for too long (did the machine sleep?), and"
            raise StoppedEarly(f"{text} another run has taken it over; nothing more is sent", slug="lease_lost")

    def look(self) -> None:
        """See whose it is now. Raises StorageError."""
        self._lost = self._lost or _last(self._stores, self._store) > self.number

    def leave(self) -> None:
        """Tell nobody anything more: the lease dies of its silence, or is seen to be a dead process's."""
        self._left = True

    def beat(self) -> None:
        """Renew it, unless it is another's by now. Raises StorageError."""
        self._is_away = True
        self.look()
        if not self._lost and not self._left:
            about = {**self._about, "at": clock.iso(clock.now())}
            _write(self._stores, _url(self._store, self.number), about)
        self._is_away = False

    def give_back(self) -> None:
        """Free the store, unless it is another's by now; where it cannot be told, the lease dies of its silence."""
        with suppress(StorageError):
            if not (self._left or self._lost or self._is_away) and _last(self._stores, self._store) == self.number:
                _write(self._stores, _url(self._store, self.number), {})


@contextmanager
def held(stores: Stores, store: str, *, run_id: str, me: Holder | None = None) -> Iterator[Tenancy]:
    """Own a store for the block, by a lease that is kept alive. Raises FolderInUse where another run lives there.

    Raises StorageError for a store that cannot be read or written.
    """
    tenancy = _acquire(stores, store, me or Holder.me(), run_id)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(tenancy, ended), name="store lease", daemon=True)
    keeper.start()
    _OURS.add(tenancy.token)
    try:
        yield tenancy
    finally:
        ended.set()
        keeper.join()
        _OURS.discard(tenancy.token)
        tenancy.give_back()  # how far a run came that was broken off is what the card says


def _keep(tenancy: Tenancy, ended: threading.Event) -> None:
    while not ended.wait(TERMS.beat_s):
        with suppress(StorageError):  # a store that is away for a moment; outputs wait for it too
            tenancy.beat()


def _acquire(stores: Stores, store: str, me: Holder, run_id: str) -> Tenancy:
    while True:
        there = _numbers(stores, store)
        last = max(there, default=0)
        if last:
            _refuse_living(stores, store, there[last], me)
        about = {**asdict(me), "run_id": run_id, "token": uuid.uuid4().hex, "at": clock.iso(clock.now())}
        if not _write(stores, _url(store, last + 1), about, if_absent=True):
            continue
        if _last(stores, store) != last + 1:
            stores.remove(_url(store, last + 1))
            continue
        for number in there:
            stores.remove(_url(store, number))
        return Tenancy(stores, store, number=last + 1, about=about)


def _refuse_living(stores: Stores, store: str, lease: Stored, me: Holder) -> None:
    about: dict[str, Any] = {}
    try:
        about = json.loads(stores.read(lease.url))
    except ValueError:
        return
    except StorageError as error:
        if error.slug != "object_missing":
            raise
        return  # given back and cleared away a moment ago
    if not about or not isinstance(about, dict):
        return
    holder = Holder.of(about)
    if holder.is_gone(me) or (holder == me and about.get("token") not in _OURS):
        return
    silent_s = _now(stores, store) - (lease.modified or 0.0)
    if holder.is_here(me) or silent_s <= TERMS.stale_s:
        raise FolderInUse(f"{store} is in use by another run ({holder}, last heard of {max(0.0, silent_s):.0f} s ago).")


def _now(stores: Stores, store: str) -> float:
    """Now by the store's own clock: that of a host may be wrong."""
    url = f"{store}/{FOLDER}/now-{uuid.uuid4().hex}"
    try:
        return stores.write(b"?", url).modified or clock.now()
    finally:
        stores.remove(url)


def _write(stores: Stores, url: str, about: dict[str, Any], *, if_absent: bool = False) -> bool:
    """Write a lease; False where somebody else was first."""
    try:
        stores.write(json.dumps(about).encode(), url, if_absent=if_absent)
    except StorageError as error:
        if error.slug != "object_there":
            raise
        return False
    return True


def _url(store: str, number: int) -> str:
    return f"{store}/{FOLDER}/{number:06d}.json"


def _numbers(stores: Stores, store: str) -> dict[int, Stored]:
    found = (
        (each.url.rpartition("/")[2].partition(".")[0], each) for each in stores.list(f"{store}/{FOLDER}", few=True)
    )
    return {int(name): each for name, each in found if name.isdecimal()}


def _last(stores: Stores, store: str) -> int:
    """The highest number there is; 0 where there is none."""
    return max(_numbers(stores, store), default=0)
