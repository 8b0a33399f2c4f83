"""What a prompt asks for arrives in the clip, and what it asks for in vain in the warnings."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from batchmod.engine import pipeline
from batchmod.errors import MediaError
from tests.engine.pictures import demo_frames, hatched, write_clip


def made(folder: Path, prompt: str, *, mode: str = "flex_2", first_frame: Path | None = None) -> pipeline.Modified:
    source = write_clip(folder / "in.mp4", demo_frames(3, 128, 72))
    return pipeline.modify(source, folder / "out.mp4", mode=mode, prompt=prompt, first_frame=first_frame)


def frames(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.rgb for frame in media.read_frames(path)]


def test_modifiers_alone_are_something_the_engine_can_do(tmp_path: Path) -> None:
    done = made(tmp_path, "black and white, darker")

    assert done == pipeline.Modified(frames=3, look=None, warnings=())
    for before, after in zip(frames(tmp_path / "in.mp4"), frames(tmp_path / "out.mp4"), strict=True):
        assert after.mean() < before.mean() - 15
        assert np.ptp(after.astype(int), axis=-1).mean() < 0.2 * np.ptp(before.astype(int), axis=-1).mean()


@pytest.mark.parametrize("mode", ["adhere_1", "reimagine_3"])
def test_a_modifier_goes_through_the_clip_with_its_look(tmp_path: Path, mode: str) -> None:
    (tmp_path / "plain").mkdir()
    made(tmp_path / "plain", "oil", mode=mode)
    made(tmp_path, "oil in teal and orange", mode=mode)

    pairs = zip(frames(tmp_path / "plain" / "out.mp4"), frames(tmp_path / "out.mp4"), strict=True)
    assert min(np.abs(plain.astype(int) - graded).mean() for plain, graded in pairs) > 15


def test_what_cannot_be_made_is_said_in_the_rows_warning(tmp_path: Path) -> None:
    done = made(tmp_path, "a dragon, as an oil painting")

    assert done.look == "oil"
    assert len(done.warnings) == 1
    assert "the embedded engine cannot make 'a dragon'" in done.warnings[0]


def test_a_first_frame_leads_and_modifiers_rest(tmp_path: Path) -> None:
    style = hatched(demo_frames(1, 128, 72)[0])
    media.write_png(tmp_path / "first.png", style)
    done = made(tmp_path, "black and white, a dragon", mode="flex_3", first_frame=tmp_path / "first.png")

    leads = "the first frame leads: 'a dragon' will be seen as far as that picture shows it"
    assert done == pipeline.Modified(frames=3, look=None, warnings=(leads,))
    assert np.abs(frames(tmp_path / "out.mp4")[0].astype(int) - style).mean() < 8


def test_a_prompt_with_nothing_it_can_do_is_refused_with_what_it_can_do(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"'a red hat'.*pencil.*warmer.*teal and orange.*batchmod looks") as caught:
        made(tmp_path, "a red hat")

    assert caught.value.slug == "no_look"
