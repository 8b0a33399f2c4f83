"""The record here and the one in the store: which of them counts. Where it is the store's, it is taken down."""

from dataclasses import dataclass

from batchmod import files
from batchmod.app import folder as folders
from batchmod.app import pointer, rebuilding
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.app.storing import carding, mirroring, taking
from batchmod.app.storing.carding import Card, Standing
from batchmod.app.storing.connection import Connection, card_of, stores_of
from batchmod.errors import MissingExtra, RecordElsewhere, RecordRefused, StorageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A record that was taken down from the store at the beginning of a run."""

    card: Card
    only_a_copy: bool
    """Whether requests that its run has sent later may be unknown to it."""

    def words(self, store: str) -> str:
        """What to say of it."""
        said = f"went on with the record of {store}, put there at {self.card.at} by {self.card.machine}"
        if self.only_a_copy:
            said += "; it is a copy from before the end of that run: requests sent later are not known to it"
        if self.card.only_there:
            said += f"; {self.card.only_there:,} outputs were not put there and lie on that machine alone"
        return said


def settle(connection: Connection, loaded: Loaded, options: Options) -> Taken | None:
    """See that the record here is the one that counts, or take the other one down; None where it is the one here.

    Raises RecordElsewhere where neither may take the other's place, RecordRefused and StorageError.
    """
    card, here = connection.card, _here(connection, options)
    match standing := carding.stand(card, here):
        case Standing.EMPTY:
            if here is None:
                _refuse_traces(connection)
            return None
        case Standing.OURS:
            return None
        case Standing.NEWER:
            return _take(connection, loaded, options, only_a_copy=False)
        case Standing.UNFINISHED if options.take_copy:
            return _take(connection, loaded, options, only_a_copy=True)
        case Standing.UNFINISHED | Standing.APART | Standing.OTHER:
            assert card is not None
            shown = files.shortest(connection.folder)
            raise RecordElsewhere(carding.refusal(standing, card, connection.store, shown))


def glimpse(loaded: Loaded, options: Options) -> str | None:
    """What is worth knowing of the store before a run, looked up without writing; None where that is nothing."""
    if loaded.store is None:
        return None
    stores = stores_of(loaded.store, loaded.services.environ)
    try:
        card = card_of(stores, loaded.store)
    except (StorageError, MissingExtra, RecordRefused) as error:
        return f"a run could not use the store: {error} [{error.slug}]"
    finally:
        stores.close()
    if card is None or pointer.record_file(loaded.folder, options.state).exists():
        return None
    does = "a run takes it down first and sends only what it lacks" if card.final else "a run refuses to go on with it"
    return f"{loaded.store} holds a record of {card.at} by {card.machine}, and there is none here: {does}"


def _here(connection: Connection, options: Options) -> carding.Here | None:
    """What the record here says; None where there is none."""
    folder, store = connection.folder, connection.store
    try:
        record = folders.look_if_there(folder, state=options.state)
    except RecordRefused as error:
        if connection.card is None or pointer.record_file(folder, options.state).exists():
            raise
        text = f"{error} {store} holds a record of {connection.card.at}: move {folder} away to go on with that one."
        raise RecordRefused(text) from error
    if record is None:
        return None
    with record:
        return carding.here(record)


def _refuse_traces(connection: Connection) -> None:
    """Raise RecordRefused where outputs lie there of which nobody knows what was paid for them."""
    for folder in (*mirroring.FOLDERS, carding.RECORDS):
        if (found := next(iter(connection.stores.list(f"{connection.store}/{folder}")), None)) is not None:
            raise RecordRefused(
                f"{found.url} lies there, but no {carding.NAME} in {connection.store} says whose it is, and there is "
                f"no record in {connection.folder}: nobody knows what was paid. Nothing was sent. Put the record back, "
                "or choose another --output."
            )


def _take(connection: Connection, loaded: Loaded, options: Options, *, only_a_copy: bool) -> Taken:
    folder, card = connection.folder, connection.card
    assert card is not None
    taking.take(connection.stores, connection.store, card, folder, pointer.record_file(folder, options.state))
    if only_a_copy:
        rebuilding.rebuilt(folder, loaded.services)  # the event log that came with it may know more
        with folders.open_record(folder, create=False, state=options.state) as taken:
            carding.only_a_copy(taken, card)
    return Taken(card=card, only_a_copy=only_a_copy)
