"""Sheets in whatever encoding: read where one reading makes sense, refused where two do."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmod.errors import Problem
from batchmod.rows.decoding import Decoded, decode


def _decoded(data: bytes, **told: str) -> Decoded:
    found = decode(data, file="s.csv", **told)
    assert isinstance(found, Decoded), str(found)
    return found


def _told(found: Decoded) -> tuple[str, str]:
    return found.text, found.encoding


def _refusal(data: bytes, **told: str) -> str:
    found = decode(data, file="s.csv", **told)
    assert isinstance(found, Problem)
    return str(found)


def _sheet(words: str) -> str:
    return f"video_url;prompt\r\nclips/a.mp4;{words}\r\n"


@pytest.mark.parametrize("words", ["plain", "été, 毛糸 и привет", "𝄞"])
def test_utf_8_with_and_without_its_mark_is_read(words: str) -> None:
    text = _sheet(words)

    assert _told(_decoded(text.encode())) == (text, "UTF-8")
    assert _told(_decoded(codecs.BOM_UTF8 + text.encode())) == (text, "UTF-8")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_read_with_and_without_its_mark(codec: str) -> None:
    text = _sheet("une forêt")

    assert _decoded(text.encode(codec)).text == text


@pytest.mark.parametrize(
    "words",
    [
        "café",
        "it’s a doll, don’t",
        "“quoted”",
        "Müller",
        "Größe",
        "Señora",
        "crème brûlée",
        "São Paulo",
        "città",
        "une forêt",
        "a naïve doll of wool",
        "garçon",
        "Mädchen",
        "l’été",
        "wool – clay",
        "10–20 €",
        "5°",
        "MÜNCHEN",
        "©2024",
    ],
)
def test_windows_text_of_the_west_is_known(words: str) -> None:
    assert _told(_decoded(_sheet(words).encode("cp1252"))) == (_sheet(words), "cp1252")


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ("mac_roman", "café"),
        ("mac_roman", "a doll with “eyes”"),
        ("cp850", "café"),
        ("cp850", "Müller"),
        ("cp1250", "często mięso żółć"),
        ("cp1250", "příliš žluťoučký kůň"),
        ("cp1253", "γειά σου"),
        ("cp1254", "güneş ışığı"),
        ("cp1251", "кукла из шерсти"),
        ("shift_jis", "毛糸の人形"),
        ("gb18030", "羊毛娃娃"),
        ("big5", "毛線娃娃"),
    ],
)
def test_text_of_other_machines_is_known_where_nothing_else_makes_words(codec: str, words: str) -> None:
    assert _told(_decoded(_sheet(words).encode(codec))) == (_sheet(words), codec)


@pytest.mark.parametrize(
    ("codec", "words", "both"),
    [
        ("cp1252", "forêt", "'forêt' (cp1252) or 'foręt' (cp1250)"),
        ("cp1250", "często", "'czêsto' (cp1252) or 'często' (cp1250)"),
        ("mac_roman", "país", "'pa’s' (cp1252) or 'país' (mac_roman)"),
    ],
)
def test_two_readings_are_refused_with_the_switch_that_decides(codec: str, words: str, both: str) -> None:
    said = _refusal(_sheet(words).encode(codec))

    assert said.startswith(f"s.csv:2: this is not UTF-8, and may be {both}; `--encoding ")
    assert f"`--encoding {codec}`" in said
    assert _decoded(_sheet(words).encode(codec), encoding=codec).text == _sheet(words)


_WORDS = st.sampled_from(
    "café Müller Größe Señora été élan país forêt città São it’s “wool” – € часто Ärger naïve Straße Ølbrod".split()  # noqa: SIM905
)


@given(st.lists(_WORDS, min_size=1, max_size=5), st.sampled_from(["cp1252", "mac_roman", "cp850", "cp1250", "cp1251"]))
def test_no_text_is_ever_taken_for_another(words: list[str], codec: str) -> None:
    try:
        data = _sheet(" ".join(words)).encode(codec)
    except UnicodeEncodeError:
        return
    found = decode(data, file="s.csv")

    assert isinstance(found, Problem) or found.text == _sheet(" ".join(words))


def test_what_makes_no_words_anywhere_is_refused_with_its_line() -> None:
    said = _refusal(b"a\nb\x81\x8d x\x81\n")

    assert said.startswith("s.csv:2:2: not UTF-8: the byte 0x81 stands here; save it as UTF-8")


@pytest.mark.parametrize("name", ["nonsense", "hex", "rot13"])
def test_an_encoding_that_is_none_is_refused(name: str) -> None:
    assert f"'{name}' is no encoding" in _refusal(b"a", encoding=name)


def test_an_encoding_that_does_not_fit_says_where() -> None:
    assert _refusal(b"a\n\xff", encoding="utf-8") == (
        "s.csv:2: not utf-8: the byte 0xFF stands here; --encoding says what else it is"
    )


@given(st.binary(max_size=60))
def test_no_bytes_get_past_an_answer(data: bytes) -> None:
    assert isinstance(decode(data, file="s.csv"), Decoded | Problem)
