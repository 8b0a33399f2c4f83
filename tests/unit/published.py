"""The published schemas, and manifests read with them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from batchmod import sources
from batchmod.manifest import Answer, Given, Need, Reading, manifest_of, read
from batchmod.model import Manifest
from batchmod.schema import Schemas

_FOLDER = Path(__file__).parents[2] / "schemas"


@cache
def schemas() -> Schemas:
    manifest, row, results = (
        json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8")) for name in ("manifest", "row", "results")
    )
    return Schemas(manifest=manifest, row=row, results=results)


def reading_of(path: Path, *, variables: dict[str, str] | None = None, **wishes: Any) -> Reading:
    """What the manifest at `path` says, with whatever it names gathered beside it; problems name it without folder."""
    answers: dict[Need, Answer] = {}
    while True:
        given = Given(answers=answers, variables=variables or {})
        reading = read(path.read_bytes(), file=path.name, schemas=schemas(), given=given, **wishes)
        if not reading.needs:
            return reading
        answers |= sources.answers(reading.needs, manifest=path, tree=path.parent.resolve(), is_output=lambda _: False)


def manifest_from(
    text: str, *, file: str, extra_columns: tuple[str, ...] = (), columns: dict[str, str] | None = None
) -> Manifest:
    return manifest_of(
        text.encode("utf-8", "surrogatepass"),
        file=file,
        schemas=schemas(),
        extra_columns=extra_columns,
        columns=columns,
    )
