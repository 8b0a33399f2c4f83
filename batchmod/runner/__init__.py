"""Carries out a Plan: intent → act → receipt, job by job, and tells `observe` what happens.

The order of the record's calls is the promise of the product: a paid request leaves only after its intent is on
disk (`submitting`), its id is on disk before anything else is done, and an output counts only when its checked file
has its final name (`delivering`).
"""

from batchmod.runner.desk import Settings, Tools
from batchmod.runner.gates import Gates
from batchmod.runner.resolving import recover
from batchmod.runner.run import Runner

__all__ = ["Gates", "Runner", "Settings", "Tools", "recover"]
