"""The record: what was asked for, sent, paid and delivered, in one SQLite file per output folder.

Every method that writes is one transaction, durable when it returns (WAL with `synchronous=FULL`), or with the group
of `together` that it is called in. The order of calls around a paid request is the whole promise: `intend` before the
POST, `accept` before anything else.
"""

from batchmod.checkpoint.copying import copy_record, drop_copy
from batchmod.checkpoint.glance import Flight, Glance, Seen
from batchmod.checkpoint.history import LastRun
from batchmod.checkpoint.migrating import VERSION
from batchmod.checkpoint.opened import NotTogether
from batchmod.checkpoint.opening import APPLICATION_ID, BALLAST_NAME, FILE_NAME, load_ballast, seal
from batchmod.checkpoint.record import Checkpoint
from batchmod.checkpoint.values import StoredRow, Totals, source_of

__all__ = [
    "APPLICATION_ID",
    "BALLAST_NAME",
    "FILE_NAME",
    "VERSION",
    "Checkpoint",
    "Flight",
    "Glance",
    "LastRun",
    "NotTogether",
    "Seen",
    "StoredRow",
    "Totals",
    "copy_record",
    "drop_copy",
    "load_ballast",
    "seal",
    "source_of",
]
