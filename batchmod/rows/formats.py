"""A workbook's value and its number format → the text that the spreadsheet shows."""

import re
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|[_*].|\[\$(?P<money>[^\]-]*)[^\]]*\]|\[(?P<elapsed>h+|m+|s+)\]|\[[^\]]*\]'
    r"|(?P<general>General)|(?P<half>AM/PM|A/P)|(?P<part>[yY]+|[mM]+|[dD]+|[hH]+|[sS]+)|(?P<fraction>\.0+(?=[^0#]|$))"
    r"|(?P<digit>[0#?])|(?P<exponent>[eE][+-])|(?P<sign>[.,%@/])|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_SECTION: Final = re.compile(r'((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[])*)(?:;|$)', re.DOTALL)
_CONDITION: Final = re.compile(r"\[[<>=]")
# the short dates of the reader's own country, in which no two people see the same: shown as ISO 8601 instead
_OF_THE_COUNTRY: Final = {"mm-dd-yy": "yyyy-mm-dd", "m/d/yy h:mm": "yyyy-mm-dd hh:mm"}
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FULL, _SHORT, _TWO = 4, 3, 2
_NOON: Final = 12


class _Token(NamedTuple):
    kind: str
    text: str


def shown(value: object, code: str) -> str:
    """The text of a cell; a format that this does not know leaves the plain value.

    `value`: text, bool, number, date, time, timedelta or None; `code`: such as `General`, `0.00`, `dd.mm.yyyy`.
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).upper()
        case int() | float():
            return _number(value, code)
        case datetime() | date() | time() | timedelta():
            return _moment(value, _OF_THE_COUNTRY.get(code, code))
        case _:
            return str(value)


def _tokens(code: str) -> list[_Token]:
    return [_Token(match.lastgroup or "", match[match.lastgroup or 0]) for match in _TOKEN.finditer(code)]


def plain(value: float) -> str:
    """A number without a format: its significant digits, without the dust of binary fractions."""
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    text = format(Decimal(format(value, ".15g")), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(value: float, code: str) -> str:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return str(value)
    sections = [match[1] for match in _SECTION.finditer(code)][:_FULL]
    sections = sections[:-1] if len(sections) > 1 and not sections[-1] and not code.endswith(";") else sections
    if _CONDITION.search(code):
        return plain(value)
    section, signed = _section(value, sections)
    tokens = _tokens(section)
    kinds = {token.kind for token in tokens}
    if "general" in kinds or not kinds or kinds & {"exponent", "part", "elapsed"} or _Token("sign", "/") in tokens:
        return plain(value)
    if "digit" not in kinds:
        return "".join(_literal(token) for token in tokens) if kinds - {"sign"} else plain(value)
    return ("-" if signed and value < 0 else "") + _digits(abs(value), tokens)


def _section(value: float, sections: list[str]) -> tuple[str, bool]:
    """The section for a number, and whether the minus sign is still to be written."""
    if value < 0 and len(sections) > 1:
        return sections[1], False
    if value == 0 and len(sections) > _TWO:
        return sections[2], False
    return (sections[0] if sections else "General"), True


def _digits(value: float, tokens: list[_Token]) -> str:
    amount = Decimal(repr(value)) * 100 ** tokens.count(_Token("sign", "%"))
    last = max(n for n, token in enumerate(tokens) if token.kind in ("digit", "fraction"))
    first = min(n for n, token in enumerate(tokens) if token.kind in ("digit", "fraction"))
    point = next(
        (n for n, token in enumerate(tokens) if token == _Token("sign", ".") or token.kind == "fraction"), None
    )
    end = last + 1 if point is None else point
    scale = sum(token == _Token("sign", ",") for token in _following(tokens, last))
    wanted = [token.text for token in tokens[end:] if token.kind == "digit"]
    wanted += ["0"] * sum(len(token.text) - 1 for token in tokens if token.kind == "fraction")
    amount = (amount / 1000**scale).quantize(Decimal(1).scaleb(-len(wanted)), rounding=ROUND_HALF_UP)
    whole, _, behind = format(amount, "f").partition(".")
    grouped = any(token == _Token("sign", ",") for token in tokens[first:end])
    text = _whole("" if whole == "0" else whole, tokens[first:end], grouped=grouped)
    needed = sum(1 for each in wanted if each == "0")
    behind = behind[:needed] + behind[needed:].rstrip("0")
    head = "".join(_literal(token) for token in tokens[:first])
    tail = "".join(_literal(token) for token in tokens[last + 1 :] if token != _Token("sign", ","))
    return f"{head}{text}{'.' if point is not None else ''}{behind}{tail}"


def _following(tokens: list[_Token], last: int) -> list[_Token]:
    """The commas right after the last digit: each of them divides by a thousand."""
    found = []
    for token in tokens[last + 1 :]:
        if token != _Token("sign", ","):
            break
        found.append(token)
    return found


def _whole(digits: str, tokens: list[_Token], *, grouped: bool) -> str:
    """The digits before the point, from the right, between the literals of the format."""
    places = [token for token in tokens if token != _Token("sign", ",")]
    least = sum(token == _Token("digit", "0") for token in places)
    digits = digits.rjust(least, "0")
    if grouped:
        return f"{int(digits or 0):,}" if int(digits or 0) or least else ""
    written: list[str] = []
    left = list(digits)
    slots = sum(token.kind == "digit" for token in places)
    for token in reversed(places):
        if token.kind == "digit":
            slots -= 1
            take = len(left) if slots == 0 else min(1, len(left))
            written.insert(0, "".join(left[len(left) - take :]))
            left = left[: len(left) - take]
        else:
            written.insert(0, _literal(token))
    return "".join(written)


def _literal(token: _Token) -> str:
    return token.text if token.kind in ("quoted", "escaped", "money", "other", "sign", "part", "half") else ""


def _moment(value: date | time | timedelta, code: str) -> str:
    tokens = _tokens(_SECTION.match(code)[1] if _SECTION.match(code) else code)  # type: ignore[index]
    if not any(token.kind in ("part", "elapsed") for token in tokens):
        return _iso(value)
    seconds = _seconds(value)
    half = any(token.kind == "half" for token in tokens)
    written = []
    for n, token in enumerate(tokens):
        if token.kind == "part":
            is_minute = token.text[0] in "mM" and _beside_a_time(tokens, n)
            written.append(_part(value, seconds, token.text.lower(), minute=is_minute, half=half))
        elif token.kind == "elapsed":
            unit = {"h": 3600, "m": 60, "s": 1}[token.text[0].lower()]
            written.append(str(int(seconds // unit)).zfill(len(token.text)))
        elif token.kind == "half":
            written.append(("AM" if seconds % 86400 < _NOON * 3600 else "PM")[: len(token.text.split("/")[0])])
        elif token.kind == "fraction":
            written.append(format(seconds % 1, f".{len(token.text) - 1}f")[1:])
        else:
            written.append(_literal(token))
    return "".join(written)


def _iso(value: date | time | timedelta) -> str:
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        return value.date().isoformat()
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _seconds(value: date | time | timedelta) -> float:
    """Seconds of the day, or all of a span's."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime | time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    return 0.0


def _beside_a_time(tokens: list[_Token], at: int) -> bool:
    """Whether an `m` means minutes: hours before it, or seconds after it."""
    parts = [(n, token) for n, token in enumerate(tokens) if token.kind in ("part", "elapsed")]
    index = next(i for i, (n, _) in enumerate(parts) if n == at)
    before = parts[index - 1][1].text[0].lower() if index else ""
    after = parts[index + 1][1].text[0].lower() if index + 1 < len(parts) else ""
    return before == "h" or after == "s"


def _part(value: date | time | timedelta, seconds: float, part: str, *, minute: bool, half: bool) -> str:
    hour = int(seconds // 3600) if isinstance(value, timedelta) else int(seconds // 3600) % 24
    if part[0] == "h":
        return str((hour % _NOON or _NOON) if half else hour).zfill(min(len(part), _TWO))
    if part[0] == "s":
        return str(int(seconds % 60)).zfill(min(len(part), _TWO))
    if minute:
        return str(int(seconds // 60) % 60).zfill(min(len(part), _TWO))
    if not isinstance(value, date):
        return ""
    if part[0] == "y":
        return f"{value.year:04d}" if len(part) > _TWO else f"{value.year % 100:02d}"
    names, number = (_MONTHS, value.month) if part[0] == "m" else (_DAYS, value.day)
    if len(part) < _SHORT:
        return str(number).zfill(len(part))
    name = names[number - 1] if part[0] == "m" else names[value.weekday()]
    return name if len(part) >= _FULL else name[:_SHORT]
