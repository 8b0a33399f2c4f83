"""Objects in buckets: looked at, fetched, put whole or not at all, signed. The only room that imports fsspec."""

from batchmod.storage.objects import Pieces, Stored
from batchmod.storage.opening import require
from batchmod.storage.stores import SIGNED_FOR_S, Stores
from batchmod.storage.webdav import WebDav

__all__ = ["SIGNED_FOR_S", "Pieces", "Stored", "Stores", "WebDav", "require"]
