"""Lines that runs write, held against the schema `event`: every kind, every fact, nothing further."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from batchmod import files


@cache
def kinds() -> dict[str, Draft202012Validator]:
    """The validator of each kind."""
    schema = files.schema("event")
    return {name: Draft202012Validator(kind) for name, kind in schema["$defs"].items()}


def check(event: dict[str, Any]) -> None:
    """Fail where an event is not as the schema has it."""
    kind = event.get("event")
    assert kind in kinds(), f"the schema knows no event '{kind}'"
    wrong = [f"{'.'.join(map(str, error.path))}: {error.message}" for error in kinds()[kind].iter_errors(event)]
    assert not wrong, f"{kind}: {wrong}"


def check_all(text: str) -> list[dict[str, Any]]:
    """The events of such lines, each checked; what a crash has cut is passed over only at the beginning."""
    found = [json.loads(line) for line in text.splitlines() if line]
    for event in found:
        check(event)
    return found
