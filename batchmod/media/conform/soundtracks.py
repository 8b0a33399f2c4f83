"""Carries sound into a copy, in step with its pictures: packets as they are where its container takes them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from batchmod.media.containers import OpenVideo
from batchmod.media.sound import AAC_BITS_PER_S, AAC_RATES, COPIED, LAYOUTS

_IN_MOV: Final = COPIED - {"opus", "libopus", "flac", "mp2"}
_PCM_IN_MOV: Final = frozenset(
    f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")
)
_PREROLL: Final = 2
"""Packets before the first one that is heard: a decoder needs them to begin."""

_MIDDLE: Final = 128
"""Silence in sounds of unsigned bytes."""

Samples = NDArray[Any]
SoundPacket: TypeAlias = "Packet[AudioStream]"


class Soundtracks:
    """Every sound of `source` from `from_s` of its clock on, for `length_s` seconds."""

    def __init__(self, source: OpenVideo, output: OutputContainer, *, from_s: Fraction, length_s: Fraction) -> None:
        self._output = output
        is_mov = output.format.name == "mov"
        self._tracks: dict[int, _Copied | _Encoded] = {}
        for stream in known_sounds(source):
            kind = _Copied if stream.codec_context.name in (_IN_MOV if is_mov else COPIED) else _Encoded
            self._tracks[stream.index] = kind(stream, output, from_s=from_s, length_s=length_s)
        self._packets = self._all(source)
        self._next = next(self._packets, None)

    def mux(self, *, until_s: Fraction | None) -> None:
        """Hand over what starts up to a time, so that it lies beside its pictures in the file; None is all."""
        while self._next is not None and (until_s is None or _starts_s(self._next) <= until_s):
            self._output.mux_one(self._next)
            self._next = next(self._packets, None)

    def _all(self, source: OpenVideo) -> Iterator[SoundPacket]:
        sources = known_sounds(source)
        packets: Any = source.container.demux(sources) if sources else ()
        for packet in packets:
            yield from self._tracks[packet.stream.index].of(packet)


def known_sounds(source: OpenVideo) -> list[AudioStream]:
    """The sounds of a clip that FFmpeg can read; a phone's spatial one is none."""
    return [stream for stream in source.container.streams.audio if getattr(stream, "codec_context", None) is not None]


class _Copied:
    """A track whose packets go over untouched; the first and the last are cut by the container's own clock."""

    def __init__(self, stream: AudioStream, output: OutputContainer, *, from_s: Fraction, length_s: Fraction) -> None:
        self._target = output.add_stream_from_template(stream)
        _carry_words(stream, self._target)
        self._from_s, self._length_s = from_s, length_s
        self._early: list[SoundPacket] = []

    def of(self, packet: SoundPacket) -> Iterator[SoundPacket]:
        """What becomes of a packet; nothing of the empty one at the end."""
        if packet.dts is None or packet.pts is None:
            return
        base = packet.time_base
        moved = packet.pts - round(self._from_s / base)
        end = self._length_s / base
        if moved >= end:
            return
        packet.dts = packet.dts + moved - packet.pts
        packet.pts, packet.stream = moved, self._target
        over = moved + (packet.duration or 0)
        if over <= 0:
            self._early = [*self._early[-(_PREROLL - 1) :], packet]
            return
        yield from self._early
        self._early = []
        if over > end:
            packet.duration = max(1, round(end) - moved)
        yield packet


class _Encoded:
    """A track that the container cannot hold as it is: PCM in QuickTime, AAC in MP4, cut to the sample."""

    def __init__(self, stream: AudioStream, output: OutputContainer, *, from_s: Fraction, length_s: Fraction) -> None:
        self._target = _target(output, stream)
        _carry_words(stream, self._target)
        self._rate = stream.rate
        self._from_s = from_s
        self._end = round(length_s * stream.rate)
        self._next = 0

    def of(self, packet: SoundPacket) -> Iterator[SoundPacket]:
        """What a packet's sound becomes; the empty packet at a stream's end flushes both codecs."""
        for frame in packet.decode():
            for piece in self._pieces(frame):
                yield from self._target.encode(piece)
        if packet.dts is None:
            yield from self._target.encode(None)

    def _pieces(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """The part of a frame that is heard, behind silence where the sound has a hole."""
        at = self._next
        if frame.pts is not None and frame.time_base is not None:
            at = round((frame.pts * frame.time_base - self._from_s) * self._rate)
        # A stamp in milliseconds is off by some samples: what is next in the file is next in time.
        at = self._next if abs(at - self._next) <= self._rate // 500 and self._next else at
        skipped = max(0, self._next - at)
        kept = min(frame.samples, self._end - at)
        if kept <= skipped:
            return
        if at > self._next:
            silence = np.full_like(_samples(frame)[:, :1], _MIDDLE if frame.format.name.startswith("u8") else 0)
            yield self._frame(silence.repeat(at - self._next, axis=1), frame)
        yield self._frame(_samples(frame)[:, skipped:kept], frame)

    def _frame(self, samples: Samples, like: av.AudioFrame) -> av.AudioFrame:
        """A frame of these (channels, samples), as the next of the track."""
        if not like.format.is_planar:
            samples = samples.T.reshape(1, -1)
        made = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=like.format.name, layout=like.layout)
        made.sample_rate, made.pts, made.time_base = self._rate, self._next, Fraction(1, self._rate)
        self._next += made.samples
        return made


def _samples(frame: av.AudioFrame) -> Samples:
    """(channels, samples), whatever order they are stored in."""
    found = frame.to_ndarray()
    return found if frame.format.is_planar else found.reshape(-1, frame.layout.nb_channels).T


def _target(output: OutputContainer, source: AudioStream) -> AudioStream:
    name, rate, layout = "aac", source.rate, LAYOUTS.get(source.layout.nb_channels, "stereo")
    options: dict[str, Any] = {"bit_rate": AAC_BITS_PER_S}
    if output.format.name == "mov":
        name, layout, options = _pcm(source), LAYOUTS.get(source.layout.nb_channels, source.layout.name), {}
    elif rate not in AAC_RATES:
        rate = 48000
    target = output.add_stream(name, rate=rate, layout=layout, **options)
    assert isinstance(target, AudioStream)
    return target


def _pcm(source: AudioStream) -> str:
    """The same PCM, bit for bit; what is compressed becomes 16 bits, or 24 where it has more."""
    name = source.codec_context.name
    if name in _PCM_IN_MOV:
        return name
    return "pcm_s24le" if source.format.name.removesuffix("p") in ("s32", "s64", "dbl") else "pcm_s16le"


def _carry_words(source: AudioStream, target: AudioStream) -> None:
    """The track's language and name."""
    for name in ("language", "title", "handler_name"):
        if name in source.metadata:
            target.metadata[name] = source.metadata[name]


def _starts_s(packet: SoundPacket) -> Fraction:
    return (packet.dts or 0) * packet.time_base
