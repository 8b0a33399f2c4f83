"""Two manifests and one output folder: refused, unless the second one is added on purpose."""

from pathlib import Path

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, read_results, remote_rows, shoot, write_manifest


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return tmp_path / "first"


def second(work: Shoot, rows: list[dict[str, object]]) -> Path:
    return write_manifest(work.manifest.with_name("more.yaml"), rows)


def run(work: Shoot, manifest: Path, *argv: str) -> tuple[int, str]:
    other = Shoot(server=work.server, home=work.home, manifest=manifest)
    done = other.run("--output", str(work.folder), *argv)
    return done.code, done.err


def test_a_folder_of_another_manifest_is_refused_and_nothing_is_sent(first: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(first, server, remote_rows("a"))
        work.run()
        code, words = run(work, second(work, remote_rows("b")))

        assert (code, server.ledger.submits_seen) == (2, 1)
        assert "belongs to the manifest 'shots'" in words
        assert "--add" in words


def test_an_added_manifest_has_its_rows_beside_the_first_ones(first: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(first, server, remote_rows("a"))
        work.run()
        more = second(work, remote_rows("b", "c"))
        code, _ = run(work, more, "--add")

        assert (code, server.ledger.submits_seen) == (0, 3)
        lines = read_results(work.folder)
        assert [(line["id"], Path(line["manifest"]).name, line["row"]) for line in lines] == [
            ("a", "shots.yaml", "1"),
            ("b", "more.yaml", "1"),
            ("c", "more.yaml", "2"),
        ]
        assert {line["status"] for line in lines} == {"succeeded"}


def test_once_added_each_manifest_runs_again_without_a_word_and_pays_nothing(first: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(first, server, remote_rows("a"))
        work.run()
        more = second(work, remote_rows("b"))
        run(work, more, "--add")

        assert run(work, more)[0] == 0
        assert work.run().code == 0
        assert server.ledger.submits_seen == 2
        assert [line["id"] for line in read_results(work.folder)] == ["a", "b"]


def test_an_id_belongs_to_one_row_of_all_manifests(first: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(first, server, remote_rows("a"))
        work.run()
        code, words = run(work, second(work, remote_rows("b", "A")), "--add")

        assert (code, server.ledger.submits_seen) == (2, 1)
        assert "more.yaml:" in words
        assert "the id 'A' belongs to row 1 of" in words


def test_a_row_deleted_from_one_manifest_leaves_the_other_ones_rows(first: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(first, server, remote_rows("a", "b"))
        work.run()
        run(work, second(work, remote_rows("c")), "--add")
        work.rows(remote_rows("a"))
        work.run()

        assert [line["id"] for line in read_results(work.folder)] == ["a", "c"]
