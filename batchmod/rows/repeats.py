"""Which of a million texts are there twice, while nothing but their hashes is kept."""

from collections import Counter
from collections.abc import Iterable


class Repeats:
    """Told the hashes of texts, it knows which may be there twice: all that are, and hardly any other."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._twice: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._twice)

    def add(self, hashes: Iterable[int]) -> None:
        """Take note of a group of texts."""
        counts = Counter(hashes)
        self._twice.update(each for each, count in counts.items() if count > 1)
        self._twice.update(self._seen & counts.keys())
        self._seen.update(counts)

    def __contains__(self, text: str) -> bool:
        return hash(text) in self._twice

    def any_of(self, hashes: Iterable[int]) -> bool:
        """Whether one of these may be there twice."""
        return bool(self._twice) and not self._twice.isdisjoint(hashes)
