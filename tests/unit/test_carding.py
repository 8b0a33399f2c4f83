"""Whose record counts, by what the card in a store and the record here say of each other."""

import json
from dataclasses import replace

import pytest

from batchmod.app.carding import Card, Here, Standing, stand
from batchmod.errors import RecordRefused

CARD = Card(
    folder_id="f", manifest="shots", marks=("a", "b"), run_id="b", machine="one", at="2026-11-27T01:00:00.000Z",
    final=True, record="record/1.sqlite3", attempts=5,
)  # fmt: skip
HERE = Here(folder_id="f", marks=("a", "b"), untouched=True, attempts=5)


@pytest.mark.parametrize(
    ("card", "here", "standing"),
    [
        (None, None, Standing.EMPTY),
        (None, HERE, Standing.EMPTY),
        (CARD, HERE, Standing.OURS),
        (CARD, replace(HERE, attempts=7), Standing.OURS),
        (CARD, replace(HERE, marks=("a", "b", "c")), Standing.OURS),
        (CARD, None, Standing.NEWER),
        (CARD, replace(HERE, marks=("a",)), Standing.NEWER),
        (CARD, replace(HERE, attempts=4), Standing.NEWER),
        (replace(CARD, final=False), None, Standing.UNFINISHED),
        (replace(CARD, final=False), replace(HERE, marks=("a",)), Standing.UNFINISHED),
        (CARD, replace(HERE, marks=("a",), untouched=False), Standing.APART),
        (CARD, replace(HERE, marks=("a", "x")), Standing.APART),
        (CARD, replace(HERE, folder_id="g"), Standing.OTHER),
    ],
)
def test_the_record_that_knows_the_other_one_is_the_newer(
    card: Card | None, here: Here | None, standing: Standing
) -> None:
    assert stand(card, here) is standing


def test_a_card_is_read_as_it_was_written() -> None:
    assert Card.of(
        replace(CARD, pages=("results.csv", "events.0001.jsonl.gz")).as_json(), url="s3://b/batchmod.json"
    ) == (replace(CARD, pages=("results.csv", "events.0001.jsonl.gz")))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "c:x", "", "a//b", "./a"])
def test_a_card_names_nothing_outside_the_folder(name: str) -> None:
    said = json.loads(CARD.as_json()) | {"pages": ["results.csv", name]}

    with pytest.raises(RecordRefused, match="cannot be read"):
        Card.of(json.dumps(said).encode(), url="s3://b/batchmod.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"schema_version": 1}', b'{"schema_version": 99}'])
def test_a_card_that_says_nothing_stops_the_run(content: bytes) -> None:
    with pytest.raises(RecordRefused, match=r"b/batchmod\.json"):
        Card.of(content, url="s3://b/batchmod.json")
