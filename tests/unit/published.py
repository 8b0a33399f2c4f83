"""The published schemas, and manifests read with them."""

import json
from functools import cache
from pathlib import Path

from batchmod.manifest import manifest_of
from batchmod.model import Manifest
from batchmod.schema import Schemas

_FOLDER = Path(__file__).parents[2] / "schemas"


@cache
def schemas() -> Schemas:
    manifest, row, results = (
        json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8")) for name in ("manifest", "row", "results")
    )
    return Schemas(manifest=manifest, row=row, results=results)


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
