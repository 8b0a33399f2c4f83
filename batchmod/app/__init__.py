"""The composition root: a manifest's whole path, from its file to finished videos."""

from batchmod.app.accounts import balances
from batchmod.app.annotating import annotate
from batchmod.app.beginning import MANIFESTS, Begun, begin
from batchmod.app.checking import Checked, check
from batchmod.app.ending import Summary
from batchmod.app.folder import written_aside
from batchmod.app.framing import Extracted, extract
from batchmod.app.loading import Loaded, load, where
from batchmod.app.options import Options
from batchmod.app.outlook import Outlook, foresee
from batchmod.app.prepared import is_prepared
from batchmod.app.rebuilding import Rebuilt, rebuild
from batchmod.app.rescuing import Rescued, rescue
from batchmod.app.resolving import Doubt, cancel, resolve
from batchmod.app.running import Control, run
from batchmod.app.scoring import LookedAt, look_at_missing
from batchmod.app.showing import Standing, rewrite, standing
from batchmod.app.story import Story, tell

__all__ = [
    "MANIFESTS",
    "Begun",
    "Checked",
    "Control",
    "Doubt",
    "Extracted",
    "Loaded",
    "LookedAt",
    "Options",
    "Outlook",
    "Rebuilt",
    "Rescued",
    "Standing",
    "Story",
    "Summary",
    "annotate",
    "balances",
    "begin",
    "cancel",
    "check",
    "extract",
    "foresee",
    "is_prepared",
    "load",
    "look_at_missing",
    "rebuild",
    "rescue",
    "resolve",
    "rewrite",
    "run",
    "standing",
    "tell",
    "where",
    "written_aside",
]
