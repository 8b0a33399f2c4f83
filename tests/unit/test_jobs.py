"""The key: equal for equal requests, another for whatever changes the result, and the same for ever."""

import hashlib
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import jobs, providers
from batchmod.model import ProviderFacts
from tests import given

OPTIONS: dict[str, Any] = {
    "properties": {"seed": {"x-changes-result": True}, "size": {"x-changes-result": True}, "timeout_s": {}}
}
TUNED: ProviderFacts = replace(given.HOSTED, options_schema=OPTIONS)


def key(**fields: Any) -> str:
    return given.job(**{"facts": TUNED, **fields}).key


@pytest.mark.parametrize(
    ("fields", "golden"),
    [
        ({}, "1-2e9019a82062cc91d94ba2746e9f911b8f1d6706"),
        ({"facts": given.LOCAL}, "1-467d202d23f581b199fdef8bbf21c73124b362d2"),
        (
            {
                "prompt": "  a “doll” of\nyärn ",
                "mode": "reimagine_3",
                "model": "ray-2",
                "variant": 2,
                "first_frame": given.source("é"),
                "options": {"size": "big", "timeout_s": 9, "seed": 7},
                "origin": "http://127.0.0.1:8700",
            },
            "1-25366771784d417932ced49c7646924655f8c451",
        ),
    ],
    ids=["hosted", "local", "everything"],
)
def test_keys_never_change(fields: dict[str, Any], golden: str) -> None:
    """A key that changes makes every user pay again: a new form must get a new `KEY_FORM` and know the old one."""
    assert key(**fields) == golden


def test_keys_of_segmind_never_change() -> None:
    made = key(
        facts=providers.facts("segmind"),
        origin="https://api.segmind.com",
        prompt="woman in a yarn doll style",
        first_frame=given.source("b"),
    )

    assert made == "1-1935886ed32d133e5493f870f6e1e3f6a262b4d0"


def test_the_key_is_the_hash_of_this_text() -> None:
    text = (
        '{"first_frame":null,"mode":"adhere_1","model":null,"options":{"seed":7},"prompt":"yärn","provider":"hosted",'
        f'"variant":1,"video":"{given.source().identity}"}}'
    )

    assert key(prompt="yärn", options={"seed": 7}) == f"1-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def test_the_form_stands_before_the_key() -> None:
    assert key().startswith(f"{jobs.KEY_FORM}-")
    assert len(key()) == len("1-") + 40


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "flex_1"},
        {"prompt": "wool"},
        {"model": "ray-2"},
        {"variant": 2},
        {"video": given.source("b")},
        {"first_frame": given.source("a")},
        {"options": {"seed": 1}},
        {"options": {"seed": None}},
        {"origin": "http://127.0.0.1:8700"},
        {"facts": given.LOCAL},
        {"facts": replace(TUNED, name="another")},
    ],
    ids=lambda fields: " ".join(f"{name}={getattr(value, 'name', value)}" for name, value in fields.items()),
)
def test_whatever_changes_the_result_changes_the_key(fields: dict[str, Any]) -> None:
    assert key(**fields) != key()


def test_no_two_changes_make_the_same_key() -> None:
    made = [
        key(prompt="1"), key(model="1"), key(options={"seed": "1"}), key(options={"seed": 1}), key(options={"size": 1}),
        key(variant=11), key(first_frame=given.source("b")), key(video=given.source("b")), key(origin="http://b"),
    ]  # fmt: skip

    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"id_": "another"},
        {"number": 7},
        {"own": {"shot": "12A"}},
        {"hold": True},
        {"naming": "{mode}/{id}_{version}"},
        {"options": {"timeout_s": 3}},
        {"options": {"unknown": 3}},
        {"video": replace(given.source(), location="/elsewhere/a.mp4")},
        {"prompt": " \n"},
        {"source_id": "x"},
        {"explicit": frozenset({"mode"})},
    ],
    ids=lambda fields: " ".join(f"{name}={getattr(value, 'name', value)}" for name, value in fields.items()),
)
def test_what_does_not_change_the_result_leaves_the_key(fields: dict[str, Any]) -> None:
    assert key(**fields) == key()


def test_the_order_of_options_does_not_matter() -> None:
    assert key(options={"seed": 1, "size": {"a": 1, "b": 2}}) == key(options={"size": {"b": 2, "a": 1}, "seed": 1})


def test_the_vendors_own_origin_is_no_part_of_the_key_and_another_is() -> None:
    vendor = jobs.key_of(
        {
            "provider": "hosted", "model": None, "mode": "adhere_1", "prompt": None, "options": {}, "variant": 1,
            "video": given.source().identity, "first_frame": None,
        }
    )  # fmt: skip

    assert key() == vendor
    assert key(origin="http://localhost:8700") != vendor


def test_all_options_stay_in_the_job() -> None:
    assert given.job(facts=TUNED, options={"timeout_s": 3}).options == {"timeout_s": 3}


@for_all(st.dictionaries(st.text(), st.text()), st.randoms())
def test_the_key_is_of_the_content_not_of_its_order(canonical: dict[str, str], random: Any) -> None:
    shuffled = list(canonical.items())
    random.shuffle(shuffled)

    assert jobs.key_of(dict(shuffled)) == jobs.key_of(canonical)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("  a  doll\n\tof wool ", "a doll of wool"),
        ("a\u00a0doll\u2003of\u2028wool", "a doll of wool"),
        ("the “doll’s” ‘wool’", "the \"doll's\" 'wool'"),
        ("„Puppe‚ «laine»", '"Puppe\' "laine"'),
        ("Größe 日本 🧶", "Größe 日本 🧶"),
        ("", None),
        ("  \n", None),
        (None, None),
    ],
)
def test_a_prompt_is_sent_as_it_is_compared(written: str | None, sent: str | None) -> None:
    assert jobs.normalised_prompt(written) == sent
    assert given.job(prompt=written).prompt == sent


@for_all(st.text())
def test_a_normal_prompt_stays_as_it_is(text: str) -> None:
    once = jobs.normalised_prompt(text)

    assert jobs.normalised_prompt(once) == once


@for_all(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text("  \n\t", min_size=1))
def test_spelling_of_white_space_makes_no_new_request(word: str, space: str) -> None:
    assert key(prompt=f"{word}{space}{word}") == key(prompt=f"{space}{word} {word}")


@pytest.mark.parametrize(
    ("naming", "version", "path"),
    [
        ("{id}_v{version:03d}", 1, "videos/shot_v001.mp4"),
        ("{id}_v{version:03d}", 1000, "videos/shot_v1000.mp4"),
        ("{id}_v{version}", 12, "videos/shot_v12.mp4"),
        ("{scene}/{id}_{mode}_{version:02d}", 3, "videos/12A-bis/shot_flex_2_03.mp4"),
        ("{version}/{id}_{version:02d}", 3, "videos/3/shot_03.mp4"),
        ("{{{id}}}-{version}", 1, "videos/{shot}-1.mp4"),
        ("{id}-{version_name}-{version}", 1, "videos/shot-none-1.mp4"),
        ("{id}-{empty}-{nowhere}-{version}", 1, "videos/shot-none-none-1.mp4"),
        ("{id}-{provider}-{variant}-{version}", 1, "videos/shot-hosted-4-1.mp4"),
        ("{video_url}-{id}-{version}", 1, "videos/woman-shot-1.mp4"),
        ("{braces}-{id}-{version}", 7, "videos/version-shot-7.mp4"),
    ],
)
def test_an_output_is_named_after_its_template(naming: str, version: int, path: str) -> None:
    own = {"scene": "12A/bis", "empty": " ", "braces": "{version}"}
    url = "https://example.com/clips/woman.mp4?X-Amz-Signature=secret"
    made = given.job("shot", mode="flex_2", variant=4, video_url=url, naming=naming, own=own)

    assert jobs.output_path(made.stem, version) == path


@pytest.mark.parametrize("value", ["../../etc", "/", "..", "CON", "a\\b", "a\x00b", ".hidden", "a:b", "é" * 300])
def test_a_column_cannot_lead_out_of_its_folder(value: str) -> None:
    made = given.job("shot", naming="{look}/{id}_v{version}", own={"look": value})
    videos, folder, name = jobs.output_path(made.stem, 1).split("/")

    assert (videos, name) == ("videos", "shot_v1.mp4")
    assert folder.strip(" .")
    assert not set(folder) & set('\\:*?"<>|\x00')
    assert folder.upper() != "CON"
    assert len(folder.encode()) <= 230


@for_all(st.text("abé日 ", min_size=1), st.text("abé日 "), st.integers(1, 100))
def test_a_long_column_is_cut_and_the_id_is_not(look: str, note: str, length: int) -> None:
    id_ = "x" * length
    made = given.job(id_, naming="{look}{note}{look}_{id}_v{version:03d}", own={"look": look * 99, "note": note * 99})
    name = jobs.output_path(made.stem, 1).removeprefix("videos/")

    assert len(f".{name}.part".encode()) <= 255
    assert name.endswith(f"_{id_}_v001.mp4")


def test_a_longest_id_leaves_room_for_columns() -> None:
    made = given.job("é" * 100, naming="{look}_{id}_v{version}", own={"look": "wool " * 60})

    assert len(jobs.output_path(made.stem, 1).removeprefix("videos/").encode()) <= 255 - len("..part")


def test_a_column_has_one_spelling() -> None:
    stems = {given.job(naming="{look}_{id}_{version}", own={"look": unicodedata.normalize(form, "é")}).stem
             for form in ("NFC", "NFD")}  # fmt: skip

    assert len(stems) == 1


def test_outputs_of_one_name_are_found() -> None:
    naming = "{look}{id}_{version}"
    first, second = given.job("bc", naming=naming, own={"look": "A"}), given.job("C", naming=naming, own={"look": "ab"})

    assert jobs.colliding_stems([first, given.job("x", naming=naming), second]) == [(first, second)]


def test_one_id_collides_with_nobody() -> None:
    assert jobs.colliding_stems([given.job("a"), given.job("A"), given.job("b")]) == []
