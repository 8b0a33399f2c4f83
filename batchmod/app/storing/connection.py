"""One run's connection to its store: what speaks to it, the lease on it, and its card."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from batchmod.app.storing import carding, tenancy
from batchmod.app.storing.carding import Card
from batchmod.errors import StoppedEarly, StorageError
from batchmod.lease import Holder
from batchmod.storage import Stores, WebDav
from batchmod.urls import is_stored

_USER: Final = "BATCHMOD_STORE_USER"
_PASSWORD: Final = "BATCHMOD_STORE_PASSWORD"  # noqa: S105 - the variable's name


class Connection:
    """A store as one run has it: owned from `own` to `close`, its card as this run has read or put it last."""

    def __init__(self, stores: Stores, store: str, *, folder: Path, run_id: str) -> None:
        self.stores, self.store = stores, store
        self.folder, self.run_id = folder, run_id
        self.machine = str(Holder.me())
        self.card: Card | None = None
        self._tenancy: tenancy.Tenancy | None = None
        self._stack = ExitStack()

    def own(self) -> None:
        """Take the lease. Raises FolderInUse where another run has it, and StorageError."""
        held = tenancy.held(self.stores, self.store, run_id=self.run_id)
        self._tenancy = self._stack.enter_context(held)

    def check(self) -> None:
        """Raise StoppedEarly where another run has taken the store over."""
        if self._tenancy is not None:
            self._tenancy.check()

    def read_card(self) -> None:
        """Take the card as it lies there. Raises StorageError, and RecordRefused for what is no card."""
        self.card = card_of(self.stores, self.store)

    def put_card(self, card: Card) -> None:
        """Let the store say this of itself. Raises StorageError."""
        self.stores.write(card.as_json(), f"{self.store}/{carding.NAME}")
        self.card = card

    def refuse_strangers(self) -> None:
        """Raise StoppedEarly where another run has written the card since: its record is not to be lost for ours."""
        assert self._tenancy is not None
        self._tenancy.look()
        self._tenancy.check()
        found = card_of(self.stores, self.store)
        # one of this very run may have come there though its answer was lost; where none is, nobody's is lost
        if found is not None and found != self.card and found.run_id != self.run_id:
            text = f"another run has put its record into {self.store} meanwhile; this one's stays in {self.folder}"
            raise StoppedEarly(text, slug="lease_lost")

    def leave(self) -> None:
        """Tell the store nothing more: its card says that a run is on."""
        if self._tenancy is not None:
            self._tenancy.leave()

    def close(self) -> None:
        """Let go of the store."""
        self._stack.close()
        self.stores.close()


def stores_of(store: str, environ: Mapping[str, str]) -> Stores:
    """What speaks to the store; a web server's user and password come from the environment."""
    if is_stored(store):
        return Stores()
    return WebDav(user=environ.get(_USER) or "", password=environ.get(_PASSWORD) or "")


def card_of(stores: Stores, store: str) -> Card | None:
    """What the store says of itself. Raises StorageError, and RecordRefused for what is no card."""
    url = f"{store}/{carding.NAME}"
    try:
        return Card.of(stores.read(url), url=url)
    except StorageError as error:
        if error.slug != "object_missing":
            raise
        return None
