"""Video and image files: the only room that opens them (PyAV), and it trusts their bytes, never their names."""

from batchmod.media.checking import verify_video
from batchmod.media.pictures import thumbnail_jpeg, write_png
from batchmod.media.reading import Frame, first_frame, probe_image, probe_video, read_frames, read_image
from batchmod.media.writing import VideoWriter

__all__ = [
    "Frame",
    "VideoWriter",
    "first_frame",
    "probe_image",
    "probe_video",
    "read_frames",
    "read_image",
    "thumbnail_jpeg",
    "verify_video",
    "write_png",
]
