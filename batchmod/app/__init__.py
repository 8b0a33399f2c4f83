"""The composition root: a manifest's whole path, from its file to finished videos."""

from batchmod.app.accounts import balances
from batchmod.app.annotating import annotate
from batchmod.app.beginning import MANIFESTS, Begun, begin
from batchmod.app.bundling import Bundled, bundle
from batchmod.app.checking import Checked, check
from batchmod.app.cleaning import Cleaned, clean, survey
from batchmod.app.copying import Outcome, deliver, wish_of
from batchmod.app.ending import Summary
from batchmod.app.framing import Extracted, extract
from batchmod.app.loading import Loaded
from batchmod.app.marking import load, where, where_and_how
from batchmod.app.options import Options
from batchmod.app.outlook import Outlook, foresee
from batchmod.app.prepared import is_prepared
from batchmod.app.rebuilding import Rebuilt, rebuild
from batchmod.app.rescuing import Rescued, rescue
from batchmod.app.resolving import Doubt, cancel, resolve
from batchmod.app.reviewing import Reviewed, review
from batchmod.app.running import Control, new_run_id, run
from batchmod.app.scoring.afterwards import LookedAt, look_at_missing
from batchmod.app.showing import Standing, rewrite, standing
from batchmod.app.story import Story, tell
from batchmod.app.tables import written_aside
from batchmod.app.watching import Phase, View, Watch

__all__ = [
    "MANIFESTS",
    "Begun",
    "Bundled",
    "Checked",
    "Cleaned",
    "Control",
    "Doubt",
    "Extracted",
    "Loaded",
    "LookedAt",
    "Options",
    "Outcome",
    "Outlook",
    "Phase",
    "Rebuilt",
    "Rescued",
    "Reviewed",
    "Standing",
    "Story",
    "Summary",
    "View",
    "Watch",
    "annotate",
    "balances",
    "begin",
    "bundle",
    "cancel",
    "check",
    "clean",
    "deliver",
    "extract",
    "foresee",
    "is_prepared",
    "load",
    "look_at_missing",
    "new_run_id",
    "rebuild",
    "rescue",
    "resolve",
    "review",
    "rewrite",
    "run",
    "standing",
    "survey",
    "tell",
    "where",
    "where_and_how",
    "wish_of",
    "written_aside",
]
