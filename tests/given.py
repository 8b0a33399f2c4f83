"""Values for tests, with everything filled in that a test does not care about."""

from typing import Any, Final

from batchmod import jobs
from batchmod.errors import Place
from batchmod.model import Attempt, Delivery, Job, Price, ProviderFacts, Row, Source, Status, VideoFacts, Work

ORIGIN: Final = "https://api.example.com"

HOSTED: Final = ProviderFacts(
    name="hosted",
    title="a paid service",
    hosted=True,
    base_urls={"api": ("HOSTED_BASE_URL", ORIGIN)},
    max_clip_s=30.0,
    longest_included=False,
    max_clip_bytes=100_000_000,
    price=Price(per_second_usd=0.1, per_call_usd=0.6),
)

LOCAL: Final = ProviderFacts(name="local", title="this machine", hosted=False)

FACTS: Final = {"hosted": HOSTED, "local": LOCAL}

CLIP: Final = VideoFacts(width=64, height=48, fps=None, frames=48, duration_s=2.0, has_audio=False, bytes=1000)


def row(id_: str = "shot", **fields: Any) -> Row:
    """A manifest's row."""
    given: dict[str, Any] = {"number": 1, "video_url": "clips/a.mp4", "mode": "adhere_1", **fields}
    return Row(id=id_, place=Place(file="shots.yaml", line=1), **given)


def source(name: str = "a") -> Source:
    """A local clip whose content is told by its name."""
    sha256 = name.encode().hex().ljust(64, "0")
    location = f"/clips/{name}.mp4"
    return Source(location=location, local=True, identity=f"sha256:{sha256}", sha256=sha256, media_type="video/mp4")


def job(id_: str = "shot", *, facts: ProviderFacts = HOSTED, **fields: Any) -> Job:
    """The job of a row; `video`, `first_frame`, `origin`, `options`, `naming` may be given; the rest is the row's."""
    how: dict[str, Any] = {
        "video": fields.pop("video", source()),
        "first_frame": fields.pop("first_frame", None),
        "origin": fields.pop("origin", ORIGIN if facts.hosted else ""),
        "options": fields.pop("options", {}),
        "naming": fields.pop("naming", "{id}_v{version:03d}"),
    }
    return jobs.make(row(id_, **fields), facts=facts, **how)


def work(of: Job, status: Status, *, work_id: int = 1, **fields: Any) -> Work:
    """What the record knows of a job; a hosted one that succeeded has its request id."""
    request_id = "r1" if of.origin and status in (Status.SUBMITTED, Status.SUCCEEDED) else None
    given: dict[str, Any] = {"inputs": {}, "attempts": 1, "request_id": request_id, **fields}
    return Work(
        work_id=work_id,
        job_key=of.key,
        provider=of.provider,
        model=of.model,
        origin=of.origin,
        options=of.options,
        status=status,
        **given,
    )


def delivery(of: Job, *, work_id: int = 1, version: int = 1, delivered: bool = True) -> Delivery:
    """A job's output."""
    path = jobs.output_path(of.stem, version)
    return Delivery(id=of.id, version=version, work_id=work_id, path=path, delivered=delivered, stem=of.stem)


def attempt(number: int = 1, *, body: Any = None, sent_at: float = 10_000.0, **fields: Any) -> Attempt:
    """A POST that was written down."""
    sent = {"prompt": "wool"} if body is None else body
    given: dict[str, Any] = {"work_id": number, "provider": "hosted", "origin": ORIGIN, **fields}
    return Attempt(attempt_id=number, body=sent, sent_at=sent_at, **given)
