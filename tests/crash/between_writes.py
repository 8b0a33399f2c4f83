"""batchmod's command line, killed before the k-th transaction that it begins: `between_writes.py K WORDS…`."""

import os
import signal
import sqlite3
import sys
from typing import Any

from batchmod.cli import main


class Killer:
    """Counts the transactions of all connections of this process."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.count = 0

    def __call__(self, statement: str) -> None:
        self.count += statement.startswith("BEGIN")
        if self.count == self.k:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    killer, connect = Killer(int(sys.argv[1])), sqlite3.connect

    def watched(*words: Any, **named: Any) -> sqlite3.Connection:
        """A connection whose statements are heard."""
        made: sqlite3.Connection = connect(*words, **named)
        made.set_trace_callback(killer)
        return made

    sqlite3.connect = watched  # type: ignore[assignment]
    sys.exit(main(sys.argv[2:]))
