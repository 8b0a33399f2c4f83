"""What is said to somebody about a run, and how it is signed."""

import base64
import hashlib
import hmac
import json

import pytest

from batchmod import notices
from batchmod.notices import News, Row

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def _news(**facts: object) -> News:
    given = {"kind": "run.ended", "at": "2026-05-03T10:00:00.000Z", "run_id": "r1", "manifest": "/m.yaml"}
    return News(**{**given, "name": "autumn", "folder": "/out", "exit_code": 1, **facts})  # type: ignore[arg-type]


def test_a_signature_is_what_standard_webhooks_say_it_is() -> None:
    body = notices.body_of(notices.as_json(_news()))
    headers = notices.signature_headers(body, key=notices.key_of(SECRET), message_id="msg_1", at=1614265330)

    signed = b"msg_1.1614265330." + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()

    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"v1,{expected}",
    }


def test_the_published_example_of_standard_webhooks_comes_out() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, spec: the example of a signed payload
    key = notices.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = notices.signature_headers(
        b'{"test": 2432232314}', key=key, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", at=1614265330
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_?", "whsec_c2hvcnQ=", f"whsec_{'QUFB' * 30}"])
def test_a_secret_of_another_kind_is_none(secret: str) -> None:
    assert notices.key_of(secret) is None


def test_nothing_of_the_users_is_markup_in_slack() -> None:
    row = Row(id="a<b>", status="failed", error_code="x", why="<!channel> & <https://evil.example|click>\nnext")
    text = notices.as_slack(_news(failed=(row,), failed_count=1))["text"]

    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; next" in text


def test_a_long_text_is_cut_and_never_within_an_escape() -> None:
    row = Row(id="a", status="failed", why="&" * 5_000)
    many = notices.as_slack(_news(failed=tuple([row] * 20), failed_count=900))["text"]

    assert len(many) <= 3_000
    assert many.endswith("…")
    assert many[:-1].replace("&amp;", "").count("&") == 0


def test_rows_are_capped_and_counted() -> None:
    rows = tuple(Row(id=f"r{number}", status="failed") for number in range(50))
    data = notices.as_json(_news(failed=rows, failed_count=50))["data"]

    assert (len(data["failed"]), data["failed_count"]) == (20, 50)
    assert "and 30 more failed" in notices.as_slack(_news(failed=rows, failed_count=50))["text"]


def test_half_a_character_is_sent_as_something_that_can_be_sent() -> None:
    body = notices.body_of({"why": "\ud83d"})

    assert json.loads(body) == {"why": "?"}
