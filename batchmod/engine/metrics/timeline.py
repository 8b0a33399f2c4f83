"""A curve of a value over a clip of unknown length, in bounded memory."""

from collections.abc import Sequence

_POINTS = 128


class Timeline:
    """Keeps at most 128 evenly spaced points; when full, every second one is dropped and the spacing doubles."""

    def __init__(self, spacing: int = 1) -> None:
        self._spacing = spacing
        self._points: list[tuple[int, float]] = []

    def wants(self, number: int) -> bool:
        """Whether the value of frame `number` would be kept; lets dear values be computed only where they are."""
        return number % self._spacing == 0

    def add(self, number: int, value: float) -> None:
        """Give the value of frame `number`; numbers rise."""
        if not self.wants(number):
            return
        if len(self._points) == _POINTS:
            self._spacing *= 2
            self._points = [point for point in self._points if point[0] % self._spacing == 0]
            if not self.wants(number):
                return
        self._points.append((number, value))

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """(frame number, value), in order."""
        return tuple(self._points)


def early_and_late(points: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """The mean value over the second and third tenth of a clip, and over its last fifth; None below four points.

    The first tenth is left out: it shows the keyframe itself, which nothing later can equal.
    """
    if len(points) < 4:  # noqa: PLR2004 - see above
        return None
    last = points[-1][0]
    early = [value for number, value in points if 0.1 * last <= number <= 0.3 * last]
    late = [value for number, value in points if number >= 0.8 * last]
    return (sum(early) / len(early), sum(late) / len(late)) if early else None
