"""How good outputs are, as the record keeps it."""

import json
from collections.abc import Iterable

from batchmod.checkpoint.opened import Opened
from batchmod.checkpoint.values import scored_of
from batchmod.model import Scored


class ScoredOutputs(Opened):
    """The scores of outputs, and which outputs have none."""

    def scores_of(self, work_ids: Iterable[int]) -> dict[int, Scored]:
        """work_id → the newest scores of its output, as far as that is still the one that was looked at."""
        query = (
            "SELECT s.work_id, s.sha256, s.scores, s.problem FROM json_each(?) k "
            "CROSS JOIN score s ON s.work_id = k.value JOIN work w ON w.work_id = s.work_id AND w.sha256 = s.sha256 "
            "ORDER BY s.form"
        )
        found = self._db.execute(query, (json.dumps(list(work_ids)),))
        return {row[0]: scored_of(row) for row in found}

    def unscored(self, form: int, *, remote: bool = True) -> list[int]:
        """The works whose output is here and has no scores by these formulas, newest first.

        `remote`: those too whose source is on the web.
        """
        query = (
            "SELECT work_id FROM work w WHERE status = 'succeeded' AND sha256 IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM score s WHERE s.work_id = w.work_id AND s.form >= ? "
            "AND s.sha256 = w.sha256 AND s.scores IS NOT NULL) "
            "AND (? OR json_extract(inputs, '$.video.local')) ORDER BY work_id DESC"
        )
        return [row[0] for row in self._db.execute(query, (form, remote))]

    def awaiting_scores(self, job_keys: Iterable[str], *, remote: bool) -> int:
        """How many of these keys have an output that nobody has looked at, and that can be compared with its source.

        `remote`: also with one that is on the web.
        """
        # `+`: by the key's index, not by that of all that have succeeded
        query = (
            "SELECT count(*) FROM json_each(?) k CROSS JOIN work w ON w.work_id = "
            "(SELECT max(work_id) FROM work WHERE job_key = k.value AND +status = 'succeeded') "
            "WHERE json_extract(w.inputs, '$.video') IS NOT NULL AND (? OR json_extract(w.inputs, '$.video.local')) "
            "AND NOT EXISTS (SELECT 1 FROM score s WHERE s.work_id = w.work_id AND s.sha256 = w.sha256)"
        )
        return int(self._db.execute(query, (json.dumps(list(job_keys)), remote)).fetchone()[0])

    def newest_outputs(self, most: int) -> list[tuple[int, str]]:
        """The works and files of the newest outputs that were delivered."""
        query = "SELECT work_id, path FROM delivery WHERE delivered ORDER BY work_id DESC LIMIT ?"
        return self._db.execute(query, (most,)).fetchall()
