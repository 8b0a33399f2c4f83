"""Cells of a workbook as the spreadsheet shows them."""

from datetime import date, datetime, time, timedelta

import pytest

from batchmod.rows.formats import shown


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (12, "General", "12"),
        (12.0, "General", "12"),
        (0.1 + 0.2, "General", "0.3"),
        (1e-7, "General", "0.0000001"),
        (12345678901234, "General", "12345678901234"),
        (12, "000", "012"),
        (12, '"SH"000', "SH012"),
        (3, '00"_A"', "03_A"),
        (12, r"\s0000", "s0012"),
        (1234.5, "#,##0.00", "1,234.50"),
        (0.5, "0%", "50%"),
        (0.256, "0.0%", "25.6%"),
        (2.5, "0", "3"),
        (3.14159, "0.0##", "3.142"),
        (-5, "0.0;(0.0)", "(5.0)"),
        (-5, "0.0", "-5.0"),
        (0, '0;-0;"none"', "none"),
        (1234567, "000-0000", "123-4567"),
        (1234567, '#,##0.0,," M"', "1.2 M"),
        (5, "[$€-407] 0.00", "€ 5.00"),
        (5, "0_);[Red](0)", "5"),
        (7, "@", "7"),
        (0.5, "# ?/?", "0.5"),
        (12345, "0.00E+00", "12345"),
        (5, '[<10]"few";"many"', "5"),
        (True, "General", "TRUE"),
        ("text", "0.00", "text"),
        (None, "0.00", ""),
    ],
)
def test_a_number_is_what_one_sees(value: object, code: str, text: str) -> None:
    assert shown(value, code) == text


_MOMENT = datetime(2026, 5, 3, 14, 7, 9)  # noqa: DTZ001 - a spreadsheet knows no zones


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (_MOMENT, "dd.mm.yyyy", "03.05.2026"),
        (_MOMENT, "yyyy-mm-dd hh:mm:ss", "2026-05-03 14:07:09"),
        (_MOMENT, "d mmm yy", "3 May 26"),
        (_MOMENT, "dddd, d mmmm yyyy", "Sunday, 3 May 2026"),
        (_MOMENT, "h:mm AM/PM", "2:07 PM"),
        (_MOMENT, "[$-407]d. mmmm yyyy;@", "3. May 2026"),
        (_MOMENT, "mm:ss", "07:09"),
        (_MOMENT, "mm-dd-yy", "2026-05-03"),
        (date(2026, 5, 3), "General", "2026-05-03"),
        (time(9, 5), "h:mm", "9:05"),
        (timedelta(hours=27, minutes=3), "[h]:mm:ss", "27:03:00"),
    ],
)
def test_a_date_is_what_one_sees(value: object, code: str, text: str) -> None:
    assert shown(value, code) == text
