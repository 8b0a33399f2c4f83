"""The composition root: a manifest's whole path, from its file to finished videos."""

from batchmod.app.loading import Loaded, load, where
from batchmod.app.options import Options
from batchmod.app.running import Control, Summary, run
from batchmod.app.showing import Standing, planned, rewrite, standing

__all__ = [
    "Control",
    "Loaded",
    "Options",
    "Standing",
    "Summary",
    "load",
    "planned",
    "rewrite",
    "run",
    "standing",
    "where",
]
