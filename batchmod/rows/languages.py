"""Whether a text that was decoded reads like one: what tells encodings apart that bear no mark."""

import re
from itertools import pairwise
from typing import Final

_WEST: Final = (
    "àâæçéèêëîïôœùûüÿ",  # French
    "äöüß",  # German
    "áéíñóúü",  # Spanish
    "ãâáàçéêíóôõúü",  # Portuguese
    "àèéìíòóùú",  # Italian
    "åäöæøéüà",  # the North
    "éèëïöüáóíú",  # Dutch
)
_ICELANDIC: Final = "áéíóúýþðæö"
_POLISH: Final = "ąćęłńóśźż"
_CZECH: Final = "áčďéěíňóřšťúůýž"
_HUNGARIAN: Final = "áéíóöőúüű"
_ALPHABETS: Final = {
    "cp1252": (*_WEST, _ICELANDIC, "áéíóúâêîôû"),  # the last: Irish and Welsh
    "mac_roman": _WEST,
    "cp850": _WEST,
    "cp1250": (_POLISH, _CZECH, _HUNGARIAN, "áäčďéíľňóôšťúýž", "ăâîșțşţ", "čćđšž", "äöüß"),
    "cp1251": ("абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґўђјљњћџѓќѕ",),
    "cp1253": ("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",),
    "cp1254": ("çğıöşüâîû", "äöüß"),
}
"""The letters beyond ASCII of each language that was written so; a text whose letters fit none was read wrongly."""
_EVERY_WESTERN: Final = frozenset("".join(_WEST) + _ICELANDIC)
_CLUSTER: Final = re.compile(r"[^\x00-\x7f]{3}")
_FOREIGN_HERE: Final = {_POLISH: "qvx", _CZECH: "qwx", _HUNGARIAN: "qwx", _ICELANDIC: "cqwz"}
_CONSONANTS: Final = "bcdfghjklmnpqrtvwxz"
_NEVER_BEFORE: Final = {
    "ń": "aeiouy",
    "ă": "o",
    "õ": f"aiouys{_CONSONANTS}",
    "û": "aiou",
    "à": _CONSONANTS,
    "a": "áàâ",
    "o": "óòô",
}
_MONEY: Final = frozenset("€£¥¢")
_EASTERN: Final = frozenset({"cp1250", "cp1254"})
_IN_THE_WEST: Final = (
    "the of with and in is an le la les un une des du et avec dans en der die das und mit ein el los las una del con "
    "il di della het een van og med som och os as do da"
)
_WESTERN_WORDS: Final = frozenset(_IN_THE_WEST.split())
_ALONE: Final = frozenset("àéèáíúâêãåöøæőäôîş" + "авикосуяєій")
_GREEK_ACCENTS: Final = frozenset("άέήίόύώϊϋΐΰ")
_GREEK_WORD: Final = 4
_PUNCTUATION: Final = frozenset("‘’“”‚„–—…«»‹›€£§°•·©®™¿¡¢¥²³½¼¾×÷±µªº\xa0‰")
_OPENING: Final = frozenset("“„«‚‘‹¿¡©")
_CLOSING: Final = frozenset("”»›")
_RAISED: Final = frozenset("²³ªº®™")
_WORD: Final = re.compile(r"[^\W\d_]+")
_GREEK_FROM, _CYRILLIC_FROM, _CYRILLIC_TO = "Ͱ", "Ѐ", "ӿ"

_FIRST_LEVEL: Final = {
    "shift_jis": (0x88, 0x98),
    "gb18030": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "euc_kr": (0xB0, 0xC8),
}
"""The first bytes of each encoding's common characters: rare ones alone are no text."""
_MOSTLY: Final = 0.8
_SCRIPTS: Final = (("぀", "ヿ"), ("一", "鿿"), ("가", "힣"))
_WIDE: Final = (*_SCRIPTS, ("　", "〿"), ("！", "～"))
_LONE: Final = re.compile(r"[a-z][぀-ヿ一-鿿가-힣](?:[a-z]|\b)|(?:\b|[a-z])[぀-ヿ一-鿿가-힣][a-z]", re.IGNORECASE)

_BEFORE_AN_APOSTROPHE: Final = (
    "it that there what here who where how he she we you they i let isn aren wasn weren don doesn didn can couldn won "
    "wouldn shouldn haven hasn hadn"
)
_CONTRACTED: Final = frozenset(_BEFORE_AN_APOSTROPHE.split())
_ENDINGS: Final = frozenset({"s", "t", "d", "m", "re", "ve", "ll"})
_LONG_ENOUGH: Final = 4


def is_sensible(text: str, encoding: str, *, one_language: bool = True) -> bool:
    """Whether the text consists of words as they are written where `encoding` is in use.

    Without `one_language` several languages of the West may stand side by side in it.
    """
    strange = {each for each in set(text) if not each.isascii()}
    if any("\x80" <= each <= "\x9f" or (not each.isprintable() and each != "\xa0") for each in strange):
        return False
    if encoding in _FIRST_LEVEL:
        return _is_eastern_asian(text, strange, encoding)
    if not {each for each in strange if not each.isalpha()} <= _PUNCTUATION:
        return False
    cells = [cell for cell in re.split(r"[,;\t\r\n\"|]", text) if not cell.isascii()]
    words = [word for cell in cells for word in _WORD.findall(cell)]
    well = all(_stands_well(text, match) for match in re.finditer(r"[^\x00-\x7f]", text))
    letters = frozenset(each.lower() for each in strange if each.isalpha() and each not in _PUNCTUATION)
    if not well or not all(map(_is_a_word, words)):
        return False
    if not one_language:
        return letters <= _EVERY_WESTERN and not any(_CLUSTER.search(word) for word in words) and _fits(words, "")
    return not letters or _is_some_language(letters, words, encoding)


def _is_some_language(letters: frozenset[str], words: list[str], encoding: str) -> bool:
    lower = [word.lower() for word in words]
    if encoding in _EASTERN and _WESTERN_WORDS & set(lower):
        return False
    if encoding == "cp1253" and not all(_GREEK_ACCENTS & set(word) for word in lower if len(word) >= _GREEK_WORD):
        return False
    return any(letters <= set(alphabet) and _fits(lower, alphabet) for alphabet in _ALPHABETS[encoding])


def _is_eastern_asian(text: str, strange: set[str], name: str) -> bool:
    """Whether a text holds common Chinese, Japanese or Korean characters, and no lone one in a Latin word."""
    if not all(_is_wide(each) or each in _PUNCTUATION for each in strange) or _LONE.search(text):
        return False
    letters = [each for each in strange if any(first <= each <= last for first, last in _SCRIPTS)]
    first, last = _FIRST_LEVEL[name]
    common = [each for each in letters if each < "一" or first <= each.encode(name)[0] <= last]
    return bool(letters) and len(common) >= _MOSTLY * len(letters)


def _is_wide(character: str) -> bool:
    return any(first <= character <= last for first, last in _WIDE)


def _is_a_word(word: str) -> bool:
    """No capital accent between small letters, not Latin and another script in one word."""
    if any(one.islower() and other.isupper() and not other.isascii() for one, other in pairwise(word)):
        return False
    if any(one.isupper() and not one.isascii() and other.islower() for one, other in pairwise(word[1:])):
        return False
    if len(word) == 1 and not word.isascii():
        return word.lower() in _ALONE or _GREEK_FROM <= word < _CYRILLIC_FROM
    latin = any(each < _GREEK_FROM for each in word)
    return not (latin and any(_GREEK_FROM <= each <= _CYRILLIC_TO for each in word))


def _stands_well(text: str, match: "re.Match[str]") -> bool:
    """Whether a character stands where it would in a text: no quotes within words, no letters beside digits."""
    sign, at = match[0], match.start()
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if sign.isalpha() and sign not in _RAISED:
        return not (before.isdecimal() or after.isdecimal())
    if sign in _OPENING:
        closed = sign not in "„‚" or re.search("[“”‘’]", text[at:]) is not None
        return closed and not before.isalnum()
    if sign in _MONEY:
        return not (before.isalpha() or after.isalpha())
    if sign in _CLOSING:
        return not after.isalnum()
    if sign in _RAISED:
        return before.isalnum() and not after.isalpha()
    if sign in "’°":
        return (before.isalnum() or not after.isalnum()) if sign == "’" else (not before.isalpha() or before in "nN")
    inside = before.isalpha() and after.isalpha()
    return not inside or sign in "—×" or (sign == "–" and after.isupper()) or (sign == "·" and before == after == "l")


def _fits(words: list[str], alphabet: str) -> bool:
    """Whether a language writes such words: Polish has neither q, v nor x, and no ń before a vowel."""
    foreign = set(_FOREIGN_HERE.get(alphabet, ""))
    pairs = {pair for word in words for pair in pairwise(word)}
    return not any(foreign & set(word) for word in words) and not any(
        other in _NEVER_BEFORE.get(one, "") for one, other in pairs
    )


def is_windows_english(text: str) -> bool:
    """Whether all that is strange in a text are typographic signs, and its apostrophes are those of English.

    The same byte is an í on a Mac, so that `itís` is the other reading; `pa’s` might be `país`, and is asked about.
    """
    strange = {each for each in set(text) if not each.isascii()}
    if "’" not in strange or any(each.isalpha() for each in strange):
        return False
    return all(_is_contraction(*pair) for pair in re.findall(r"(\w*)’(\w*)", text))


def _is_contraction(stem: str, ending: str) -> bool:
    if not ending:
        return stem.endswith(("s", "S", "n"))
    if ending.lower() not in _ENDINGS:
        return False
    return stem.lower() in _CONTRACTED or (ending.lower() == "s" and len(stem) >= _LONG_ENOUGH)
