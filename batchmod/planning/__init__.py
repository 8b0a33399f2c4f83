"""What a run would do with each row, decided without clock, dice or disk."""

from batchmod.planning.again import redo_counts
from batchmod.planning.known import Known, Wishes, latest_by_key, wishes_by_key
from batchmod.planning.lines import Action, Alike, Flaw, Item, Items, Plan
from batchmod.planning.prices import price_of, unpriced
from batchmod.planning.terms import expiry_problem, flaw_of, public_files
from batchmod.planning.whole import plan

__all__ = [
    "Action",
    "Alike",
    "Flaw",
    "Item",
    "Items",
    "Known",
    "Plan",
    "Wishes",
    "expiry_problem",
    "flaw_of",
    "latest_by_key",
    "plan",
    "price_of",
    "public_files",
    "redo_counts",
    "unpriced",
    "wishes_by_key",
]
