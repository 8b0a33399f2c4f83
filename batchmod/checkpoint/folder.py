"""What the record keeps of the folder itself: who owns it, its manifests' rows, its runs, its uploads."""

from collections.abc import Iterable, Mapping
from itertools import chain, islice

from batchmod.checkpoint.reading import Reader
from batchmod.checkpoint.values import StoredRow, dump, scores_as_json
from batchmod.model import Scored


class Folder(Reader):
    """One output folder's record, open to be written."""

    _epoch: str | None = None

    def own(self) -> None:
        """Begin a new epoch of the folder: whoever began under an earlier one can write no intent any more."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO folder VALUES ('epoch', '1') "
                "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)"
            )
            epoch = self.fact("epoch")
        self._epoch = epoch
        self._remembers = True

    def shown(self) -> None:
        """Write down that results.csv and the report show all that was known under this run's epoch."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO folder VALUES ('shown', ?)", (self._epoch,))

    def not_shown(self) -> bool:
        """Whether the owner before this one did not live to show what it had done."""
        return self._epoch is not None and self.fact("shown") != str(int(self._epoch) - 1)

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts of the folder."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO folder VALUES (?, ?)", facts.items())

    def indexed(self, standing: str) -> None:
        """Write down that the index of paid work, which stands like this, knows all that is known here."""
        self.set_facts({"indexed": f"{self._epoch} {standing}"})

    def is_indexed(self, standing: str) -> bool:
        """Whether the owner before this one has told the index everything, and it still stands like that."""
        return self._epoch is not None and self.fact("indexed") == f"{int(self._epoch) - 1} {standing}"

    def store_rows(self, rows: Iterable[StoredRow], *, digest: str, replacing: Iterable[str] = ()) -> None:
        """Replace a manifest's rows, unless they are (by `digest`) the ones already here.

        `replacing`: the names that the manifest's file had before.
        """
        rows = iter(rows)
        head = tuple(islice(rows, 1))
        manifests = {"", *replacing, *(row.manifest for row in head)}
        name = f"rows_digest {min(manifests - {''}, default='')}".strip()
        if self.fact(name) == digest:
            return
        with self._transaction() as db:
            db.executemany("DELETE FROM manifest_row WHERE manifest = ?", ((each,) for each in manifests))
            db.executemany(
                "INSERT INTO manifest_row VALUES (?, ?, ?, ?, ?, ?)",
                ((r.number, r.id, r.job_key, r.status, dump(r.fields), r.manifest) for r in chain(head, rows)),
            )
            db.execute("INSERT OR REPLACE INTO folder VALUES (?, ?)", (name, digest))

    def arm_reviews(self, ids: Iterable[str]) -> None:
        """Rows seen without `redo`: the next time they say it, it counts anew."""
        with self._transaction() as db:
            folded = ((row_id.casefold(),) for row_id in ids)
            db.executemany("UPDATE review SET armed = 1 WHERE id_folded = ? AND armed = 0", folded)

    def begin_run(self, run_id: str, *, at: float) -> None:
        """Write down that a run began."""
        with self._transaction() as db:
            db.execute("INSERT INTO run (run_id, started_at) VALUES (?, ?)", (run_id, at))

    def end_run(self, run_id: str, *, at: float, exit_code: int, stop_reason: str | None) -> None:
        """Write down how a run ended."""
        with self._transaction() as db:
            db.execute(
                "UPDATE run SET ended_at = ?, exit_code = ?, stop_reason = ? WHERE run_id = ?",
                (at, exit_code, stop_reason, run_id),
            )

    def keep_scores(self, found: Iterable[Scored], *, form: int) -> None:
        """Write down scores, or why there are none; `form`: of the formulas."""
        with self._transaction() as db:
            for each in found:
                scores = None if each.scores is None else dump(scores_as_json(each.scores))
                values = (each.work_id, form, each.sha256, scores, each.problem)
                db.execute("INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?)", values)

    def remember_upload(self, provider: str, origin: str, sha256: str, *, url: str, at: float) -> None:
        """Remember a file's URL at a provider."""
        with self._transaction() as db:
            values = (provider, origin, sha256, url, at)
            db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)", values)

    def forget_uploads_in(self, provider: str, message: str) -> None:
        """Forget the files whose URL a failure names: they are not to be had there any more."""
        bare = "CASE instr(url, '?') WHEN 0 THEN url ELSE substr(url, 1, instr(url, '?') - 1) END"
        with self._transaction() as db:
            db.execute(f"DELETE FROM upload WHERE provider = ? AND instr(?, {bare}) > 0", (provider, message))  # noqa: S608 - a constant

    def forget_upload(self, provider: str, origin: str, sha256: str) -> None:
        """Forget a file's URL, which the provider no longer knows."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM upload WHERE provider = ? AND origin = ? AND sha256 = ?",
                (provider, origin, sha256),
            )
