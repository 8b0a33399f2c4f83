"""Every dialect, whatever a service answers: it never breaks, and what nobody named is never sent again."""

import json
from importlib import import_module
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmod import providers
from batchmod.model import Again, Blocked, Call, Done, Failed, Reply, Sent, Step, Uncertain, Wait
from batchmod.providers.hosted import Dialect
from tests.replies import AT, LOCAL, answer, asking, submitting, work

STEPS = get_args(Step)

_NAMES = (
    *("request_id", "id", "status", "status_url", "response_url", "state", "data", "code", "msg", "message", "error"),
    *("output", "outputs", "video", "url", "urls", "get", "assets", "successFlag", "response", "resultUrls", "taskId"),
    *("detail", "error_type", "failure", "failureCode", "cost", "credits", "metrics", "upload", "upload_url"),
    *("file_url", "download_url", "downloadUrl", "uploadUrl", "fields", "runwayUri", "results", "next", "input"),
    *("generations", "request", "created_at", "data_removed", "method", "headers", "file", "failure_reason"),
)
_WORDS = st.sampled_from(
    [
        *("COMPLETED", "FAILED", "succeeded", "failed", "completed", "canceled", "aborted", "cancelled", "deleted"),
        *("IN_QUEUE", "processing", "ready", "PUT", "https://files.test/a.mp4", "http://[", "a", "", "1010", "{", "["),
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers(-5, 600) | st.floats() | _WORDS
_BODIES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6),
    max_leaves=12,
)
_TEXTS = _BODIES.map(json.dumps) | st.sampled_from(["", "<html>nginx</html>", "{", "\u0000", '"1010"'])


def dialect_of(name: str) -> Dialect:
    return cast(Dialect, import_module(f"batchmod.providers.{name.replace('-', '_')}"))


def takes(name: str) -> dict[str, Any]:
    """What of a row goes to a provider: one that has no first frame is given none."""
    return {} if "first_frame_url" in providers.facts(name).fields else {"first_frame": None}


def states(name: str) -> list[Any]:
    """A state for each request a dialect makes: an upload's, the submit, a question, and what follows from those."""
    dialect = dialect_of(name)
    found = [submitting(dialect, **takes(name)).state, asking(dialect).state]
    begun = dialect.begin(work(video=LOCAL, first_frame=None), AT, {})
    return [*found, *([begun.state] if isinstance(begun, Call) else [])]


@pytest.mark.parametrize("name", providers.HOSTED)
@settings(max_examples=150, deadline=None)
@given(status=st.integers(200, 599), text=_TEXTS, tries=st.integers(1, 4))
def test_no_answer_breaks_a_dialect(name: str, status: int, text: str, tries: int) -> None:
    dialect = dialect_of(name)
    for state in states(name):
        step = dialect.next_step(state, answer(status, text))
        for _ in range(tries):
            assert isinstance(step, STEPS)
            if isinstance(step, Call) and not step.paying:
                step = dialect.next_step(step.state, answer(status, text))
            elif isinstance(step, Wait):
                step = dialect.next_step(step.state, None)
    rows = dialect.history_rows(answer(status, text))
    assert rows is None or isinstance(rows, list)
    balance = dialect.balance_of(answer(status, text))
    assert balance is None or isinstance(balance, float)


@pytest.mark.parametrize("name", providers.HOSTED)
@settings(max_examples=150, deadline=None)
@given(status=st.integers(200, 599), text=_TEXTS)
def test_only_429_and_what_is_documented_is_sent_again(name: str, status: int, text: str) -> None:
    reply = answer(status, text)
    step = dialect_of(name).next_step(submitting(dialect_of(name), **takes(name)).state, reply)

    match step:
        case Failed(again=Again.LATER):
            assert 429 in (status, _code(text))
        case Failed(again=Again.ASK_FIRST):
            assert (name, status) == ("segmind", 500)
        case Failed(again=Again.UNREACHED):
            pytest.fail("an answer is no proof that nothing was reached")
        case Failed() | Blocked():
            assert 300 <= status < 500 or _code(text) is not None
        case Wait() | Call():
            assert step.state.request_id
        case Uncertain():
            assert step.state.request_id is None
        case Done():
            assert step.state.request_id


def _code(text: str) -> object:
    """The code of its own that an answer bears."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body.get("code") if isinstance(body, dict) else None


@pytest.mark.parametrize("name", providers.HOSTED)
@pytest.mark.parametrize("status", [408, 409, 425, 499, 501, 502, 503, 504, 505, 520, 599])
@pytest.mark.parametrize("body", ["", "<html>", {"detail": "x"}, {"error": "x"}, {"id": "r", "request_id": "r"}])
def test_what_may_have_been_accepted_is_uncertain(name: str, status: int, body: Any) -> None:
    step = dialect_of(name).next_step(submitting(dialect_of(name), **takes(name)).state, answer(status, body))
    assert isinstance(step, Uncertain)


@pytest.mark.parametrize("name", providers.HOSTED)
@pytest.mark.parametrize("sent", [Sent.UNKNOWN, Sent.NEVER_SENT])
def test_a_question_without_an_answer_is_asked_again(name: str, sent: Sent) -> None:
    call = asking(dialect_of(name))
    for _ in range(50):
        step = dialect_of(name).next_step(call.state, Reply(sent=sent, problem="the network is down"))
        assert isinstance(step, Wait)
        following = dialect_of(name).next_step(step.state, None)
        assert isinstance(following, Call)
        call = following
