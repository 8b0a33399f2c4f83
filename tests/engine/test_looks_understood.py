"""What a prompt asks for is found by its words, and what the engine cannot make is said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmod.engine import looks
from batchmod.engine.looks import Understanding, understand


def look_of(prompt: str) -> str | None:
    look = understand(prompt).look
    return look.name if look else None


def modifiers_of(prompt: str) -> list[str]:
    return [modifier.name for modifier in understand(prompt).modifiers]


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("in the style of an oil painting", "oil"),
        ("yarn doll style", "knit"),
        ("anime", "cel"),
        ("Film noir, please", "noir"),
        ("the same street at night", "night"),
        ("PENCIL-SKETCHES", "pencil"),
        ("two watercolors", "watercolour"),
        ("turn it into claymation!", "clay"),
        ("an 8-bit video game", "pixel_art"),
        ("cross-stitches on linen", "cross_stitch"),
        ("a comic-book panel", "comic"),
        ("embroideries", "cross_stitch"),
        ("fall leaves everywhere", "autumn"),
        ("a blueprint of it", "blueprint"),
    ],
)
def test_a_prompt_finds_its_look(prompt: str, name: str) -> None:
    assert look_of(prompt) == name


@pytest.mark.parametrize(
    "prompt",
    ["", "boiled eggs", "a knight", "celery", "electronics", "gentle rain", "put a hat on her", "his woolly thinking"],
)
def test_a_part_of_a_word_finds_nothing(prompt: str) -> None:
    assert not understand(prompt)


def test_every_look_and_modifier_is_found_by_its_own_name_and_all_its_words() -> None:
    for look in looks.LOOKS:
        for phrase in (look.name.replace("_", " "), *look.words):
            assert understand(f"make it {phrase} now") == Understanding(look=look), phrase
    for modifier in looks.MODIFIERS:
        for phrase in (modifier.name.replace("_", " "), *modifier.words):
            assert understand(f"make it {phrase} now") == Understanding(modifiers=(modifier,)), phrase


def test_the_longest_phrase_wins_and_the_others_are_told() -> None:
    understood = understand("an oil painting of a stained glass window in pencil")

    assert look_of("an oil painting of a stained glass window in pencil") == "stained_glass"
    assert [look.name for look in understood.passed_over] == ["oil", "pencil"]
    assert understood.warnings() == (
        "the prompt names several looks, and one can be drawn: stained_glass, not oil, pencil",
    )


def test_among_equals_the_first_word_of_the_prompt_wins() -> None:
    assert look_of("ink over charcoal") == "ink"
    assert look_of("charcoal over ink") == "charcoal"


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a cartoon sketch", "cel"),
        ("gouache painting", "watercolour"),
        ("a sketch, hand-painted in watercolour", "watercolour"),
    ],
)
def test_a_general_word_yields_to_a_special_one_in_silence(prompt: str, name: str) -> None:
    assert look_of(prompt) == name
    assert not understand(prompt).warnings()


@pytest.mark.parametrize(
    ("prompt", "name"), [("a man holding an oil lamp, watercolour", "watercolour"), ("cartoon rabbit", "cel")]
)
def test_the_name_of_a_thing_is_a_look_only_where_there_is_no_better_one(prompt: str, name: str) -> None:
    assert look_of(prompt) == name


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("don't make it a cartoon, make it pencil", ["pencil"]),
        ("not watercolour or anime, oil instead", ["oil"]),
        ("instead of a painting, a mosaic", ["mosaic"]),
        ("not a cartoon but a line drawing", ["ink"]),
        ("not in red or blue but in green tones", ["in green"]),
        ("watercolour, not too warm", ["watercolour"]),
        ("a pencil sketch without colour", ["pencil", "black_and_white"]),
        ("no people, noir", ["noir"]),
        ("no black and white", []),
    ],
)
def test_what_is_not_wanted_is_not_made(prompt: str, names: list[str]) -> None:
    understood = understand(prompt)
    look = [understood.look.name] if understood.look else []

    assert [*look, *(modifier.name for modifier in understood.modifiers)] == names
    assert understood.left_over == (("no people",) if "people" in prompt else ())


def test_a_pause_parts_phrases() -> None:
    assert look_of("in oil, painting the street") == "oil"
    assert look_of("stained, glass") is None


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("warmer", ["warmer"]),
        ("make it colder and darker", ["darker", "cooler"]),
        ("high contrast b&w", ["black_and_white", "more_contrast"]),
        ("less saturated", ["muted"]),
        ("more colourful, please", ["vivid"]),
        ("a vintage look", ["faded"]),
        ("Pastel Colours", ["pastel"]),
        ("in the fog", ["foggy"]),
        ("black and white photo", ["black_and_white"]),
        ("monochrome blue", ["black_and_white", "in blue"]),
    ],
)
def test_modifiers_stand_alone(prompt: str, names: list[str]) -> None:
    understood = understand(prompt)

    assert understood.look is None
    assert [modifier.name for modifier in understood.modifiers] == names
    assert understood.pure_colour
    assert not understood.warnings()


def test_a_colour_look_goes_with_a_drawn_one() -> None:
    understood = understand("a snowy oil painting at sunset, muted")

    assert understood.look is not None
    assert understood.look.name == "oil"
    assert [modifier.name for modifier in understood.modifiers] == ["winter", "golden_hour", "muted"]
    assert not understood.left_over


def test_colour_looks_go_together_from_what_is_there_to_the_light_on_it() -> None:
    assert (look_of("night in autumn"), modifiers_of("night in autumn")) == ("autumn", ["night"])


@pytest.mark.parametrize("prompt", ["a warm coat", "brighter eyes", "a vintage car", "dark hair", "a golden retriever"])
def test_a_word_that_belongs_to_a_thing_is_no_modifier(prompt: str) -> None:
    assert not understand(prompt)
    assert understand(prompt).left_over == (prompt,)


def test_a_cartoon_of_a_thing_keeps_its_modifiers() -> None:
    assert (look_of("cartoon rabbit, brighter"), modifiers_of("cartoon rabbit, brighter")) == ("cel", ["brighter"])


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("in teal and orange", "in teal and orange"),
        ("an oil painting in red and black", "in red and black"),
        ("make everything teal, orange and black please", "in teal and orange and black"),
        ("red, black & white", "in red and black and white"),
        ("blue tones", "in blue"),
        ("a man in blue tones", "in blue"),
        ("shades of green", "in green"),
        ("Gray and gold", "in grey and gold"),
        ("make it red", "in red"),
        ("a purple and gold theme", "in purple and gold"),
    ],
)
def test_colours_of_the_picture_are_a_palette(prompt: str, name: str) -> None:
    assert modifiers_of(prompt) == [name]


@pytest.mark.parametrize(
    "prompt",
    [
        "a woman in red",
        "a woman in red and blue",
        "a red hat",
        "an orange on the table",
        "make the dress red",
        "a black and white dog",
        "a red and black dragon",
        "rose gold",
        "in black",
    ],
)
def test_colours_of_a_thing_are_none(prompt: str) -> None:
    assert not understand(prompt)


@pytest.mark.parametrize("colour", looks.COLOURS)
def test_every_colour_can_be_asked_for(colour: str) -> None:
    assert modifiers_of(f"an oil painting in {colour} and teal") == [
        f"in {colour} and teal" if colour != "teal" else "in teal"
    ]


@pytest.mark.parametrize(
    ("prompt", "left_over"),
    [
        ("a dragon in watercolour on a mountain", ("a dragon", "a mountain")),
        ("a pencil drawing on paper", ()),
        ("in the style of a printed comic book", ()),
        ("an oil painting with thick strokes", ()),
        ("clay, and put a hat on her", ("a hat",)),
        ("make the sky darker", ("the sky",)),
        ("replace the car with a boat, in ink", ("replace the car with a boat",)),
        ("keep the face, make it night", ()),
        ("keep the pose and add a hat, in clay", ("a hat",)),
        ("van Gogh's café, in oil", ("café",)),
        ("turn her into a yarn doll, holding a teapot, in a kitchen", ("holding a teapot", "a kitchen")),
    ],
)
def test_what_the_engine_cannot_make_is_left_over_as_it_was_written(prompt: str, left_over: tuple[str, ...]) -> None:
    assert understand(prompt).left_over == left_over


def test_what_is_left_over_is_said_in_one_warning() -> None:
    (warning,) = understand("a dragon in watercolour on a mountain").warnings()

    assert warning.startswith("the embedded engine cannot make 'a dragon', 'a mountain': ")
    assert "keeps what is in it" in warning


def test_a_long_prompt_makes_no_long_warning() -> None:
    story = ", ".join(f"an elephant named number {k} who walks very slowly along an endless road" for k in range(40))
    (warning,) = understand(f"watercolour, {story}").warnings()

    assert "and 37 more" in warning
    assert len(warning) < 350


@given(st.text(max_size=200))
def test_any_text_is_read(prompt: str) -> None:
    understood = understand(prompt)

    assert all(phrase in prompt and phrase.strip() for phrase in understood.left_over)
    assert understood == understand(prompt)


WORDS = (
    "a",
    "red",
    "and",
    "blue",
    "dragon",
    "in",
    "oil",
    ",",
    "night",
    "warmer",
    "the",
    "of",
    "tones",
    "black",
    "white",
    "not",
    "without",
)


@given(st.lists(st.sampled_from(WORDS)))
def test_no_word_of_a_thing_is_dropped_in_silence(said: list[str]) -> None:
    prompt = " ".join(said)
    quoted = " ".join(understand(prompt).left_over)

    assert said.count("dragon") == quoted.split().count("dragon")


def test_the_engine_page_names_every_modifier_and_counts_the_colours() -> None:
    page = (Path(__file__).parents[2] / "docs" / "engine.md").read_text("utf-8")
    section = page.partition("### Modifiers")[2].partition("\n## ")[0]

    assert [each.name for each in looks.MODIFIERS if each.name.replace("_", " ") not in section] == []
    assert f"Colours, {len(looks.COLOURS)} of them" in section
