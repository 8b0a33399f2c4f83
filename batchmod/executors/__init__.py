"""Where work runs: in a thread, in processes of this machine, or on a Ray cluster."""

from batchmod.executors.children import environment
from batchmod.executors.inline import Inline
from batchmod.executors.processes import Processes, cores

__all__ = ["Inline", "Processes", "cores", "environment"]
