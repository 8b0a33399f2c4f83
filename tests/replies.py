"""What tests of pure dialects share: a work, a service's answers, and a walk from step to step."""

import json
from collections.abc import Mapping
from typing import Any

from batchmod.model import Call, Endpoints, Reply, Sent, Status, Step, Wait, Work
from batchmod.providers.hosted import Dialect

CLIP = {"location": "https://example.com/a.mp4", "local": False, "identity": "url:https://example.com/a.mp4"}
FRAME = {"location": "https://example.com/a.png", "local": False, "identity": "url:https://example.com/a.png"}
SHA256 = "ab" * 32
LOCAL = {
    "location": "/clips/a.mp4",
    "local": True,
    "identity": f"sha256:{SHA256}",
    "sha256": SHA256,
    "media_type": "video/mp4",
}
AT = Endpoints(api="https://api.test", upload="https://upload.test", history="https://api.test")


def work(*, request_id: str | None = None, **more: Any) -> Work:
    """A work with a clip on the web, a first frame, a mode and a prompt; `more` are inputs, or fields of `Work`."""
    inputs = {"video": CLIP, "first_frame": FRAME, "mode": "flex_2", "prompt": "as wool"}
    fields = {name: more.pop(name) for name in ("model", "options", "state", "output_location") if name in more}
    fields = {"model": None, "options": {}, **fields}
    return Work(
        work_id=1,
        job_key="1-a",
        provider="any",
        origin="https://api.test",
        inputs=inputs | more,
        status=Status.PLANNED,
        request_id=request_id,
        **fields,
    )


def answer(status: int, body: Any = None, **headers: str) -> Reply:
    """An answer of the service; a body that is no text is JSON, header names with `_` for `-`."""
    raw = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(sent=Sent.ANSWERED, status=status, headers=named, body=raw.encode())


def submitting(dialect: Dialect, **more: Any) -> Call:
    """The paid request of a work whose files are on the web."""
    call = dialect.begin(work(**more), AT, {})
    assert isinstance(call, Call)
    assert call.paying
    return call


def after_submit(dialect: Dialect, reply: Reply, **more: Any) -> Step:
    """What follows from an answer to the paid request."""
    return dialect.next_step(submitting(dialect, **more).state, reply)


def asking(dialect: Dialect, **more: Any) -> Call:
    """The question for a job whose id is in the record."""
    step = dialect.resume(work(**({"request_id": "r-1"} | more)), AT)
    assert isinstance(step, Wait)
    call = dialect.next_step(step.state, None)
    assert isinstance(call, Call)
    return call


def after_asking(dialect: Dialect, reply: Reply, **more: Any) -> Step:
    """What follows from an answer to the question for a job."""
    return dialect.next_step(asking(dialect, **more).state, reply)


def again_and_again(dialect: Dialect, reply: Reply, *, times: int) -> Step:
    """What follows when the question for a job is answered so, so many times."""
    call = asking(dialect)
    step: Step = call
    for _ in range(times):
        step = dialect.next_step(call.state, reply)
        if not isinstance(step, Wait):
            return step
        following = dialect.next_step(step.state, None)
        assert isinstance(following, Call)
        call = following
    return step


def headers_of(call: Call) -> Mapping[str, str]:
    """The request's own headers, names in lower case."""
    return {name.lower(): value for name, value in call.request.headers.items()}
