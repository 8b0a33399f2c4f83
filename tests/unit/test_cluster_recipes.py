"""The recipes for clusters: valid where a schema is at hand, and of one mind with what is installed here."""

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from batchmod.cli.arguments import parse

_ROOT = Path(__file__).parents[2]
_RECIPES = _ROOT / "docs" / "cluster"


def _recipe(name: str) -> Any:
    return yaml.safe_load((_RECIPES / name).read_text("utf-8"))


def _ray() -> str:
    found = re.search(r"^ray==(.+)$", (_ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def test_ray_up_takes_its_recipe() -> None:
    """By the schema that `ray up` itself checks it with."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    schema = Path(spec.submodule_search_locations[0], "autoscaler", "ray-schema.json")

    jsonschema.validate(_recipe("ray-up.yaml"), json.loads(schema.read_text("utf-8")))


def test_every_recipe_has_the_ray_of_the_constraints() -> None:
    job = _recipe("rayjob.yaml")

    assert job["spec"]["rayClusterSpec"]["rayVersion"] == _ray()
    assert f"FROM rayproject/ray:{_ray()}-py311\n" in (_RECIPES / "Dockerfile").read_text("utf-8")


def test_the_entry_point_of_the_job_is_a_command_that_exists() -> None:
    words = shlex.split(_recipe("rayjob.yaml")["spec"]["entrypoint"])
    args = parse(words[1:])

    assert words[0] == "batchmod"
    assert (args.command, args.executor, args.ray_address) == ("run", "ray", "auto")


def test_keys_and_the_record_are_on_the_head_alone() -> None:
    spec = _recipe("rayjob.yaml")["spec"]["rayClusterSpec"]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    (group,) = spec["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]

    assert spec["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert "envFrom" in head
    assert "envFrom" not in worker
    assert [mount["name"] for mount in head["volumeMounts"]] == ["shots", "state"]
    assert [mount["name"] for mount in worker["volumeMounts"]] == ["shots"]
