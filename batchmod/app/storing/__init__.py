"""One run and the store that its outputs go to: who owns it, whose record counts, and what is put up at which moment.

The order is the promise. The store is owned, and looked at, before the record is opened; it says that a run is on
before the first request leaves; the record goes up at intervals, and a last time when the run has closed it; only then
the card says that this is all.
"""

from batchmod.app.storing.comparing import glimpse
from batchmod.app.storing.session import opened
from batchmod.app.storing.staying import Nowhere

__all__ = ["Nowhere", "glimpse", "opened"]
