"""Carries a clip's sound over into an MP4: packets as they are where MP4 can hold them, AAC otherwise."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from batchmod.media.containers import OpenVideo

COPIED: Final = frozenset({"aac", "mp3", "mp3float", "mp2", "ac3", "eac3", "alac", "opus", "libopus", "flac"})
"""Decoders whose packets live in MP4 and play there."""

AAC_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
AAC_BITS_PER_S: Final = 192_000


class Sound:
    """The sound of `source`, handed to `output` as the pictures go on; times are moved by -`origin_s`."""

    def __init__(self, source: OpenVideo, output: OutputContainer, origin_s: Fraction) -> None:
        self._output = output
        self._origin_s = origin_s
        self._targets = {stream.index: _target(output, stream) for stream in source.container.streams.audio}
        self._packets = self._all_packets(source)
        self._next = next(self._packets, None)

    def mux(self, *, until_s: Fraction | None) -> None:
        """Hand over what starts up to a time, so that it lies beside its pictures in the file; None is all."""
        while self._next is not None and (until_s is None or _starts_s(self._next) <= until_s):
            self._output.mux_one(self._next)
            self._next = next(self._packets, None)

    def _all_packets(self, source: OpenVideo) -> Iterator["Packet[AudioStream]"]:
        sources = source.container.streams.audio
        for packet in source.container.demux(sources) if sources else ():
            target = self._targets[packet.stream.index]
            if packet.stream.codec_context.name not in COPIED:
                yield from self._as_aac(packet, target)
            elif packet.dts is not None:
                packet.stream = target
                yield self._moved(packet)

    def _as_aac(self, packet: "Packet[AudioStream]", target: AudioStream) -> Iterator["Packet[AudioStream]"]:
        """The packet decoded and encoded anew; the empty packet at a stream's end flushes both codecs."""
        for frame in packet.decode():
            for encoded in target.encode(frame):
                yield self._moved(encoded)
        if packet.dts is None:
            for encoded in target.encode(None):
                yield self._moved(encoded)

    def _moved(self, packet: "Packet[AudioStream]") -> "Packet[AudioStream]":
        if self._origin_s and packet.pts is not None and packet.dts is not None:
            ticks = round(self._origin_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        return packet


def _target(output: OutputContainer, source: AudioStream) -> AudioStream:
    if source.codec_context.name in COPIED:
        return output.add_stream_from_template(source)
    rate = source.rate if source.rate in AAC_RATES else 48000
    # By number: many PCM files leave open which channel is which.
    layout = LAYOUTS.get(source.layout.nb_channels, "stereo")
    return output.add_stream("aac", rate=rate, layout=layout, bit_rate=AAC_BITS_PER_S)


def _starts_s(packet: "Packet[AudioStream]") -> Fraction:
    return (packet.dts or 0) * packet.time_base
