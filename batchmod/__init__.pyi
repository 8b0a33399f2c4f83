# The public names with their types; they are imported when they are used.

from batchmod.api import LoadedManifest as LoadedManifest
from batchmod.api import load_manifest as load_manifest
from batchmod.api import plan as plan
from batchmod.api import run as run
from batchmod.api import run_sync as run_sync
from batchmod.app import Outlook as Outlook
from batchmod.app import Summary as Summary
from batchmod.changes import Change as Change
from batchmod.changes import Changes as Changes
from batchmod.changes import Difference as Difference
from batchmod.errors import BatchmodError as BatchmodError
from batchmod.errors import FolderInUse as FolderInUse
from batchmod.errors import ManifestError as ManifestError
from batchmod.errors import MediaError as MediaError
from batchmod.errors import MissingExtra as MissingExtra
from batchmod.errors import MissingKey as MissingKey
from batchmod.errors import OtherManifest as OtherManifest
from batchmod.errors import Place as Place
from batchmod.errors import Problem as Problem
from batchmod.errors import RecordOnNetwork as RecordOnNetwork
from batchmod.errors import RecordRefused as RecordRefused
from batchmod.errors import SpendingNeedsAWord as SpendingNeedsAWord
from batchmod.errors import StoppedEarly as StoppedEarly
from batchmod.errors import UsageError as UsageError
from batchmod.forecast import Cap as Cap
from batchmod.forecast import Reused as Reused
from batchmod.forecast import Share as Share
from batchmod.forecast import Span as Span
from batchmod.model import Estimate as Estimate
from batchmod.model import Event as Event
from batchmod.model import Job as Job
from batchmod.model import Row as Row
from batchmod.model import Status as Status
from batchmod.planning import Action as Action
from batchmod.planning import Item as Item
from batchmod.results import RowResult as RowResult

__version__: str
__all__ = [
    "Action",
    "BatchmodError",
    "Cap",
    "Change",
    "Changes",
    "Difference",
    "Estimate",
    "Event",
    "FolderInUse",
    "Item",
    "Job",
    "LoadedManifest",
    "ManifestError",
    "MediaError",
    "MissingExtra",
    "MissingKey",
    "OtherManifest",
    "Outlook",
    "Place",
    "Problem",
    "RecordOnNetwork",
    "RecordRefused",
    "Reused",
    "Row",
    "RowResult",
    "Share",
    "Span",
    "SpendingNeedsAWord",
    "Status",
    "StoppedEarly",
    "Summary",
    "UsageError",
    "__version__",
    "load_manifest",
    "plan",
    "run",
    "run_sync",
]
