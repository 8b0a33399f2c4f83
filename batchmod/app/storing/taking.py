"""What another machine has left in a store, taken down: its record, its tables and its event log. Its videos stay.

Everything is fetched into `.taking/` first. When all of it is there, so is a mark (`ready`), and only then do the files
get their names, the record as the last of them: after a kill the next run begins anew, or ends what was begun.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from batchmod import clock, files
from batchmod.app import pointer
from batchmod.app.bookkeeping import Book, Up
from batchmod.app.storing import carding, mirroring
from batchmod.app.storing.carding import Card
from batchmod.checkpoint import Checkpoint
from batchmod.errors import RecordRefused, StorageError
from batchmod.storage import Stores

FOLDER: Final = ".taking"
_READY: Final = "ready"
_RECORD: Final = "record.sqlite3"


def take(stores: Stores, store: str, card: Card, folder: Path, record: Path) -> None:
    """Take down what a card tells of, and put it in the place of what is here, which is kept (`.before-<time>`).

    Raises StorageError, and RecordRefused where the copy is not the one that the card names.
    """
    begun = folder / FOLDER
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    _fetch_record(stores, store, card, begun / _RECORD)
    for name in filter(mirroring.is_ours, card.pages):
        try:
            stores.fetch(f"{store}/{name}", begun / name)
        except StorageError as error:
            if error.slug != "object_missing":  # somebody has removed it; it is the record that counts
                raise
    _keep_book(stores, store, begun)
    ready = json.dumps({"record": str(record)}).encode()
    files.write_whole(begun / _READY, lambda file: file.write(ready))
    end(folder)


def end(folder: Path) -> None:
    """Give what was taken down its names, where all of it had come; forget it where it had not."""
    begun = folder / FOLDER
    if not (begun / _READY).exists():
        shutil.rmtree(begun, ignore_errors=True)
        return
    record = Path(json.loads((begun / _READY).read_bytes())["record"])
    if (begun / _RECORD).exists():  # it is the last one
        _give_names(folder, begun, record)
    with Checkpoint.look_at(record) as taken:
        pointer.bind(folder, taken)  # a record that is not in its folder is found by nothing else
    shutil.rmtree(begun)


def _give_names(folder: Path, begun: Path, record: Path) -> None:
    for path in sorted(begun.rglob("*")):
        name = path.relative_to(begun)
        if path.is_file() and str(name) not in (_READY, _RECORD):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(folder / name)
    pointer.make_home(record)
    _put_aside(record)
    shutil.move(begun / _RECORD, record)
    files.sync_folder(record.parent)
    files.sync_folder(folder)


def _fetch_record(stores: Stores, store: str, card: Card, target: Path) -> None:
    url = f"{store}/{card.record}"
    if card.record is None:
        raise RecordRefused(f"{store} has no copy of the record yet: the run of {card.run_id} had only begun.")
    stores.fetch(url, target)
    if files.sha256_of(target) != card.sha256:
        raise RecordRefused(
            f"{url} is not the copy that {store}/{carding.NAME} names: its content is another. Nothing was sent. Put "
            "the right one back from an older version of the object, or choose another --output."
        )
    Checkpoint.look_at(target).close()
    drop_sides(target)


def drop_sides(path: Path) -> None:
    """Remove what SQLite may have left beside a copy that was only read."""
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)


def look(stores: Stores, store: str) -> dict[str, Up]:
    """The outputs, copies and small pictures that are up, as one look into the store shows them."""
    found: dict[str, Up] = {}
    for folder in mirroring.FOLDERS:
        for each in stores.list(f"{store}/{folder}"):
            found[each.url.removeprefix(f"{store}/")] = Up(bytes=each.size, etag=each.etag.strip('"') or None)
    return found


def _keep_book(stores: Stores, store: str, folder: Path) -> None:
    """Let the book know what is up, but for outputs of another size than the record's: these are somebody else's."""
    sizes = _sizes(folder / _RECORD)
    up = look(stores, store)
    Book(folder, store).keep_only(
        {name: each for name, each in up.items() if sizes.get(name, each.bytes) == each.bytes}
    )


def _sizes(record: Path) -> dict[str, int]:
    with Checkpoint.look_at(record, whole=False) as known:
        sizes = {work.work_id: work.facts.bytes for work in known.works() if work.facts is not None}
        given = [each for some in known.deliveries().values() for each in some if each.delivered]
        found = {each.path: sizes[each.work_id] for each in given if each.work_id in sizes}
    drop_sides(record)
    return found


def _put_aside(record: Path) -> None:
    """Keep the record that was here, its last entries too."""
    stamp = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%S%fZ")
    for side in ("-shm", "-wal", ""):
        if (there := record.with_name(record.name + side)).exists():
            there.rename(record.with_name(f"{record.name}.before-{stamp}{side}"))
