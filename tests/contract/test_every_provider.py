"""Every hosted provider against its stand-in: the rules of money hold, whoever is asked; a new one gets it free."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchmod import providers
from batchmod.model import ProviderFacts
from tests.servers.clips import Clip
from tests.servers.everyone import STAND_INS
from tests.servers.ledger import Kind
from tests.servers.segmind import SegmindStandIn
from tests.servers.standin import StandIn
from tests.servers.vendor import VendorStandIn
from tests.support import (
    PACE,
    Shoot,
    bare_environment,
    call,
    few_tries_at_an_output,
    files_holding,
    paid_long_ago,
    shoot,
    write_clip,
    write_picture,
)

CLIP = Clip(frames=60, fps=30)
"""Two seconds: the shortest that all of them take."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "segmind": {
        "error_401": "error_401_invalid",
        "error_402": "error_406_credits",
        "error_413": "error_400",
        "error_422": "error_422_body",
        "error_400_moderation": "error_400",
        "error_500": "error_500_json_not_created",
        "error_500_created": "error_500_json_created",
        "foreign_urls": "foreign_status_url",
    }
}
"""Faults that a stand-in has under another name, because its vendor has its own way there."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", providers.HOSTED)
    if "uploader" in metafunc.fixturenames:
        metafunc.parametrize("uploader", [name for name in providers.HOSTED if providers.facts(name).uploads])


def test_every_hosted_provider_has_a_stand_in() -> None:
    assert tuple(STAND_INS) == providers.HOSTED


@contextmanager
def running(name: str, **settings: Any) -> Iterator[StandIn]:
    """A provider's stand-in; its jobs are done at once unless `settings` say otherwise."""
    quick = {"queued_s": 0, "processing_s": 0, **settings}
    with STAND_INS[name](**quick) as server:
        yield server


def add(server: StandIn, name: str, fault: str, **more: Any) -> None:
    """Plan a fault under the name all share."""
    server.faults.add(NAMES.get(name, {}).get(fault, fault), **more)


def fail(server: StandIn, name: str, no: str, **more: Any) -> None:
    """Let a job fail for one of the reasons all share."""
    if name != "segmind":
        server.faults.add(no, **more)
        return
    text = {"job_failed": "Generation failed: internal model error"}
    said = text.get(no) or f"Moderation: the {no.removeprefix('refused_')} was refused"
    server.faults.add("failed_422", text=said, **more)


def rows(facts: ProviderFacts, *ids: str, **more: Any) -> list[dict[str, Any]]:
    """Rows with clips on the web, each another request; of `more`, what the provider takes."""
    more = {field: value for field, value in more.items() if field in facts.fields}
    return [{"id": i, "video_url": f"https://example.com/{i}.mp4", "prompt": f"as wool, {i}", **more} for i in ids]


def three_rows(facts: ProviderFacts, folder: Path) -> list[dict[str, Any]]:
    """A local clip with its first frame, a clip on the web, and one with a prompt only."""
    local = {"id": "local", "video_url": "clip.mp4", "first_frame_url": "frame.png", "prompt": "a yarn doll"}
    if facts.uploads:
        write_clip(folder / "clip.mp4", CLIP)
        write_picture(folder / "frame.png")
    else:
        local |= {"video_url": "https://example.com/c.mp4", "first_frame_url": "https://example.com/f.png"}
    if "first_frame_url" not in facts.fields:
        del local["first_frame_url"]
    web = {"id": "web", "video_url": "https://example.com/web.mp4", "prompt": "in clay"}
    if "mode" in facts.fields:
        local["mode"], web["mode"] = "flex_2", "reimagine_1"
    return [local, web, {"id": "words", "video_url": "https://example.com/words.mp4", "prompt": "a pencil drawing"}]


def at(name: str, folder: Path, server: StandIn, rows_: list[dict[str, Any]], **top: Any) -> Shoot:
    """The rows as a shoot at a provider."""
    return shoot(folder, server, rows_, at=name, **top)


def words_sent(server: StandIn) -> list[str]:
    """What each accepted request said, as JSON."""
    return [json.dumps(job.inputs) for job in server.ledger.jobs]


def test_three_rows_are_paid_once_each_and_a_second_run_sends_nothing(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, three_rows(facts, tmp_path))
        first = work.run()

        assert (first.code, set(work.statuses().values())) == (0, {"succeeded"}), first.err
        assert (server.ledger.accepted, server.ledger.billed, len(work.outputs())) == (3, 3, 3)

        seen = server.ledger.submits_seen

        assert (work.run().code, server.ledger.submits_seen) == (0, seen)
        assert server.ledger.paid_twice() == {}
        assert server.ledger.key_leaks == 0


def test_the_mode_is_always_said_and_so_is_a_first_frame(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        at(name, tmp_path, server, three_rows(facts, tmp_path)).run()
        sent = words_sent(server)

        if "mode" in facts.fields:
            assert [sum(f'"{mode}"' in each for each in sent) for mode in ("flex_2", "reimagine_1", "adhere_1")] == [
                1,
                1,
                1,
            ]
        assert all(word in " ".join(sent) for word in ("a yarn doll", "in clay", "a pencil drawing"))
        if facts.uploads:
            wanted = 2 if "first_frame_url" in facts.fields else 1
            assert len(server.storage) == wanted


def test_one_clip_of_several_rows_goes_up_once(uploader: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", CLIP)
    made = [{"id": f"r{n}", "video_url": "clip.mp4", "prompt": f"look {n}"} for n in range(4)]
    with running(uploader) as server:
        work = at(uploader, tmp_path, server, made)

        assert (work.run().code, len(server.storage), server.ledger.billed) == (0, 1, 4)


LOST = (
    *("accept_then_reset", "accept_then_close", "accept_then_cut_head", "accept_then_cut_body"),
    *("accept_then_no_http", "accept_then_garbage", "accept_then_html", "accept_then_empty"),
    *("accept_then_wrong_json", "accept_then_bad_gzip", "error_408_created", "error_409_created"),
    *("error_425_created", "error_502_created", "error_503_created", "error_504_created", "error_500_created"),
)
"""A job exists, and its id was lost."""

NEVER = ("reset_before_accept", "close_before_accept", "error_502", "error_503", "error_504", "error_409")
"""No job exists, and nobody here can know."""

FINE = ("accept_then_delay", "delay_then_accept", "error_429_neither", "error_429_retry_after", "foreign_urls")
"""In the end all is well, and one job exists."""

REFUSED = {
    "error_400": "bad_request",
    "error_422": "bad_request",
    "error_400_moderation": "refused_prompt",
    "error_405": "wrong_method",
    "error_413": "clip_too_large",
    **{f"redirect_{status}": "redirected" for status in (301, 302, 303, 307, 308)},
}


def in_turn(*faults: str) -> Iterator[str]:
    """The faults, each behind a row that the service answers: after three in a row without an answer a run waits."""
    for fault in faults:
        yield f"fine_{fault}"
        yield fault


def test_a_fault_of_a_submit_ends_as_the_rules_say(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    faults = [*LOST, *NEVER, *FINE, *REFUSED]
    with running(name) as server:
        made = rows(facts, "first", *in_turn(*LOST, *NEVER), *FINE, *REFUSED)
        work = at(name, tmp_path, server, made, limits={"stop_after_failures": 1000})
        for fault in faults:
            add(server, name, fault, on="submit", match=f"/{fault}.mp4", seconds=0.05)
        ended = work.run("--history-grace", "60")
        lines = work.results()
        found = "succeeded" if facts.history else "uncertain"

        assert ended.code == 1, ended.err
        assert {fault: lines[fault]["status"] for fault in LOST} == dict.fromkeys(LOST, found)
        assert {fault: lines[fault]["status"] for fault in NEVER} == dict.fromkeys(NEVER, "uncertain")
        assert {fault: lines[fault]["status"] for fault in FINE} == dict.fromkeys(FINE, "succeeded")
        codes = REFUSED if name != "segmind" else REFUSED | {"error_400_moderation": "bad_request"}
        codes = codes if name != "segmind" else codes | {"error_413": "bad_request"}
        assert {fault: lines[fault]["error_code"] for fault in REFUSED} == codes
        assert server.ledger.accepted == len(LOST) + len(FINE) + len(LOST) + len(NEVER) + 1

        seen = server.ledger.submits_seen
        work.run("--history-grace", "60")

        assert server.ledger.submits_seen == seen
        assert server.ledger.paid_twice() == {}
        assert server.ledger.key_leaks == 0


def test_what_was_never_accepted_is_sent_again_only_where_a_history_proves_it(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "lost", "other"))
        add(server, name, "reset_before_accept", on="submit", match="/lost.mp4")
        first = work.run("--history-grace", "60")  # however slow the machine is, it is not over in this run
        time.sleep(0.35)
        again = [work.run(), work.run()][-1]
        ended = {"lost": "succeeded" if facts.history else "uncertain", "other": "succeeded"}

        assert (first.code, work.statuses()) == (1, ended)
        assert again.code == (0 if facts.history else 1)
        assert server.ledger.submits_seen == (3 if facts.history else 2)

        if not facts.history:
            call("resolve", work.manifest, "--resend", "lost", environ=work.environ)

            assert (work.run().code, server.ledger.billed) == (0, 2)


@pytest.mark.parametrize(
    ("status", "slug"),
    [(401, "key_refused"), (402, "no_credits"), (403, "not_allowed"), (404, "model_unknown"), (410, "model_retired")],
)
def test_a_no_to_every_row_stops_the_batch_and_the_next_run_goes_on(
    name: str, status: int, slug: str, tmp_path: Path
) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "a", "b", "c"))
        add(server, name, f"error_{status}", on="submit")
        stopped = work.run()
        reason = json.loads((work.folder / "run.json").read_text())["stop_reason"]

        assert (stopped.code, reason, set(work.statuses().values())) == (3, slug, {"planned"})
        assert server.ledger.submits_seen == 1
        assert (work.run().code, server.ledger.billed) == (0, 3)


def test_a_request_that_never_left_is_sent_when_the_service_is_back(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "a"))
        closed = threading.Event()

        def close() -> None:
            with server.unreachable():
                closed.set()
                time.sleep(0.8)

        door = threading.Thread(target=close)
        door.start()
        closed.wait()
        done = work.run()
        door.join()

        assert (done.code, server.ledger.submits_seen, server.ledger.billed) == (0, 1, 1)


def test_a_run_that_is_killed_after_acceptance_goes_on_by_the_id(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name, processing_s=600) as server:
        work = at(name, tmp_path, server, rows(facts, "a"))
        words = ["run", str(work.manifest), "--provider", name, "--yes", *PACE]
        child = subprocess.Popen(
            [sys.executable, "-m", "batchmod", *words],
            env=bare_environment() | work.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=60)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        server.advance(700)

        assert (work.run().code, work.statuses()) == (0, {"a": "succeeded"})
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)


def test_a_job_that_fails_says_why_and_what_a_filter_refused_has_its_own_name(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    noes = ("job_failed", "refused_prompt", "refused_frame", "refused_clip", "refused_output")
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, *noes, "fine"), limits={"stop_after_failures": 1000})
        for no in noes:
            fail(server, name, no, on="submit", match=f"/{no}.mp4")
        ended = work.run()
        codes = {row_id: line["error_code"] for row_id, line in work.results().items()}

        assert ended.code == 1
        assert codes == {**{no: no for no in noes}, "job_failed": "generation_failed", "fine": ""}
        assert all(work.results()[no]["error"] for no in noes)
        seen = server.ledger.submits_seen
        assert (work.run().code, server.ledger.submits_seen) == (1, seen)


def test_a_download_that_goes_wrong_is_fetched_again_and_never_paid_again(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    spoilt = ("output_cut", "output_truncated", "output_html", "accept_then_reset", "error_503", "output_redirect")
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, *(f"r{number}" for number in range(len(spoilt)))))
        for fault in spoilt:
            add(server, name, fault, on="download")
        done = work.run("--max-in-flight", "2")

        assert (done.code, len(work.outputs())) == (0, len(spoilt)), done.err
        assert set(spoilt) <= {seen.fault for seen in server.ledger.requests if seen.kind is Kind.DOWNLOAD}
        assert server.ledger.billed == server.ledger.submits_seen == len(spoilt)
        assert server.ledger.key_leaks == 0


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_has_expired_is_asked_for_anew(name: str, status: int, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "a"))
        add(server, name, f"error_{status}", on="download", times=1)
        polls = []
        done = work.run()
        polls.append(server.ledger.polls)

        assert (done.code, server.ledger.billed, server.ledger.submits_seen) == (0, 1, 1)
        assert not facts.reminted or polls[0] >= 2


def test_an_output_that_is_gone_for_good_is_failed_billed_and_never_sent_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_tries_at_an_output(monkeypatch)
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "a"))
        work.run()
        (work.folder / "videos/a_v001.mp4").unlink()
        server.faults.add(NAMES.get(name, {}).get("error_404", "error_404"), on="download", times=None)
        young = work.run()
        paid_long_ago(work, days=8)
        gone = work.run()
        line = work.results()["a"]

        assert young.code == 3  # a host may refuse for a while
        assert (gone.code, line["status"], line["error_code"], line["billed"]) == (
            1,
            "failed",
            "output_expired",
            "true",
        )
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)


def test_what_runs_is_stopped_where_the_provider_knows_how(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name, queued_s=600) as server:
        work = at(name, tmp_path, server, rows(facts, "a", "b"))
        sent = work.run("--no-wait", "--accept-expiry")
        done = call("resolve", work.manifest, "--cancel", "a", environ=work.environ)

        assert (sent.code, done.code, server.ledger.submits_seen) == (3, 0, 2), done.err
        if not facts.cancel.startswith("yes"):
            assert "a: not stopped: " in done.out
            assert server.ledger.count(Kind.CANCEL) == 0
            return
        assert server.ledger.count(Kind.CANCEL) == 1
        server.advance(700)
        work.run()

        assert work.statuses() == {"a": "failed", "b": "succeeded"}
        assert work.results()["a"]["error_code"] == "cancelled"
        assert (server.ledger.submits_seen, server.ledger.billed) == (2, 1)


def test_what_has_ended_is_not_asked_to_stop(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name, queued_s=600) as server:
        work = at(name, tmp_path, server, rows(facts, "a"))
        work.run("--no-wait", "--accept-expiry")
        server.advance(700)
        done = call("resolve", work.manifest, "--cancel", "a", environ=work.environ)

        assert "a: not stopped: " in done.out
        assert server.ledger.count(Kind.CANCEL) == 0
        assert (work.run().code, work.statuses(), server.ledger.billed) == (0, {"a": "succeeded"}, 1)


def seeded(server: StandIn, **fields: Any) -> None:
    """A request that something else has paid for."""
    if isinstance(server, VendorStandIn):
        server.seed_fields(**fields)
    elif isinstance(server, SegmindStandIn):
        server.seed({key: value for key, value in fields.items() if value})


def test_what_was_paid_for_elsewhere_is_brought_home_wherever_there_is_a_history(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    with running(name) as server:
        work = at(name, tmp_path, server, rows(facts, "a", "b", mode="flex_1"))
        if facts.history:
            for each in rows(facts, "a", "b", mode="flex_1"):
                seeded(server, **{key: value for key, value in each.items() if key != "id"})
        found = call("rescue", work.manifest, "--provider", name, environ=work.environ)

        if not facts.history:
            assert (found.code, server.ledger.submits_seen) == (2, 0)
            assert "no history" in found.err
            return
        assert (found.code, work.statuses()) == (0, {"a": "succeeded", "b": "succeeded"}), found.out + found.err
        assert (server.ledger.submits_seen, len(work.outputs())) == (0, 2)


def test_the_key_goes_nowhere_else_and_is_in_nothing_a_run_leaves(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    key = "SG_the_key_nobody_may_see"
    with running(name, key=key) as server:
        made = [*three_rows(facts, tmp_path / "set"), *rows(facts, "a", "b", "c", "d", "e")]
        work = at(name, tmp_path / "set", server, made)
        for fault, on in (
            ("accept_then_reset", "submit"),
            ("foreign_urls", "submit"),
            ("redirect_307", "submit"),
            ("redirect_302", "status"),
            ("error_401", "status"),
            ("redirect_308", "upload"),
            ("redirect_303", "history"),
            ("output_redirect", "download"),
        ):
            add(server, name, fault, on=on)
        said = [work.run(*more) for more in ((), ("--json",), ("--retry-failed",))]
        for words in (("plan",), ("check", "--no-media"), ("status",), ("report",), ("resolve",)):
            extra = ("--provider", name) if words[0] in ("plan", "check") else ()
            said.append(call(*words, work.manifest, *extra, environ=work.environ))
        said += [call("providers", *more, environ=work.environ) for more in ((), ("--json",))]

        assert {done.code for done in said} <= {0, 1, 3}
        assert server.ledger.count(Kind.DOWNLOAD) > 0
        assert server.ledger.key_leaks == 0
        assert files_holding(key, tmp_path) == []
        assert [done for done in said if key in done.out + done.err] == []


def test_a_service_that_repeats_the_key_in_its_words_does_not_get_it_written_down(name: str, tmp_path: Path) -> None:
    facts = providers.facts(name)
    key = "SG_the_key_nobody_may_see"
    with running(name, key=key) as server:
        work = at(name, tmp_path / "set", server, rows(facts, "a", "b"))
        add(server, name, "error_400", on="submit", text=f"the key {key} may not do this")
        fail(server, name, "job_failed", on="submit", after=0) if name == "segmind" else server.faults.add(
            "job_failed", on="submit", text=f"{key} failed"
        )
        done = work.run()

        assert done.code == 1
        assert files_holding(key, tmp_path) == []
        assert key not in done.out + done.err
