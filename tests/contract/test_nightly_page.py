"""What docs/nightly.md and docs/recipes show, run as it stands there."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.receiver import receiver
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, read_results, remote_rows, shoot

_DOCS = Path(__file__).parents[2] / "docs"
_RECIPES = _DOCS / "recipes"
_BIN = Path(sys.executable).parent
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def _snippet(mark: str) -> str:
    """The Python on the page in which this stands."""
    blocks = re.findall(r"^```python\n(.*?)^```", (_DOCS / "nightly.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = (str(block) for block in blocks if mark in block)
    return found


def _home(folder: Path, server: SegmindStandIn) -> Shoot:
    """A user's home as the examples have it: ~/shows/autumn.yaml, ~/batchmod.env, ~/batchmod/.venv."""
    work = shoot(folder, server, [])
    shows = folder / "shows" / "autumn.yaml"
    shows.parent.mkdir()
    found = Shoot(server=work.server, home=work.home, manifest=shows)
    found.rows(remote_rows("a"), provider="segmind", limits={"max_cost_per_run_usd": 50, "polls_per_minute": 60000})
    (folder / "batchmod" / ".venv").mkdir(parents=True)
    (folder / "batchmod" / ".venv" / "bin").symlink_to(_BIN)
    given = (_RECIPES / "batchmod.env").read_text().replace("PATH=", f"PATH={_BIN}:")
    lines = [f"{name}={value}" for name, value in found.environ.items()]
    (folder / "batchmod.env").write_text("\n".join([given.rstrip(), *lines]) + "\n")
    return found


def _run(argv: list[str], *, environ: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, env=environ, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_the_page_shows_how_a_message_is_verified(server: SegmindStandIn, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(_snippet("def verified"), "nightly.md", "exec"), names)
    with receiver() as told:
        notify = [{"url": told.url, "secret_env": "S"}]
        work = shoot(tmp_path, server, [{**remote_rows("a")[0], "prompt": "as wool é {x}", "x": "ü"}], notify=notify)
        work.run("--allow-hooks", "--key-env", "S", environ={**work.environ, "S": SECRET})
        (post,) = told.posts

    verified = names["verified"]

    assert verified(post.headers, post.body, SECRET)
    assert not verified(post.headers, post.body.replace(b'"exit_code":0', b'"exit_code":1'), SECRET)
    assert not verified({**post.headers, "webhook-timestamp": "1"}, post.body, SECRET)
    assert not verified(post.headers, post.body, f"whsec_{base64.b64encode(bytes(32)).decode()}")


def test_the_page_makes_a_secret_that_is_one(tmp_path: Path) -> None:
    from batchmod.notices import key_of

    (line,) = re.findall(r"^    python3 -c '(.*)'$", (_DOCS / "nightly.md").read_text("utf-8"), re.MULTILINE)
    made = _run([sys.executable, "-c", line], environ={}, cwd=tmp_path).stdout.strip()

    assert key_of(made) is not None


def test_the_keys_that_the_page_names_are_those_of_a_message() -> None:
    from batchmod.notices import News, as_json

    news = News(kind="run.ended", at="", run_id="", manifest="", name="", folder="")
    page = (_DOCS / "nightly.md").read_text("utf-8")
    data = as_json(news)["data"]

    assert {name for name in (*data, *data["money"]) if f"`{name}`" not in page} == set()


def test_the_lines_of_the_crontab_run_in_crons_bare_environment(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _home(tmp_path, server)
    lines = (_RECIPES / "crontab").read_text().splitlines()
    commands = [match[1] for line in lines if (match := re.fullmatch(r"(?:[\d*]+ ){5}(.+)", line))]
    bare = {"HOME": str(tmp_path), "LOGNAME": "me", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    done = [_run(["/bin/sh", "-c", command.replace("06:00", "2h")], environ=bare, cwd=tmp_path) for command in commands]

    assert len(commands) == 2
    assert all("%" not in command for command in commands)  # cron takes it for the end of the command
    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (0, "")]
    assert done[0].stdout == ""  # nothing is mailed after a good night
    assert server.ledger.submits_seen == 1
    assert [row["status"] for row in read_results(work.manifest.parent / "outputs" / "autumn")] == ["succeeded"]


def _unit(name: str, home: Path) -> dict[str, str]:
    text = (_RECIPES / name).read_text().replace("%h", str(home))
    (home / "units").mkdir(exist_ok=True)
    (home / "units" / name).write_text(text)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(server: SegmindStandIn, tmp_path: Path) -> None:
    _home(tmp_path, server)
    names = ("batchmod.service", "batchmod-failed.service", "batchmod.timer")
    for name in names:
        _unit(name, tmp_path)
    paths = [str(tmp_path / "units" / name) for name in names]
    fine = _run(["systemd-analyze", "verify", *paths], environ=dict(os.environ), cwd=tmp_path)

    assert (fine.returncode, fine.stderr) == (0, "")

    service = tmp_path / "units" / "batchmod.service"
    service.write_text(service.read_text().replace("KillMode=mixed", "KilMode=mixed"))
    wrong = _run(["systemd-analyze", "verify", paths[0]], environ=dict(os.environ), cwd=tmp_path)

    assert "KilMode" in wrong.stderr


def test_the_service_runs_with_its_environment_file(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _home(tmp_path, server)
    unit = _unit("batchmod.service", tmp_path)
    lines = [line for line in Path(unit["EnvironmentFile"]).read_text().splitlines() if not line.startswith("#")]
    environ = {"HOME": str(tmp_path), **dict(line.split("=", 1) for line in lines if line)}
    done = _run(shlex.split(unit["ExecStart"].replace("06:00", "2h")), environ=environ, cwd=Path("/"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.ledger.submits_seen == 1
    assert (work.manifest.parent / "outputs" / "autumn" / "results.csv").exists()


def test_the_workflow_is_one_by_githubs_own_schema(tmp_path: Path) -> None:
    words = [str(_BIN / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows"]
    fine = _run([*words, str(_RECIPES / "github-actions.yml")], environ=dict(os.environ), cwd=tmp_path)
    broken = tmp_path / "broken.yml"
    broken.write_text((_RECIPES / "github-actions.yml").read_text().replace("runs-on:", "run-on:"))

    assert fine.returncode == 0, fine.stdout
    assert _run([*words, str(broken)], environ=dict(os.environ), cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error_401_invalid", 0),
        pytest.param(None, 0, marks=pytest.mark.slow),
        pytest.param("error_400", 1, marks=pytest.mark.slow),
    ],
)
def test_the_steps_of_the_workflow_run_in_their_order(
    server: SegmindStandIn, tmp_path: Path, fault: str | None, code: int
) -> None:
    job = yaml.safe_load((_RECIPES / "github-actions.yml").read_text())["jobs"]["shots"]
    work = _home(tmp_path, server)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copyfile(work.manifest, checkout / "shots.yaml")
    if fault:
        server.faults.add(fault, times=None)
    environ = {**work.environ, **job["env"], "HOME": str(tmp_path), "PATH": f"{_BIN}:/usr/bin:/bin"}
    environ |= {"OUTPUT": str(tmp_path / "kept"), "BATCHMOD_HOME": str(tmp_path / "home")}
    environ |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    codes, said = [], ""
    for step in job["steps"]:
        if "run" in step:
            secrets = {name: work.environ[name] for name in step.get("env", {})}
            done = _run(["bash", "-e", "-c", step["run"]], environ={**environ, **secrets}, cwd=checkout)
            codes.append(done.returncode)
            said += done.stdout
    uploaded = [path.strip() for path in job["steps"][-1]["with"]["path"].split()]

    assert codes == [0, code, 0]
    assert ("::warning::" in said) is (fault == "error_401_invalid")
    assert "1 row" in (tmp_path / "summary").read_text()
    assert all((tmp_path / "kept" / Path(path).name).exists() for path in uploaded)


class _Stop(Exception):
    """What Airflow takes for a failure without a retry."""


def _as_it_is(*given: Any, **_: Any) -> Any:
    """A decorator that leaves its function as it is."""
    return given[0] if given and callable(given[0]) else _as_it_is


def _modules(monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> None:
    """Names that the snippets import, from packages far too large for these tests."""
    for name, names in modules.items():
        module = types.ModuleType(name.replace("__", "."))
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def _task(monkeypatch: pytest.MonkeyPatch, which: str, manifest: Path) -> Any:
    """The flow of a snippet, on this manifest."""
    _modules(
        monkeypatch,
        airflow={},
        airflow__exceptions={"AirflowFailException": _Stop},
        airflow__sdk={"dag": _as_it_is, "task": _as_it_is},
        prefect={"flow": _as_it_is, "task": _as_it_is},
    )
    text = _snippet(f"from {which}").replace("/shows/autumn.yaml", str(manifest))
    if which == "airflow":
        text = text.replace('    run_shots("', '    return run_shots("').replace("\n\nnightly_shots()\n", "\n")
    names: dict[str, Any] = {"__name__": "nightly"}
    exec(compile(text, "nightly.md", "exec"), names)
    return names["nightly_shots"]


@pytest.mark.parametrize(
    ("which", "stop", "again"), [("airflow", _Stop, RuntimeError), ("prefect", ValueError, OSError)]
)
def test_the_tasks_of_the_page_run_a_manifest_and_say_what_a_retry_is_for(
    server: SegmindStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, stop: Any, again: Any
) -> None:
    work = _home(tmp_path, server)
    for name, value in work.environ.items():
        monkeypatch.setenv(name, value)
    task = _task(monkeypatch, which, work.manifest)

    server.faults.add("error_401_invalid")
    with pytest.raises(again, match="not ended yet: key_refused"):
        task()
    assert task() == {"succeeded": 1}

    work.rows(remote_rows("a", "b"), provider="segmind", limits={"max_cost_per_run_usd": 50, "polls_per_minute": 60000})
    server.faults.add("error_400")
    with pytest.raises(stop, match="look at"):
        task()
    assert server.ledger.paid_twice() == {}


def test_prefect_retries_only_what_has_not_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _task(monkeypatch, "prefect", tmp_path)
    names: dict[str, Any] = {"__name__": "nightly"}
    exec(compile(_snippet("from prefect"), "nightly.md", "exec"), names)

    def failed_with(error: Exception) -> Any:
        def result() -> None:
            raise error

        return types.SimpleNamespace(result=result)

    assert names["not_ended"](failed_with(InterruptedError("x")))
    assert not names["not_ended"](failed_with(ValueError("x")))
    assert not names["not_ended"](types.SimpleNamespace(result=dict))


def test_the_configuration_on_the_page_is_a_good_one() -> None:
    from batchmod import files
    from batchmod.manifest import configuration
    from tests.unit.published import schemas

    blocks = re.findall(r"^```yaml\n(.*?)^```", (_DOCS / "nightly.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    variables = {"BATCHMOD_VAR_SLACK_URL": "https://hooks.slack.com/services/x"}
    (text,) = (block for block in blocks if "allow:" in block)
    found, problems = configuration.read(
        text, file="config.yaml", schemas=schemas(), schema=files.schema("config"), variables=variables
    )

    assert (len(found.notify), len(found.programs), problems) == (1, 1, ())
    for block in blocks:
        if "allow:" not in block:
            assert yaml.safe_load(block)
    assert json.dumps(files.schema("config"))
