"""Bad rows sieved out, where the command line says `--skip-invalid`; else any problem ends the command."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from batchmod import manifest, rows
from batchmod.app.loading.cells import said_by
from batchmod.app.loading.loaded import Invalid
from batchmod.app.loading.reading import refusal
from batchmod.errors import Problem
from batchmod.model import Manifest, Row


class Sieve:
    """Lets a manifest through only without problems, or, asked to skip, without the rows that have some."""

    def __init__(self, *, reading: manifest.Reading, skip: bool) -> None:
        self._reading = reading
        self._skip = skip
        self._rows: dict[int, Row] = {}
        self.problems: list[Problem] = []

    def sift(self, parsed: Manifest, problems: Sequence[Problem]) -> Manifest:
        """The manifest without the rows that have problems. Raises ManifestError where that will not do."""
        bad = {problem.row for problem in problems}
        numbers = frozenset(number for number in bad if number is not None)
        good = rows.without(parsed.rows, numbers)
        if problems and (not self._skip or None in bad or not good):
            raise refusal([*self.problems, *problems], self._reading)
        self.problems += problems
        self._rows.update({row.number: row for row in rows.those(parsed.rows, numbers)})
        return parsed if len(good) == len(parsed.rows) else replace(parsed, rows=good)

    def invalid(self) -> tuple[Invalid, ...]:
        """The rows that were left out, in their order."""
        why: dict[int, list[str]] = {}
        for problem in self.problems:
            assert problem.row is not None
            cell = f"{problem.field}: " if problem.field else ""
            why.setdefault(problem.row, []).append(f"{cell}{problem.message}")
        lacking = {problem.row for problem in self.problems if problem.field == "first_frame_url"}
        known = {
            row.number: Invalid(
                number=row.number,
                id=row.id,
                why="",
                own=row.own,
                line=row.place.line,
                # one that could not be paired is not what it would be without a picture
                said={} if row.number in lacking and row.first_frame_url is None else said_by(row),
            )
            for row in self._rows.values()
        }
        known |= {
            each.number: Invalid(number=each.number, id=each.id, why="", own=each.own, line=each.line, said=each.said)
            for each in self._reading.rejected
        }
        return tuple(replace(known[number], why="; ".join(why[number])) for number in sorted(why))

    def left_out(self) -> Iterator[tuple[int, Row]]:
        """The rows that were good as texts, and were left out later."""
        yield from sorted(self._rows.items())
