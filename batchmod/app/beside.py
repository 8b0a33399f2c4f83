"""What goes on beside a run's requests for outputs that are home: it never holds the run up before its end."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from batchmod.model import Event


class Companion(Protocol):
    """One such work: copies of the outputs, a program of the user's, scores."""

    @property
    def warnings(self) -> Sequence[str]:
        """What could not be done, and why; no row has failed for that."""

    def begin(self) -> None:
        """Take up what is there already; from now on events are heard."""

    def heard(self, event: Event) -> None:
        """An event of the run: an output may have come home."""

    def stop(self) -> None:
        """The run is told to stop: begin nothing more."""

    async def finish(self) -> None:
        """Wait for what is to be done before the run ends; once stopped, only for what cannot be left."""

    async def close(self) -> None:
        """Let go of everything, also where nothing was begun."""


class Beside:
    """All the companions of one run."""

    def __init__(self, companions: Iterable[Companion]) -> None:
        self._all = tuple(companions)
        self._begun: tuple[Companion, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What all of them have to say."""
        return [text for each in self._all for text in each.warnings]

    def begin(self) -> None:
        """Begin all; those of a run that was told to stop before it began do nothing."""
        for each in self._all:
            each.begin()
        self._begun = self._all

    def watching(self, observe: Callable[[Event], None]) -> Callable[[Event], None]:
        """`observe`, and then the companions that have begun."""

        def heard(event: Event) -> None:
            observe(event)
            for each in self._begun:
                each.heard(event)

        return heard

    def until(self, drain: Callable[[str], None]) -> Callable[[str], None]:
        """The run's brake, which stops the companions too."""

        def stop(slug: str) -> None:
            drain(slug)
            for each in self._all:
                each.stop()

        return stop

    async def finish(self) -> None:
        """Wait for all of them, in their order."""
        for each in self._begun:
            await each.finish()

    async def close(self) -> None:
        """Let go of all of them, whatever one of them says."""
        for each in self._all:
            await each.close()
