"""Tells people of a run: at its end, and as soon as it is in trouble. Nothing of that can hold it up or fail it."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchmod import clock, notices
from batchmod.app import outcomes, owning
from batchmod.app.allowing import Receiver
from batchmod.app.ending import Summary
from batchmod.app.loading import Loaded
from batchmod.app.log import Log, Tally
from batchmod.checkpoint import Checkpoint
from batchmod.errors import BatchmodError, FolderInUse
from batchmod.model import Event, Reply, Request, Sent
from batchmod.notices import News, Row

if TYPE_CHECKING:  # the HTTP client is loaded only where somebody is told
    from batchmod.transport import Transport

TRIES: Final = 3
EACH_S: Final = 10.0
ALL_S: Final = 40.0
"""How long one message may take with all its tries."""

_PAUSES_S: Final = (1.0, 4.0)
_AGAIN: Final = (408, 425, 429)
_ANSWERED: Final = ("submitted", "output_known", "succeeded", "failed")
_BAD: Final = ("failed", "uncertain", "invalid")


class Teller:
    """Tells one run's receivers."""

    def __init__(self, loaded: Loaded, observe: Callable[[Event], None]) -> None:
        self._loaded = loaded
        self._observe = observe
        self._receivers = loaded.allowed.receivers
        self._run_id = ""
        self._began = clock.now()
        self._tally = Tally()
        self._failed: list[Row] = []
        self._in_a_row = 0
        self._told: set[str] = set()
        self._sending: list[asyncio.Task[None]] = []
        self._problems: dict[str, str] = {}
        self._standing = _news(loaded, "run.ended")

    @property
    def tells(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._receivers)

    def heard(self, event: Event) -> None:
        """An event of the run: one that is trouble is told at once, each kind of trouble once."""
        if not self.tells:
            return
        self._run_id = event.run_id
        self._tally.count(event)
        said = event.facts
        if event.kind == "failed":
            why = str(said.get("message") or "")
            self._failed.append(Row(id=event.id or "", status="failed", error_code=said.get("code"), why=why))
            if len(self._failed) == notices.MANY_FAILURES:
                self._trouble("failures", f"{len(self._failed)} rows have failed in this run")
        self._hear_of_the_service(event)
        if event.kind == "stopping":
            self._trouble(str(said.get("code")), str(said.get("message") or ""), slug=str(said.get("code")))

    def _hear_of_the_service(self, event: Event) -> None:
        """A service that has failed several times in a row is tried by one request at a time: that is trouble.

        One that is only kept to its pace gives no time of its own to wait (`after_s` is 0 there).
        """
        if event.kind == "retrying" and float(event.facts.get("after_s") or 0.0) > 0:
            self._in_a_row += 1
            if self._in_a_row == notices.MANY_TRIES:
                why = event.facts.get("why") or "no answer"
                self._trouble("service", f"requests wait, for the service does not answer as it should: {why}")
        elif event.kind in _ANSWERED:
            self._in_a_row = 0

    def _trouble(self, kind: str, message: str, *, slug: str | None = None) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        news = replace(
            self._so_far(_news(self._loaded, "run.trouble")),
            stop_reason=slug,
            message=message,
            failed=tuple(self._failed[: notices.MOST_ROWS]),
            failed_count=len(self._failed),
        )
        self._tell(news, [each for each in self._receivers if "trouble" in each.notice.on])

    def _so_far(self, news: News) -> News:
        """With what the run has brought up to now."""
        return replace(
            news,
            run_id=self._run_id,
            made=self._tally.made,
            copied=self._tally.copied,
            spent_usd=self._tally.spent_usd,
            seconds=clock.now() - self._began,
        )

    def look(self, record: Checkpoint) -> None:
        """Note what only the record knows, while it is open: rows that failed or are doubted, and money."""
        if not self.tells:
            return
        failed: list[Row] = []
        flagged: list[Row] = []
        counts = [0, 0]
        for line in outcomes.lines(record):
            if line["status"] in _BAD:
                _take(failed, counts, 0, _row(line, line.get("error")))
            elif line.get("flagged") == "true" and line.get("run_id") == self._run_id:
                _take(flagged, counts, 1, _row(line, line.get("flag_reason")))
        totals = record.totals()
        self._standing = replace(
            self._standing,
            failed=tuple(failed),
            failed_count=counts[0],
            flagged=tuple(flagged),
            flagged_count=counts[1],
            spent_in_folder_usd=totals.spent_usd,
            reserved_usd=totals.reserved_usd,
        )

    async def ended(self, summary: Summary) -> Summary:
        """Tell how the run ended; the summary with what went wrong in telling."""
        if not self.tells:
            return summary
        paths = {"results": summary.results, "report": summary.report, "workbook": summary.workbook}
        self._end(
            replace(
                self._standing,
                at=clock.iso(clock.now()),
                run_id=self._run_id,
                exit_code=summary.exit_code,
                stop_reason=summary.stop_reason,
                message=summary.message,
                counts=dict(summary.counts),
                made=summary.made,
                copied=summary.copied,
                seconds=summary.seconds,
                spent_usd=summary.spent_usd,
                warnings=tuple(islice(summary.warnings, notices.MOST_ROWS)),
                paths={name: str(path) for name, path in paths.items() if path is not None},
            )
        )
        return replace(summary, warnings=(*summary.warnings, *await self._finished()))

    async def broke(self, error: Exception) -> None:
        """Tell of a run that an error has ended."""
        if not self.tells:
            return
        known = isinstance(error, BatchmodError)
        code, slug = (error.exit_code, error.slug) if isinstance(error, BatchmodError) else (70, "bug")
        message = str(error) if known else f"this is a bug in batchmod: {type(error).__name__}"
        now = clock.iso(clock.now())
        self._end(replace(self._so_far(self._standing), at=now, exit_code=code, stop_reason=slug, message=message))
        await self._finished()

    def _end(self, news: News) -> None:
        """Whoever wants only trouble hears of an end that is some, unless it was told of that already."""
        is_trouble = news.exit_code != 0 and not self._told
        self._tell(
            news,
            [
                each
                for each in self._receivers
                if "end" in each.notice.on or ("trouble" in each.notice.on and is_trouble)
            ],
        )

    def _tell(self, news: News, receivers: list[Receiver]) -> None:
        self._sending += [asyncio.ensure_future(self._carried(each, news)) for each in receivers]

    async def _carried(self, receiver: Receiver, news: News) -> None:
        problem = await delivered(receiver, news)
        if problem is not None:
            self._problems[f"{receiver.shown} ({news.kind})"] = problem

    async def _finished(self) -> tuple[str, ...]:
        """Wait for what is being sent; what went wrong is written down, and answered as warnings."""
        await asyncio.gather(*self._sending, return_exceptions=True)
        said = tuple(f"notify: {to} could not be told: {problem}" for to, problem in self._problems.items())
        if said and self._loaded.folder.is_dir():
            _write_down(self._loaded.folder, self._observe, said, run_id=self._run_id)
        return said

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)


def _take(rows: list[Row], counts: list[int], which: int, row: Row) -> None:
    counts[which] += 1
    if len(rows) < notices.MOST_ROWS:
        rows.append(row)


def _row(line: dict[str, object], why: object) -> Row:
    code = line.get("error_code")
    return Row(
        id=str(line["id"]),
        status=str(line["status"]),
        error_code=str(code) if code else None,
        why=str(why) if why else None,
    )


def _news(loaded: Loaded, kind: str) -> News:
    return News(
        kind=kind,
        at=clock.iso(clock.now()),
        run_id="",
        manifest=str(loaded.path.resolve()),
        name=loaded.manifest.name,
        folder=str(loaded.folder),
    )


def _write_down(folder: Path, observe: Callable[[Event], None], said: tuple[str, ...], *, run_id: str) -> None:
    """An event for each message that did not arrive; the folder is given back by now, and may be another run's."""
    try:
        with owning.owned(folder), Log(folder, observe) as log:
            for message in said:
                log.tell("notify_failed", run_id=run_id, message=message)
    except (FolderInUse, OSError):
        for message in said:
            observe(Event(kind="notify_failed", at=clock.iso(clock.now()), run_id=run_id, facts={"message": message}))


async def delivered(receiver: Receiver, news: News) -> str | None:
    """Post a message, again where that may help; what went wrong, if it did. Never raises for the wire."""
    from batchmod.transport import Transport

    transport = Transport()
    try:
        async with asyncio.timeout(ALL_S):
            return await _posted(transport, receiver, news)
    except TimeoutError:
        return f"it took longer than {ALL_S:g} s"
    finally:
        await transport.aclose()


async def _posted(transport: "Transport", receiver: Receiver, news: News) -> str | None:
    tree = notices.as_slack(news) if receiver.notice.format == "slack" else notices.as_json(news)
    body = notices.body_of(tree)
    message_id = f"msg_{uuid.uuid4().hex}"  # one for all tries: whoever got it twice can tell
    problem = ""
    for number in range(TRIES):
        await clock.sleep(_PAUSES_S[number - 1] if number else 0.0)
        headers = {"webhook-id": message_id}
        if receiver.notice.format == "json":
            headers = notices.signature_headers(body, key=receiver.key, message_id=message_id, at=int(clock.now()))
        request = Request(
            method="POST", url=receiver.notice.url, json=json.loads(body), headers=headers, read_timeout_s=EACH_S
        )
        try:
            async with asyncio.timeout(EACH_S):
                reply = await transport.send(request, idle_s=0.0)
        except TimeoutError:
            problem = f"no answer within {EACH_S:g} s"
            continue
        if reply.sent is Sent.ANSWERED and 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP's own
            return None
        problem = _problem(reply)
        if reply.sent is Sent.ANSWERED and reply.status < 500 and reply.status not in _AGAIN:  # noqa: PLR2004
            break
    return problem


def _problem(reply: Reply) -> str:
    return f"it answered {reply.status}" if reply.sent is Sent.ANSWERED else (reply.problem or "no answer")
