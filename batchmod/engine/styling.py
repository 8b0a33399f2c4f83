"""Styles a clip frame by frame and shot by shot; arrays only."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from batchmod.engine.ahead import Ahead
from batchmod.engine.fitting import fitted, laid_on
from batchmod.engine.keyframes import Edited, Keyframes, Paint
from batchmod.engine.modes import Mode
from batchmod.engine.moments import Moment, Reason
from batchmod.engine.pairs import Pair, Pairs
from batchmod.engine.raster import Rgb, resized
from batchmod.engine.rekey import restyled
from batchmod.engine.shots import CutDetector
from batchmod.engine.synth import Synthesizer
from batchmod.errors import MediaError

_NEW_CONTENT = 0.02
"""Share of the picture that must be new before a shot gets a new keyframe."""
_SHORTEST = 6
"""Frames between two keyframes of a shot."""
_NAMED = 5
"""A warning names no more shots than this, and no more is said of fitted frames."""


class Styling(Protocol):
    """Styles a clip's frames, given in order."""

    def step(self, frame: Rgb, moment: Moment) -> Rgb:
        """The styled frame."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the frames so far."""
        ...


class FrameByFrame:
    """Applies a look to each frame by itself: right for looks that only change colours, which cannot flicker."""

    def __init__(self, paint: Paint, mode: Mode) -> None:
        self._paint = paint
        self._strength = mode.look_strength

    def step(self, frame: Rgb, moment: Moment) -> Rgb:  # noqa: ARG002 - every frame is alike
        """The frame with the look."""
        return self._paint(frame, self._strength)

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Makers:
    """Who is asked for keyframes: first those of the clip itself, then, where they have none, the others."""

    first: Keyframes
    otherwise: Keyframes | None = None
    prompt: str | None = None
    ahead: Ahead | None = None
    """What finds later keyframes of `first`; None where there are none to be found."""
    clip_size: tuple[int, int] | None = None
    """Width and height of the clip where its frames come smaller; edited frames of that size fit too."""


class ShotByShot:
    """Carries each shot's keyframes through the shot, and finds something for a shot without one.

    In this order: its own keyframe; a later one of the same shot; that of a shot which looks alike; one made by
    `makers.otherwise`; and, as a last resort, the colours and texture of another shot's.
    """

    def __init__(self, makers: Makers, mode: Mode) -> None:
        self._makers = makers
        self._mode = mode
        self._cuts = CutDetector()
        self._pairs = Pairs()
        self._synthesizer: Synthesizer | None = None
        self._leader: Keyframes | None = None
        """Who styles what appears within the shot."""
        self._begun = 0
        self._shot = 0
        self._notes = Notes()

    def step(self, frame: Rgb, moment: Moment) -> Rgb:
        """The styled frame. Raises MediaError(no_look) where nothing at all says how the clip should look."""
        begins = self._cuts.is_cut(frame) or self._synthesizer is None
        self._shot += begins
        here = replace(moment, shot=self._shot, reason=Reason.SHOT if begins else Reason.PASSING)
        if own := self._makers.first.edited(frame, here, self._makers.prompt):
            return self._keyed(frame, own, here)
        if begins:
            return self._without_own(frame, here)
        assert self._synthesizer is not None
        return self._refreshed(frame, here, self._synthesizer)

    def warnings(self) -> tuple[str, ...]:
        """Which keyframes had to be fitted, and which shots had none."""
        return self._notes.warnings()

    def _keyed(self, frame: Rgb, edited: Edited, moment: Moment) -> Rgb:
        """The output of a keyframe of the first makers'."""
        pair = self._pair(frame, edited, moment.shot)
        self._pairs.add(pair)
        self._leader = self._makers.first
        return self._begin(pair, moment).first()

    def _without_own(self, frame: Rgb, moment: Moment) -> Rgb:
        """The output of a shot's first frame that has no keyframe of its own."""
        coming = self._coming(moment)
        if coming and coming.shot == moment.shot:
            return self._continued(coming, frame, moment)
        if seen := self._pairs.showing(frame):
            return self._continued(seen, frame, moment)
        others = self._makers.otherwise
        if others and (made := others.edited(frame, moment, self._makers.prompt)):
            self._notes.made(made.name, moment)
            self._leader = others
            return self._begin(self._pair(frame, made, moment.shot), moment).first()
        return self._borrowed(frame, moment, self._pairs.nearest(frame) or coming)

    def _coming(self, moment: Moment) -> Pair | None:
        coming = self._makers.ahead.after(moment.frame) if self._makers.ahead else None
        return self._pair(coming.frame, coming.edited, coming.moment.shot) if coming else None

    def _continued(self, pair: Pair, frame: Rgb, moment: Moment) -> Rgb:
        """The frame as if it followed the pair's; both show the same."""
        self._leader = self._makers.first
        return self._begin(pair, moment).step(frame)

    def _borrowed(self, frame: Rgb, moment: Moment, pair: Pair | None) -> Rgb:
        """The frame with the colours and texture of another shot's keyframe."""
        if pair is None:
            raise MediaError(
                "none of the edited frames belongs to a frame of the clip, and the prompt names no look: nothing says "
                "how the clip should look; give a first frame, or mend the frames' places",
                slug="no_look",
            )
        self._notes.borrowed(pair.shot, moment)
        self._leader = None
        style = restyled(pair.key, pair.style, frame)
        return self._begin(replace(pair, key=frame, style=style), moment).first()

    def _refreshed(self, frame: Rgb, moment: Moment, synthesizer: Synthesizer) -> Rgb:
        """The shot's next frame; where much in it is new, that part is styled anew."""
        output = synthesizer.step(frame)
        if self._leader is None or moment.frame - self._begun < _SHORTEST:
            return output
        if synthesizer.unknown().mean() < _NEW_CONTENT:
            return output
        fresh = self._leader.edited(frame, replace(moment, reason=Reason.CONTENT), self._makers.prompt)
        if fresh is None:
            return output
        self._synthesizer = synthesizer.renewed(frame, self._fit(frame, fresh))
        self._begun = moment.frame
        return self._synthesizer.first()

    def _begin(self, pair: Pair, moment: Moment) -> Synthesizer:
        self._begun = moment.frame
        self._synthesizer = Synthesizer(pair.key, pair.style, self._mode, patch=pair.patch)
        return self._synthesizer

    def _pair(self, frame: Rgb, edited: Edited, shot: int) -> Pair:
        return Pair(key=frame, style=self._fit(frame, edited), patch=edited.patch, shot=shot)

    def _fit(self, frame: Rgb, edited: Edited) -> Rgb:
        """The edited frame at the frame's size."""
        height, width = frame.shape[:2]
        clip = self._makers.clip_size or (width, height)
        given = (edited.picture.shape[1], edited.picture.shape[0])
        if given == clip:
            picture = resized(edited.picture, width, height)
            return picture if edited.drawn else self._laid_on(picture, frame, edited.name)
        fit = fitted(edited.picture, frame)
        if fit.how:
            self._notes.fitted(edited.name, given, clip, fit.how)
        return fit.picture

    def _laid_on(self, picture: Rgb, frame: Rgb, name: str) -> Rgb:
        """An edited frame of the frame's size, moved where it clearly lies beside it."""
        moved, beside = laid_on(picture, frame)
        if beside:
            clip = self._makers.clip_size or (frame.shape[1], frame.shape[0])
            self._notes.misplaced(name, beside * clip[0] / frame.shape[1])
        return moved


class Notes:
    """What a user should know about the keyframes of a clip."""

    def __init__(self) -> None:
        self._fitted: dict[str, str] = {}
        self._borrowed: list[str] = []
        self._made: dict[str, list[str]] = {}

    def fitted(self, name: str, given: tuple[int, int], clip: tuple[int, int], how: str) -> None:
        """An edited frame was not of the clip's size."""
        sizes = f"{name} is {given[0]}x{given[1]}, the clip {clip[0]}x{clip[1]}"
        self._fitted[name] = f"{sizes}: it was {how}"

    def misplaced(self, name: str, beside: float) -> None:
        """An edited frame of the clip's size did not lie on its frame."""
        self._fitted[name] = f"{name} lay up to {beside:.0f} px beside the clip's: it was moved and scaled to lie on it"

    def borrowed(self, shot: int, moment: Moment) -> None:
        """A shot was styled after another one's keyframe."""
        self._borrowed.append(f"{_place(moment)} styled after shot {shot}")

    def made(self, name: str, moment: Moment) -> None:
        """A shot without an edited frame got one from the other makers."""
        self._made.setdefault(name, []).append(_place(moment))

    def warnings(self) -> tuple[str, ...]:
        """All of it, in sentences."""
        fitted_ = list(self._fitted.values())
        more = [f"{len(fitted_) - _NAMED} more edited frames were fitted likewise"] if len(fitted_) > _NAMED else []
        return (*fitted_[:_NAMED], *more, *self._without())

    def _without(self) -> Iterable[str]:
        cure = "for a better result give each shot an edited frame of its own (keyframes)"
        for name, places in self._made.items():
            yield f"{_listed(places)} had no edited frame and got {name} instead; {cure}"
        if self._borrowed:
            yield f"{_listed(self._borrowed)}: no edited frame, so colours and texture were borrowed; {cure}"


def _place(moment: Moment) -> str:
    return f"shot {moment.shot} (from {moment.time_s:.2f} s)"


def _listed(places: list[str]) -> str:
    return ", ".join(places[:_NAMED]) + (f" and {len(places) - _NAMED} more" if len(places) > _NAMED else "")
