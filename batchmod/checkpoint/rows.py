"""The manifests of a folder and their rows, as the record keeps them."""

import json
from collections.abc import Iterator

from batchmod.checkpoint.opened import Opened
from batchmod.checkpoint.values import StoredRow
from batchmod.model import Review


class Rows(Opened):
    """What the last runs saw of the manifests."""

    def manifests(self) -> dict[str, str]:
        """The manifests of the folder: file, as seen from it, → name."""
        query = "SELECT name, value FROM folder WHERE name LIKE 'added_manifest %'"
        found = {str(place): str(name).partition(" ")[2] for name, place in self._db.execute(query)}
        own, name = self.fact("manifest_file"), self.fact("manifest_name")
        return {own: name, **found} if own is not None and name is not None else found

    def stored_rows(self, *, first: str = "") -> Iterator[StoredRow]:
        """The rows in their order, manifest by manifest, that of the file `first` first."""
        names = [row[0] for row in self._db.execute("SELECT DISTINCT manifest FROM manifest_row ORDER BY manifest")]
        query = (
            "SELECT number, id, job_key, status, fields, manifest FROM manifest_row WHERE manifest = ? ORDER BY number"
        )
        for name in sorted(names, key=lambda name: name not in ("", first)):
            for number, row_id, key, status, fields, manifest in self._db.execute(query, (name,)):
                yield StoredRow(number, row_id, key, status, json.loads(fields), manifest)

    def rows_of(self, job_key: str) -> tuple[str, ...]:
        """The ids of the rows that ask for this, of every manifest of the folder."""
        query = "SELECT id FROM manifest_row WHERE job_key = ? ORDER BY manifest, number"
        return tuple(row[0] for row in self._db.execute(query, (job_key,)))

    def reviews(self) -> dict[str, Review]:
        """Id in casefold → what became of its redo."""
        found = self._db.execute("SELECT id_folded, spent_on, armed FROM review")
        return {row[0]: Review(spent_on=row[1], armed=bool(row[2])) for row in found}
