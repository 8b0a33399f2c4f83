"""The small pictures of an output and of its source: where they lie below the output folder."""

from pathlib import PurePosixPath
from typing import Final

from batchmod.report import THUMBS

WIDTH: Final = 320
"""Pixels of the widest one."""


def of_output(output: str) -> str:
    """`thumbs/woman_v001.jpg`, of `videos/woman_v001.mp4`; folders of a naming template stay."""
    return f"{THUMBS}/{_stem(output)}.jpg"


def of_source(output: str) -> str:
    """`thumbs/woman_v001.source.jpg`: of the clip that the same output was made from."""
    return f"{THUMBS}/{_stem(output)}.source.jpg"


def _stem(output: str) -> str:
    path = PurePosixPath(output)
    return str(PurePosixPath(*path.parts[1:]).with_suffix("")) if len(path.parts) > 1 else path.stem
