"""When the next request may start and whether the money reaches: pure values; the time and the dice are arguments."""

from batchmod.limits.bucket import TokenBucket
from batchmod.limits.circuit import Circuit
from batchmod.limits.money import Budget
from batchmod.limits.pace import Learned, Pace, Ticket
from batchmod.limits.polls import Ages, PollBudget, poll_delay
from batchmod.limits.told import Told, told
from batchmod.limits.window import Window

__all__ = [
    "Ages",
    "Budget",
    "Circuit",
    "Learned",
    "Pace",
    "PollBudget",
    "Ticket",
    "TokenBucket",
    "Told",
    "Window",
    "poll_delay",
    "told",
]
