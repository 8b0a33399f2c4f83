"""The key is in no file a run leaves, in nothing it says, and reaches no other origin than the service's own."""

from pathlib import Path
from typing import Any

from tests.servers.ledger import Kind
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, call, files_holding, remote_rows, shoot, write_clip

FAULTS = (
    ("accept_then_reset", "submit"),
    ("foreign_status_url", "submit"),
    ("redirect_307", "submit"),
    ("redirect_302", "status"),
    ("output_redirect", "download"),
    ("error_401_invalid", "result"),
    ("redirect_308", "upload"),
    ("redirect_303", "history"),
)


def test_the_key_is_nowhere_after_runs_in_which_all_kinds_of_things_went_wrong(tmp_path: Path) -> None:
    write_clip(tmp_path / "set/a.mp4")
    rows = [*remote_rows("a", "b", "c", "d"), {"id": "local", "video_url": "a.mp4"}]
    with SegmindStandIn(queued_s=0, processing_s=0, key="SG_the_key_nobody_may_see") as server:
        work = shoot(tmp_path / "set", server, rows)
        for name, kind in FAULTS:
            server.faults.add(name, on=kind)
        said = [work.run(*more) for more in ((), ("--json",), ("--retry-failed",))]
        for words in (("plan",), ("check", "--no-media"), ("status",), ("report",)):
            extra = ("--provider", "segmind") if words[0] in ("plan", "check") else ()
            said.append(call(*words, work.manifest, *extra, environ=work.environ))
        said.append(call("providers", environ=work.environ))
        said.append(call("providers", "--json", environ=work.environ))

        assert {done.code for done in said[3:]} == {0}
        assert {fault for fault, _ in FAULTS} <= {seen.fault for seen in server.ledger.requests}
        assert server.ledger.key_leaks == 0
        assert files_holding(server.key, tmp_path) == []
        assert [done for done in said if server.key in done.out + done.err] == []


def test_a_key_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    with SegmindStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        done = work.run(environ={**work.environ, "SEGMIND_API_KEY": "SG_mistyped_but_secret"})

        assert done.code == 3
        assert "SEGMIND_API_KEY" in done.err
        assert "SG_mistyped" not in done.out + done.err
        assert files_holding("SG_mistyped", tmp_path) == []


def test_a_manifest_reads_its_key_only_from_a_variable_that_the_command_line_allows(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, key="SG_of_client_a") as server:
        options: dict[str, Any] = {"provider": "segmind", "provider_options": {"key_env": "CLIENT_A_API_KEY"}}
        work = shoot(tmp_path, server, remote_rows("a"), **options)
        environ = {**work.environ, "SEGMIND_API_KEY": "SG_of_the_studio", "CLIENT_A_API_KEY": "SG_of_client_a"}
        refused = work.run(environ=environ)
        allowed = work.run("--key-env", "CLIENT_A_API_KEY", environ=environ)

        assert (refused.code, allowed.code) == (2, 0), allowed.err
        assert "say --key-env and its name" in refused.err
        assert {seen.key for seen in server.ledger.requests if seen.kind is Kind.SUBMIT} == {"good"}

        del environ["CLIENT_A_API_KEY"]
        work.rows(remote_rows("a", "b"), **options)
        missing = work.run("--key-env", "CLIENT_A_API_KEY", environ=environ)
        environ["CLIENT_A_API_KEY"] = "SG_mistyped"
        wrong = work.run("--key-env", "CLIENT_A_API_KEY", environ=environ)

        assert (missing.code, wrong.code) == (2, 3)
        assert "export CLIENT_A_API_KEY" in missing.err
        assert "check CLIENT_A_API_KEY" in wrong.err
        assert "SEGMIND_API_KEY" not in missing.err + wrong.err


def test_another_variable_for_the_key_is_no_other_request(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        first = work.run()
        work.rows(remote_rows("a"), provider="segmind", provider_options={"key_env": "CLIENT_A_API_KEY"})
        environ = {**work.environ, "CLIENT_A_API_KEY": server.key}

        assert (first.code, work.run("--key-env", "CLIENT_A_API_KEY", environ=environ).code) == (0, 0)
        assert server.ledger.submits_seen == 1


def test_a_signature_in_a_clips_url_is_in_no_log_and_in_nothing_said(tmp_path: Path) -> None:
    url = "https://bucket.example.com/a.mp4?X-Amz-Signature=c0ffee&X-Amz-Credential=me&X-Amz-Algorithm=x"
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", "video_url": url}])
        server.faults.add("error_400_asset")
        server.faults.add("failed_422", text=f"Could not read {url}, try another")
        said = [work.run(), work.run("--json", "--retry-failed")]
        said.append(call("plan", work.manifest, "--provider", "segmind", *PACE, environ=work.environ))
        said.append(call("status", work.manifest, environ=work.environ))

        assert [done for done in said if "c0ffee" in done.out + done.err] == []
        holding = {path.name for path in files_holding("c0ffee", work.folder)}
        # The record must know what was asked for; results.csv is what the user gave.
        assert holding <= {"checkpoint.sqlite3", "results.csv"}
