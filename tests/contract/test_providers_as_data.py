"""What is known of each provider reaches who asks: the list, the plan, the check, before anything is paid."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchmod import providers
from batchmod.jobs import result_options
from tests.servers.clips import Clip
from tests.servers.everyone import STAND_INS
from tests.servers.ledger import Kind
from tests.servers.luma import LumaStandIn
from tests.servers.runway import RunwayStandIn
from tests.servers.segmind import SegmindStandIn
from tests.support import call, remote_rows, shoot, write_clip, write_manifest

ROOT = Path(__file__).parents[2]


def listed(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    """`batchmod providers --json` by name."""
    done = call("providers", "--json", environ=environ)
    assert done.code == 0
    return {each["name"]: each for each in json.loads(done.out)}


def test_the_list_has_every_provider_with_limits_price_key_and_privacy() -> None:
    found = listed({})

    assert set(found) == {*providers.HOSTED, "local"}
    for name in providers.HOSTED:
        about = found[name]
        assert about["key_env"]
        assert about["base_urls"]["api"]["default"].startswith("https://")
        assert about["max_clip_s"] or about["max_clip_bytes"] or "publish" in json.dumps(about)
        assert about["price"] is None or about["price"]["note"]
        assert about["privacy"]
        assert about["contract"]
        assert about["last_run_live"]
        assert not about["upload"] or (about["upload_kept"], about["upload_deletable"]) != ("-", "-")


@pytest.mark.parametrize("name", providers.HOSTED)
def test_each_provider_has_a_page_that_says_it_has_not_been_run_live(name: str) -> None:
    page = (ROOT / f"docs/providers/{name}.md").read_text(encoding="utf-8")

    assert str(providers.facts(name).key_env) in page
    for variable, default in providers.facts(name).base_urls.values():
        assert variable in page
        assert default in page
    assert "## Known" in page
    assert "## Unknown, and how batchmod chose" in page
    assert f"Last run live: {providers.facts(name).last_run_live}." in page


@pytest.mark.parametrize("name", providers.HOSTED)
def test_each_option_is_explained_and_says_whether_it_changes_the_result(name: str) -> None:
    schema = providers.facts(name).options_schema
    page = (ROOT / "docs/manifest.md").read_text(encoding="utf-8")

    for option, about in schema.get("properties", {}).items():
        mark = " (*result*)" if about.get("x-changes-result") else ""
        assert f"| `{name}` | `{option}`{mark} |" in page
        assert about["description"]
        assert (option in result_options({option: 1}, schema)) == bool(mark)


@pytest.mark.parametrize("name", providers.HOSTED)
def test_a_balance_is_shown_where_the_key_is_set_and_the_service_tells_it(name: str) -> None:
    made: Any = STAND_INS[name]
    with made(credits=12.34) as server:
        balance = listed(server.environment())[name]["balance_usd"]

        assert balance in (12.34, None)
        assert (balance is None) == (server.ledger.count(Kind.CREDITS) == 0)
        assert server.ledger.key_leaks == 0


def test_a_service_that_does_not_tell_its_balance_at_once_keeps_nobody_waiting() -> None:
    with SegmindStandIn() as server:
        server.faults.add("accept_then_delay", on="credits", seconds=20.0)

        assert listed(server.environment())["segmind"]["balance_usd"] is None


def test_a_plan_tells_the_balance_and_how_many_files_would_be_public(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", mark="a")
    write_clip(tmp_path / "b.mp4", mark="b")
    rows = [{"id": name, "video_url": f"{file}.mp4", "prompt": name} for name, file in zip("xyz", "aab", strict=True)]
    with SegmindStandIn(credits=7.5) as server:
        work = shoot(tmp_path, server, rows)
        done = call("plan", work.manifest, "--provider", "segmind", environ=work.environ)

        assert done.code == 0
        assert "2 local files would go to public URLs at segmind (kept: not published)" in done.out
        assert "The balance at segmind is $7.50" in done.out
        assert server.ledger.submits_seen == server.ledger.uploads == 0


def test_a_plan_without_a_key_asks_nobody(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "shots.yaml", remote_rows("a"), provider="segmind")
    done = call("plan", manifest, environ={})

    assert (done.code, "balance" in done.out) == (0, False)


def test_a_row_that_sets_what_its_provider_has_not_got_is_a_mistake_with_a_way_out(tmp_path: Path) -> None:
    rows = [{"id": "a", "video_url": "https://example.com/a.mp4", "prompt": "wool", "mode": "flex_1"}]
    manifest = write_manifest(tmp_path / "shots.yaml", rows, provider="runway")
    refused = call("check", "--no-media", manifest, environ={})

    assert refused.code == 2
    assert "runway has no mode" in refused.err
    assert "ignore: [mode]" in refused.err

    write_manifest(manifest, rows, provider="runway", provider_options={"ignore": ["mode"]})
    allowed = call("check", "--no-media", manifest, environ={})

    assert (allowed.code, "warning" in allowed.err) == (0, False)


def test_a_default_that_its_provider_has_not_got_is_a_warning_said_once(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "shots.yaml", remote_rows("a", "b", "c"), provider="runway")
    done = call("check", "--no-media", manifest, environ={})

    assert (done.code, done.err.count("runway has no mode")) == (0, 1)


def test_a_mode_that_is_not_sent_makes_no_other_request(tmp_path: Path) -> None:
    with RunwayStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"), at="runway", defaults={"mode": "flex_1"})
        first = work.run()
        work.rows(remote_rows("a"), defaults={"mode": "flex_3"})

        assert (first.code, work.run().code, server.ledger.submits_seen) == (0, 0, 1)


def test_a_local_file_and_a_missing_prompt_are_found_before_anything_is_sent(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    rows = [{"id": "a", "video_url": "a.mp4"}, {"id": "b", "video_url": "https://example.com/b.mp4", "prompt": "x"}]
    manifest = write_manifest(tmp_path / "shots.yaml", rows)
    at_luma = call("check", manifest, "--provider", "luma", environ={})
    at_agents = call("check", manifest, "--provider", "luma-agents", environ={})

    assert (at_luma.code, at_agents.code) == (2, 2)
    assert "luma has no upload service here" in at_luma.err
    assert "luma takes prompts of 3 to 5,000 characters; this one has 1" in at_luma.err
    assert "luma-agents needs a prompt" in at_agents.err


def test_a_model_is_checked_sent_and_part_of_the_request(tmp_path: Path) -> None:
    rows = remote_rows("a")
    with LumaStandIn() as server:
        work = shoot(tmp_path, server, [{**rows[0], "model": "ray-9"}], at="luma")
        wrong = work.run()
        work.rows(rows)
        work.run()
        work.rows([{**rows[0], "model": "ray-2"}])
        same = work.run()
        work.rows([{**rows[0], "model": "ray-flash-2"}])
        other = work.run()

        assert (wrong.code, same.code, other.code) == (2, 0, 0)
        assert "there are ray-2, ray-flash-2" in wrong.err
        assert [job.inputs["model"] for job in server.ledger.jobs] == ["ray-2", "ray-flash-2"]


def test_limits_of_the_chosen_provider_are_held_to(tmp_path: Path) -> None:
    write_clip(tmp_path / "short.mp4", Clip(frames=24, fps=24))
    write_clip(tmp_path / "long.mp4", Clip(frames=19 * 24, fps=24))
    rows = [{"id": name, "video_url": f"{name}.mp4", "prompt": "wool"} for name in ("short", "long")]
    manifest = write_manifest(tmp_path / "shots.yaml", rows)
    names = ("runway", "luma-agents", "segmind")
    said = {name: call("check", manifest, "--provider", name, environ={}) for name in names}

    assert {name: done.code for name, done in said.items()} == {"runway": 2, "luma-agents": 2, "segmind": 0}
    assert "runway takes 2 s at least" in said["runway"].err
    assert "luma-agents takes at most 18 s" in said["luma-agents"].err


def test_the_price_follows_pixels_resolution_steps_and_minimum(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", Clip(frames=48, fps=24, width=1280, height=720))
    manifest = tmp_path / "shots.yaml"

    def cost(name: str, **top: Any) -> dict[str, float]:
        write_manifest(manifest, [{"id": "a", "video_url": "a.mp4", "prompt": "wool"}], provider=name, **top)
        planned = json.loads(call("plan", manifest, "--json", environ={}).out)[0]["cost_usd"]
        return {key: round(value, 4) for key, value in planned.items() if key in ("low", "likely", "high")}

    assert cost("runway") == {"low": 0.56, "likely": 0.56, "high": 0.56}
    assert cost("luma-agents") == {"low": 0.432, "likely": 0.432, "high": 1.08}
    assert cost("luma-agents", provider_options={"resolution": "1080p"})["high"] == 2.16
