"""Events as records of the standard library's logging, under the logger `batchmod`.

Each record carries `run_id`, `event`, `id`, `job_key`, `provider`, `request_id` and `code`, None where there is none.
Neither a key nor the query of a URL is in any of them.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from batchmod.model import Event

LOGGER: Final = logging.getLogger("batchmod")
LOGGER.addHandler(logging.NullHandler())
FIELDS: Final = ("run_id", "event", "id", "job_key", "provider", "request_id", "code")
"""What each record carries beside its message."""

_LEVELS: Final = {
    **dict.fromkeys(("polled", "progress", "scoring"), logging.DEBUG),
    **dict.fromkeys(
        ("uncertain", "stopping", "left", "taken_over", "hook_failed", "not_stored", "notify_failed"),
        logging.WARNING,
    ),
    **dict.fromkeys(("failed", "error"), logging.ERROR),
}
_WORDS: Final = {
    "run_started": "run of {manifest_name} started, {rows} rows",
    "planned": "planned",
    "intended": "sending to {provider}, attempt {attempt}",
    "submitted": "accepted by {provider} as {request_id}",
    "refused": "not accepted ({outcome})",
    "retrying": "again in {after_s} s: {why}",
    "polled": "asking how far it is; last seen {phase}",
    "progress": "{frames_done} of {frames} frames done",
    "left": "left to a later run; collect it before {collect_by}",
    "output_known": "the output is ready to be fetched",
    "succeeded": "succeeded: {output}",
    "failed": "failed [{code}]: {message}",
    "uncertain": "uncertain: {reason}",
    "resolved": "resolved: {how}",
    "copied": "copied from what is paid for already",
    "conformed": "copy fit for use: {copy}",
    "scoring": "{done} of {of} outputs looked at",
    "hook_succeeded": "on_succeeded: done for {output}",
    "hook_failed": "on_succeeded: failed for {output}: {message}; what it said is in {log}",
    "not_stored": "{output} is not in the store [{code}]: {message}",
    "notify_failed": "{message}",
    "stopping": "stopping [{code}]: {message}",
    "error": "{message} [{code}]",
    "run_ended": "run ended with {exit_code}",
}
_QUERY: Final = re.compile(r"(https?://[^\s?#'\"<>]+)[?#][^\s'\"<>]*", re.IGNORECASE)


def observed(observe: Callable[[Event], None]) -> Callable[[Event], None]:
    """The observer, and the log before it where anybody listens to the log now; else the observer alone."""
    if not is_heard():
        return observe
    log = EventLog()

    def both(event: Event) -> None:
        log.observe(event)
        observe(event)

    return both


def is_heard() -> bool:
    """Whether a record of this logger would reach a handler that keeps it."""
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


class EventLog:
    """Events → records; remembers which request id a job has, since not every event says it."""

    def __init__(self) -> None:
        self._requests: dict[str, str] = {}

    def observe(self, event: Event) -> None:
        """Log an event."""
        request_id = self._request_of(event)
        level = _level(event)
        if not LOGGER.isEnabledFor(level) and not event.facts.get("warnings"):
            return
        facts = event.facts
        about = {
            "run_id": event.run_id,
            "event": event.kind,
            "id": event.id,
            "job_key": event.job_key,
            "provider": facts.get("provider"),
            "request_id": request_id,
            "code": facts.get("code") or facts.get("stop_reason"),
        }
        for warning in facts.get("warnings", ()) if event.kind == "run_ended" else ():
            LOGGER.warning("%s", plain(str(warning)), extra={**about, "event": "warning", "code": None})
        LOGGER.log(level, "%s", words(event), extra=about)

    def _request_of(self, event: Event) -> str | None:
        key, found = event.job_key or "", event.facts.get("request_id")
        if event.kind in ("submitted", "resolved") and found:
            self._requests[key] = found
        known: str | None = found or self._requests.get(key)
        if event.kind in ("succeeded", "failed", "refused"):
            self._requests.pop(key, None)
        return known


def _level(event: Event) -> int:
    if event.kind == "run_ended":
        return logging.INFO if event.facts.get("exit_code") == 0 else logging.WARNING
    return _LEVELS.get(event.kind, logging.INFO)


def words(event: Event) -> str:
    """An event in a line of words."""
    label = f"{event.id}: " if event.id else ""
    return plain(f"{label}{_said(event.kind, event.facts)}")


def plain(text: str) -> str:
    """A text in one line, without the queries of its URLs and without what would move a terminal's cursor."""
    text = " ".join(_QUERY.sub(r"\1?…", text).split())
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _said(kind: str, facts: Mapping[str, Any]) -> str:
    known = {name: value for name, value in facts.items() if value is not None}
    unnamed = f"{kind}: {{message}}" if "message" in known else kind.replace("_", " ")
    text = _WORDS.get(kind, unnamed).format_map(_Known(known))
    if kind in ("planned", "run_ended"):
        counts = ", ".join(f"{number} {name}" for name, number in facts.get("counts", {}).items())
        why = f" [{facts['stop_reason']}]" if facts.get("stop_reason") else ""
        return f"{text}{why}: {counts or 'nothing'}"
    return text


class _Known(dict[str, Any]):
    """Facts by name; `?` for one that is not known."""

    def __missing__(self, name: str) -> str:
        return "?"
