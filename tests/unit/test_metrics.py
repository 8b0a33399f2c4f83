"""The metrics file: what both parsers of Prometheus read in it, and what of it the next run goes on with."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser as older
from prometheus_client.openmetrics import parser as openmetrics

from batchmod.app import metrics
from batchmod.app.metrics import FAMILIES, Metrics
from batchmod.model import Event, Status


def said_nothing(text: str) -> None:
    raise AssertionError(text)


def event(kind: str, key: str | None = None, **facts: Any) -> Event:
    given = {"provider": "segmind", **facts} if key else facts
    return Event(kind=kind, at="2026-05-03T10:00:00.000Z", run_id="r1", id=key, job_key=key, facts=given)


def ended(code: int, **counts: int) -> Event:
    return event("run_ended", exit_code=code, counts=counts)


def one_run(path: Path, *, code: int = 0, manifest: str = "shots") -> Metrics:
    """A run in which one job succeeds, one fails and one stays uncertain."""
    kept = Metrics(path, warn=said_nothing, every_s=0.0)
    kept.expect([manifest])
    kept.begin(manifest, "r1")
    kept.observe(event("planned", counts={"send": 3, "keep": 2}))
    for key in "abc":
        kept.observe(event("intended", key, reserved_usd=3.6))
    kept.observe(event("submitted", "a", request_id="q"))
    kept.observe(event("retrying", "b", why="busy", after_s=1.0))
    kept.observe(event("refused", "b", outcome="refused"))
    kept.observe(event("failed", "b", code="bad_request", cost_usd=None))
    kept.observe(event("succeeded", "a", cost_usd=0.6))
    kept.observe(event("uncertain", "c", reason="nobody knows"))
    kept.tick()
    if code >= 0:
        kept.observe(ended(code, succeeded=3, failed=1, uncertain=1))
    return kept


def families_of(text: str) -> list[Any]:
    """As the strict parser reads them."""
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # it has no types


def samples(path: Path) -> dict[str, float]:
    """Name and labels but `manifest` → value, as the strict parser reads them."""
    found = {}
    for sample in (sample for family in families_of(path.read_text("utf-8")) for sample in family.samples):
        labels = "".join(f" {name}={value}" for name, value in sample.labels.items() if name != "manifest")
        found[f"{sample.name}{labels}"] = sample.value
    return found


def test_both_parsers_read_every_family_with_its_type_and_words(tmp_path: Path) -> None:
    one_run(tmp_path / "m.prom")
    text = (tmp_path / "m.prom").read_text("utf-8")
    strict = {family.name: family for family in families_of(text)}
    loose = {sample.name for family in older.text_string_to_metric_families(text) for sample in family.samples}

    assert set(strict) == {family.name for family in FAMILIES}
    for family in FAMILIES:
        assert (strict[family.name].type, strict[family.name].documentation) == (family.type, family.help)
        assert strict[family.name].unit == (family.unit or "")
    assert {sample.name for family in strict.values() for sample in family.samples} == loose
    assert {family.type for family in FAMILIES} <= {"counter", "gauge", "histogram"}  # node_exporter refuses others
    assert text.endswith("# EOF\n")
    assert all(sample.timestamp is None for family in strict.values() for sample in family.samples)


def test_what_a_run_did_is_counted(tmp_path: Path) -> None:
    one_run(tmp_path / "m.prom", code=1)
    found = samples(tmp_path / "m.prom")

    assert found["batchmod_cost_usd_total provider=segmind"] == pytest.approx(0.6)
    assert found["batchmod_requests_total provider=segmind outcome=accepted"] == 1
    assert found["batchmod_requests_total provider=segmind outcome=refused"] == 1
    assert found["batchmod_requests_total provider=segmind outcome=uncertain"] == 1
    assert found["batchmod_retries_total provider=segmind"] == 1
    assert found["batchmod_jobs_ended_total provider=segmind outcome=failed"] == 1
    assert found["batchmod_job_duration_seconds_count provider=segmind"] == 1
    assert found["batchmod_job_duration_seconds_bucket provider=segmind le=+Inf"] == 1
    assert found["batchmod_reserved_usd"] == pytest.approx(3.6)
    assert (found["batchmod_run_active"], found["batchmod_run_exit_code"]) == (0, 1)
    assert "batchmod_last_success_timestamp_seconds" not in found
    jobs = {state.value: found[f"batchmod_jobs state={state.value}"] for state in Status}
    assert {state: number for state, number in jobs.items() if number} == {"succeeded": 3, "failed": 1, "uncertain": 1}


def test_the_states_of_jobs_move_while_the_run_goes_on(tmp_path: Path) -> None:
    kept = Metrics(tmp_path / "m.prom", warn=said_nothing, every_s=0.0)
    kept.expect(["shots"])
    kept.begin("shots", "r1")
    kept.observe(event("planned", counts={"send": 2, "resume": 1, "keep": 4}))
    kept.observe(event("intended", "a", reserved_usd=0.6, also=["b"]))
    kept.observe(event("polled", "z", phase="queued"))
    kept.tick()
    found = samples(tmp_path / "m.prom")

    assert [found[f"batchmod_jobs state={name}"] for name in ("planned", "submitting", "submitted", "succeeded")] == [
        *(0, 2, 1, 4)
    ]
    assert found["batchmod_run_active"] == 1
    assert "batchmod_run_exit_code" not in found


def test_counters_go_on_over_runs_and_the_last_end_stays_while_the_next_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    one_run(path, code=0)
    first = samples(path)
    one_run(path, code=-1)
    second = samples(path)

    assert second["batchmod_cost_usd_total provider=segmind"] == pytest.approx(1.2)
    assert second["batchmod_job_duration_seconds_count provider=segmind"] == 2
    assert second["batchmod_job_duration_seconds_bucket provider=segmind le=3600.0"] == 2
    kept = ("batchmod_run_exit_code", "batchmod_last_success_timestamp_seconds", "batchmod_run_ended_timestamp_seconds")
    assert [second[name] for name in kept] == [first[name] for name in kept]
    one_run(path, code=3)
    assert samples(path)["batchmod_last_success_timestamp_seconds"] == first["batchmod_last_success_timestamp_seconds"]


def test_a_night_that_was_skipped_is_no_success(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "m.prom", warn=said_nothing)
    metrics.begin("shots", "r1")
    metrics.observe(ended(0))
    found = samples(tmp_path / "m.prom")

    assert found["batchmod_run_exit_code"] == 0
    assert "batchmod_last_success_timestamp_seconds" not in found


def test_manifests_are_told_apart_and_one_that_is_run_no_more_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    kept = Metrics(path, warn=said_nothing)
    kept.expect(["one", 'a "quoted"\\ name\nof two lines'])
    for name in ("one", 'a "quoted"\\ name\nof two lines'):
        kept.begin(name, "r1")
        kept.observe(ended(0))
    families = families_of(path.read_text("utf-8"))
    found = {sample.labels["manifest"] for family in families for sample in family.samples}
    assert found == {"one", 'a "quoted"\\ name\nof two lines'}
    assert metrics.text(metrics.read(path)) == path.read_text("utf-8")

    one_run(path, manifest="one")
    assert {dict(labels)["manifest"] for _, labels in metrics.read(path)} == {"one"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'batchmod_cost_usd_total{manifest="shots"} many\n', b"{}{}\n"])
def test_a_file_that_is_none_of_ours_is_written_over(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    path.write_bytes(content)
    one_run(path)

    assert samples(path)["batchmod_cost_usd_total provider=segmind"] == pytest.approx(0.6)


def test_the_file_is_whole_at_any_time_and_readable_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    before = one_run(path, code=-1)
    with path.open(encoding="utf-8") as reading:
        before.observe(ended(0))
        assert reading.read().endswith("# EOF\n")

    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["m.prom"]


def test_a_file_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    warnings: list[str] = []
    kept = Metrics(tmp_path / "no" / "folder" / "m.prom", warn=warnings.append, every_s=0.0)
    kept.expect(["shots"])
    kept.begin("shots", "r1")
    for _ in range(3):
        kept.tick()
    kept.observe(ended(0))

    assert len(warnings) == 1
    assert "cannot be written" in warnings[0]


def test_no_label_grows_with_the_number_of_rows(tmp_path: Path) -> None:
    kept = Metrics(tmp_path / "m.prom", warn=said_nothing)
    kept.expect(["shots"])
    kept.begin("shots", "r1")
    sizes = []
    for number in range(200):
        kept.observe(event("intended", f"k{number}", reserved_usd=0.6))
        kept.observe(event("submitted", f"k{number}", request_id=f"q{number}"))
        kept.observe(event("succeeded", f"k{number}", cost_usd=0.6))
        sizes.append(len(kept._values))

    assert len(set(sizes)) == 1
    assert not kept._run.flights
