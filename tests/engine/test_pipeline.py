"""A clip file in, a modified clip file out."""

from pathlib import Path

import numpy as np
import pytest

from batchmod import media
from batchmod.engine import metrics, pipeline
from batchmod.errors import MediaError
from tests.engine.pictures import demo_frames, hatched, noise, panning, write_clip


def _read(path: Path) -> list[media.Frame]:
    return list(media.read_frames(path))


def test_a_prompt_is_enough(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", demo_frames(5, 128, 72))
    seen: list[tuple[int, int | None]] = []
    made = pipeline.modify(
        source,
        tmp_path / "out.part",
        mode="flex_2",
        prompt="as a pencil drawing",
        first_frame=None,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert made == pipeline.Modified(frames=5, look="pencil", warnings=())
    assert seen == [(k, 5) for k in range(1, 6)]
    before, after = _read(source), _read(tmp_path / "out.part")
    assert [frame.pts * frame.time_base for frame in after] == [frame.pts * frame.time_base for frame in before]
    for old, new in zip(before, after, strict=True):
        assert np.abs(old.rgb.astype(float) - new.rgb).mean() > 15


def test_a_first_frame_leads(tmp_path: Path) -> None:
    frames = demo_frames(4, 128, 72)
    source = write_clip(tmp_path / "in.mp4", frames)
    style = hatched(frames[0])
    media.write_png(tmp_path / "first.png", style)
    made = pipeline.modify(
        source, tmp_path / "out.mp4", mode="flex_3", prompt="sepia", first_frame=tmp_path / "first.png"
    )

    assert made == pipeline.Modified(frames=4, look=None, warnings=())
    assert metrics.psnr(_read(tmp_path / "out.mp4")[0].rgb, style) > 28


def test_a_colour_look_goes_frame_by_frame(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", demo_frames(3, 128, 72))
    made = pipeline.modify(source, tmp_path / "out.mp4", mode="adhere_1", prompt="sepia", first_frame=None)

    assert made.look == "sepia"
    assert len(_read(tmp_path / "out.mp4")) == 3


def test_a_cut_is_told_where_only_the_first_shot_was_given(tmp_path: Path) -> None:
    shots = [*demo_frames(3, 128, 72), *(255 - frame for frame in panning(3, 128, 72))]
    source = write_clip(tmp_path / "in.mp4", shots)
    media.write_png(tmp_path / "first.png", hatched(shots[0]))
    made = pipeline.modify(source, tmp_path / "out.mp4", mode="flex_3", prompt=None, first_frame=tmp_path / "first.png")

    assert made.frames == 6
    assert len(made.warnings) == 1
    assert "shot 2 (from 0.12 s) styled after shot 1" in made.warnings[0]


def test_a_clip_of_one_frame_is_a_clip(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [noise(34, 22)])
    made = pipeline.modify(source, tmp_path / "out.mp4", mode="adhere_3", prompt="oil", first_frame=None)

    assert made.frames == 1


@pytest.mark.parametrize("prompt", ["something nobody has thought of", "", None])
def test_without_a_look_the_message_names_the_looks(tmp_path: Path, prompt: str | None) -> None:
    source = write_clip(tmp_path / "in.mp4", [noise(34, 22)])
    with pytest.raises(MediaError, match=r"first frame.*pencil") as caught:
        pipeline.modify(source, tmp_path / "out.mp4", mode="flex_1", prompt=prompt, first_frame=None)

    assert caught.value.slug == "no_look"
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"not a video at all")
    with pytest.raises(MediaError) as caught:
        pipeline.modify(tmp_path / "in.mp4", tmp_path / "out.mp4", mode="flex_1", prompt="oil", first_frame=None)

    assert caught.value.slug == "not_a_video"
