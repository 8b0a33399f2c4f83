"""The pages about events and about watching a run say what the schemas and the code say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics

from batchmod import files
from batchmod.app.logs import FIELDS
from batchmod.app.metrics import FAMILIES, Metrics
from batchmod.model import EVENTS_VERSION
from tests.pages import of_events, table

_DOCS = Path(__file__).parents[2] / "docs"
_EVENTS = (_DOCS / "events.md").read_text("utf-8")
_WATCHING = (_DOCS / "watching.md").read_text("utf-8")


def test_every_kind_and_fact_stands_on_the_page_of_events_word_for_word() -> None:
    assert "\n".join(of_events(files.schema("event"))) in _EVENTS
    assert "\n".join(table(files.schema("run"))) in _EVENTS
    assert f"`schema_version` is {EVENTS_VERSION}." in _EVENTS


def test_every_key_of_the_status_stands_on_the_page_of_watching() -> None:
    assert "\n".join(table(files.schema("status"))) in _WATCHING


def test_every_metric_and_every_field_of_the_log_stand_on_the_page() -> None:
    for family in FAMILIES:
        name = f"{family.name}{'_total' if family.type == 'counter' else ''}"
        assert f"| `{name}` | {family.type} | {family.help} |" in _WATCHING
    assert all(f"`{name}`" in _WATCHING for name in FIELDS)


def _rules() -> list[dict[str, Any]]:
    found = re.search(r"```yaml\n(.*?)```", _WATCHING, re.DOTALL)
    assert found is not None
    rules: list[dict[str, Any]] = yaml.safe_load(found[1])["groups"][0]["rules"]
    return rules


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    names = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in FAMILIES}
    asked = {name for rule in _rules() for name in re.findall(r"batchmod_\w+", rule["expr"])}

    assert len(_rules()) > 4
    assert asked - names == set()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_name_ends_with_its_unit_and_says_batchmod_first(family: Any) -> None:
    assert re.fullmatch(r"batchmod_[a-z_]+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert family.unit is None or family.name.endswith(f"_{family.unit}")


def test_what_a_new_file_says_is_read_by_the_strict_parser(tmp_path: Path) -> None:
    kept = Metrics(tmp_path / "m.prom", warn=pytest.fail)
    kept.expect(["shots"])
    kept.begin("shots", "r1")
    text = (tmp_path / "m.prom").read_text("utf-8")
    found = list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # it has no types

    assert {family.name for family in found} >= {"batchmod_run_info", "batchmod_run_active", "batchmod_reserved_usd"}
