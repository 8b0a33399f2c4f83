"""Copies of outputs that are fit for use: in their source's time, sound, size, colours and timecode."""

from batchmod.media.conform.copying import Conformed, conform

__all__ = ["Conformed", "conform"]
