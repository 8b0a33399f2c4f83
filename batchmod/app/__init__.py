"""The composition root: a manifest's whole path, from its file to finished videos."""

from batchmod.app.accounts import balances
from batchmod.app.annotating import annotate
from batchmod.app.beginning import MANIFESTS, Begun, begin
from batchmod.app.folder import written_aside
from batchmod.app.loading import Loaded, load, where
from batchmod.app.options import Options
from batchmod.app.rebuilding import Rebuilt, rebuild
from batchmod.app.rescuing import Rescued, rescue
from batchmod.app.resolving import Doubt, cancel, resolve
from batchmod.app.running import Control, Summary, run
from batchmod.app.showing import Standing, planned, rewrite, standing

__all__ = [
    "MANIFESTS",
    "Begun",
    "Control",
    "Doubt",
    "Loaded",
    "Options",
    "Rebuilt",
    "Rescued",
    "Standing",
    "Summary",
    "annotate",
    "balances",
    "begin",
    "cancel",
    "load",
    "planned",
    "rebuild",
    "rescue",
    "resolve",
    "rewrite",
    "run",
    "standing",
    "where",
    "written_aside",
]
