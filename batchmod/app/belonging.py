"""Which manifests an output folder belongs to: the one that came first, and those that were added."""

from batchmod.app.folder import where
from batchmod.app.loading import Loaded
from batchmod.checkpoint import Checkpoint
from batchmod.errors import ManifestError, OtherManifest, Problem


def claim(record: Checkpoint, loaded: Loaded, *, add: bool = False) -> None:
    """Bind the folder to its manifest by name. Raises OtherManifest for another one, unless it is to be added."""
    refuse_other(record, loaded, add=add)
    name, place = loaded.manifest.name, where(loaded)
    first = record.fact("manifest_name")
    if first not in (None, name):
        record.set_facts({f"added_manifest {name}": place})
    elif first is None or record.fact("manifest_file") != place:
        record.set_facts({"manifest_name": name, "manifest_file": place})


def refuse_other(record: Checkpoint, loaded: Loaded, *, add: bool) -> None:
    """Raise OtherManifest where the folder belongs to a manifest of another name, and this one is not to be added.

    Raises ManifestError where it may be added, and has ids that the other one has.
    """
    name, place = loaded.manifest.name, where(loaded)
    first = record.fact("manifest_name")
    added = record.fact(f"added_manifest {name}")
    if first in (None, name):
        return
    if not add and added is None:
        raise OtherManifest(
            f"{loaded.folder} belongs to the manifest '{first}', not '{name}': choose another --output, "
            "or say --add to keep both manifests' rows there"
        )
    _refuse_same_ids(record, loaded, own={place, added or place})


def _refuse_same_ids(record: Checkpoint, loaded: Loaded, *, own: set[str]) -> None:
    """Ids are unique over all manifests of a folder. Raises ManifestError with each that is not."""
    taken = {row.id.casefold(): row for row in record.stored_rows() if row.manifest not in own}
    problems = [
        Problem(
            place=row.places.get("id", row.place),
            field="id",
            message=f"the id '{row.id}' belongs to row {taken[row.id.casefold()].number} of "
            f"{taken[row.id.casefold()].manifest}, which has this output folder too",
            row=row.number,
        )
        for row in loaded.manifest.rows
        if row.id.casefold() in taken
    ]
    if problems:
        raise ManifestError(problems)
