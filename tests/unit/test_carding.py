"""Whose record counts, decided by what the card in the store and the record here say of themselves."""

import json

import pytest

from batchmod.app.storing.carding import Card, Here, Standing, refusal, stand
from batchmod.errors import RecordRefused


def card(*marks: str, final: bool = True, attempts: int = 5, folder: str = "f") -> Card:
    return Card(
        folder_id=folder,
        manifest="shots",
        marks=marks,
        run_id=marks[-1],
        machine="process 7 on render-3",
        at="2026-05-03T10:00:00.000Z",
        final=final,
        attempts=attempts,
    )


def here(*marks: str, untouched: bool = True, attempts: int = 5) -> Here:
    return Here(folder_id="f", marks=marks, untouched=untouched, attempts=attempts)


@pytest.mark.parametrize(
    ("there", "record", "standing"),
    [
        (None, None, Standing.EMPTY),
        (None, here("1"), Standing.EMPTY),
        (card("1"), None, Standing.NEWER),
        (card("1", final=False), None, Standing.UNFINISHED),
        (card("1"), here("1"), Standing.OURS),
        (card("1", final=False), here("1"), Standing.OURS),
        (card("1"), here("1", "2"), Standing.OURS),  # a run here that did not come to put its record up
        (card("1", "2"), here("1"), Standing.NEWER),
        (card("1", "2", final=False), here("1"), Standing.UNFINISHED),
        (card("1", "2"), here("1", untouched=False), Standing.APART),  # a `resolve` here, of which nobody there knows
        (card("1", "3"), here("1", "2"), Standing.APART),
        (card("1"), here(), Standing.APART),
        (card("1", folder="other"), here("1"), Standing.OTHER),
        (card("1", attempts=5), here("1", attempts=4), Standing.NEWER),  # a disk that was put back from a copy
        (card("1", attempts=5, final=False), here("1", attempts=4), Standing.UNFINISHED),
        (card("1", "2~", "3"), here("1", "2"), Standing.APART),  # a copy of run 2 was taken, and run 2 went on
        (card("1", "2", final=False), here("1", "2~"), Standing.OURS),  # taken, and killed before it was told
    ],
)
def test_what_a_run_may_do(there: Card | None, record: Here | None, standing: Standing) -> None:
    assert stand(there, record) is standing


def test_a_card_is_read_back_as_it_was_written() -> None:
    written = card("1", "2")

    assert Card.of(written.as_json(), url="s3://b/batchmod.json") == written


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b'{"schema_version": "x"}'])
def test_a_card_that_cannot_be_read_is_refused_and_named(content: bytes) -> None:
    with pytest.raises(RecordRefused, match=r"s3://b/batchmod\.json"):
        Card.of(content, url="s3://b/batchmod.json")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "c:x", "", "a//b", "./a"])
def test_a_card_names_nothing_outside_the_folder(name: str) -> None:
    said = json.loads(card("1").as_json()) | {"pages": ["results.csv", name]}

    with pytest.raises(RecordRefused, match="cannot be read"):
        Card.of(json.dumps(said).encode(), url="s3://b/batchmod.json")


def test_a_card_of_a_newer_batchmod_is_refused() -> None:
    content = card("1").as_json().replace(b'"schema_version": 1', b'"schema_version": 2')

    with pytest.raises(RecordRefused, match="newer batchmod"):
        Card.of(content, url="s3://b/batchmod.json")


@pytest.mark.parametrize("standing", [Standing.UNFINISHED, Standing.APART, Standing.OTHER])
def test_a_refusal_names_the_other_machine_and_what_to_do(standing: Standing) -> None:
    text = refusal(standing, card("1"), "s3://b/autumn", "outputs/shots")

    assert "process 7 on render-3" in text
    assert "Nothing was sent" in text
    assert "--output" in text or "--take-copy" in text
