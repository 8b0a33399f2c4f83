"""Video and image files: the only room that opens them (PyAV), and it trusts their bytes, never their names."""

from batchmod.media.checking import verify_video
from batchmod.media.conform import Conformed, conform
from batchmod.media.likeness import are_same_pixels, frame_facts, likeness
from batchmod.media.pictures import png_of, thumbnail_jpeg, write_png
from batchmod.media.preparing import prepare
from batchmod.media.proxies import proxy
from batchmod.media.reading import Frame, first_frame, probe_image, probe_video, read_frames, read_image
from batchmod.media.sampling import GLANCE, Sampled, Taken, sample
from batchmod.media.stored import clip_facts, declared_facts
from batchmod.media.writing import VideoWriter

__all__ = [
    "GLANCE",
    "Conformed",
    "Frame",
    "Sampled",
    "Taken",
    "VideoWriter",
    "are_same_pixels",
    "clip_facts",
    "conform",
    "declared_facts",
    "first_frame",
    "frame_facts",
    "likeness",
    "png_of",
    "prepare",
    "probe_image",
    "probe_video",
    "proxy",
    "read_frames",
    "read_image",
    "sample",
    "thumbnail_jpeg",
    "verify_video",
    "write_png",
]
