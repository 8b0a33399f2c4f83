"""The embedded engine's looks for `batchmod looks`: as values, and as a contact sheet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchmod import files
from batchmod.app.services import engine_installed
from batchmod.errors import MediaError, MissingExtra, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A look or modifier: its name and the words that ask for it; `pure_colour`, it changes colours only."""

    name: str
    words: tuple[str, ...]
    pure_colour: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """What a prompt can ask of the embedded engine; colours as `#rrggbb`."""

    looks: tuple[Named, ...]
    modifiers: tuple[Named, ...]
    colours: Mapping[str, str]


def vocabulary() -> Vocabulary:
    """Everything a prompt can ask of the embedded engine. Raises MissingExtra."""
    _require_engine()
    from batchmod.engine import looks

    return Vocabulary(
        looks=tuple(Named(name=look.name, words=look.words, pure_colour=look.pure_colour) for look in looks.LOOKS),
        modifiers=tuple(
            Named(name=modifier.name, words=modifier.words, pure_colour=True) for modifier in looks.MODIFIERS
        ),
        colours={name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in looks.COLOURS.items()},
    )


def write_sheet(target: Path, *, source: Path | None = None) -> Path:
    """Write a PNG with every look and modifier, drawn on an image or a clip's first frame; the file written.

    Without `source` it is the example's clip. Raises MissingExtra, UsageError for a target that is no PNG in a
    folder or a source that is not there, MediaError where the source is neither image nor clip.
    """
    _require_engine()
    if target.suffix.lower() != ".png":
        raise UsageError(f"the sheet is a PNG: name it {target.with_suffix('.png').name}, not {target.name}")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder; create it first")
    source = source or files.packaged("manifests", "demo") / "bunny.mp4"
    if not source.is_file():
        raise UsageError(f"{source} is not there; give an image or a clip")
    from batchmod import media
    from batchmod.engine.looks.sheet import sheet

    try:
        picture = media.read_image(source)
    except MediaError as error:
        if error.slug != "not_an_image":
            raise
        picture = media.first_frame(source)
    media.write_png(target, sheet(picture))
    return target


def _require_engine() -> None:
    if not engine_installed():
        raise MissingExtra(
            "the looks belong to the embedded engine, which is not installed; install it: pip install 'batchmod[local]'"
        )
