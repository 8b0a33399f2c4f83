"""The words everything else is said in: frozen values without behaviour."""

from batchmod.model.conform import Conform
from batchmod.model.exchange import (
    Again,
    Blocked,
    Call,
    Done,
    Failed,
    FileAsBytes,
    FileAsDataUrl,
    FileSize,
    HistoryRow,
    Reply,
    Request,
    Sent,
    Step,
    Uncertain,
    Wait,
)
from batchmod.model.facts import ClipFacts, FrameFacts, VideoFacts
from batchmod.model.given import DELIMITERS, MODES, Hook, Limits, Manifest, NamedFile, Notice, Row
from batchmod.model.job import WISHED, Further, Job, Source, Status
from batchmod.model.record import EVENTS_VERSION, Attempt, Claim, Delivery, Event, Review, Work
from batchmod.model.scores import Scored, Scores
from batchmod.model.service import Endpoints, Estimate, Price, ProviderFacts

__all__ = [
    "DELIMITERS",
    "EVENTS_VERSION",
    "MODES",
    "WISHED",
    "Again",
    "Attempt",
    "Blocked",
    "Call",
    "Claim",
    "ClipFacts",
    "Conform",
    "Delivery",
    "Done",
    "Endpoints",
    "Estimate",
    "Event",
    "Failed",
    "FileAsBytes",
    "FileAsDataUrl",
    "FileSize",
    "FrameFacts",
    "Further",
    "HistoryRow",
    "Hook",
    "Job",
    "Limits",
    "Manifest",
    "NamedFile",
    "Notice",
    "Price",
    "ProviderFacts",
    "Reply",
    "Request",
    "Review",
    "Row",
    "Scored",
    "Scores",
    "Sent",
    "Source",
    "Status",
    "Step",
    "Uncertain",
    "VideoFacts",
    "Wait",
    "Work",
]
