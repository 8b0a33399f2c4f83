#!/usr/bin/env python3
"""An output of batchmod becomes a Version of its shot in ShotGrid (Flow Production Tracking), once.

    shotgrid.py OUTPUT PROJECT_ID SHOT

SHOTGRID_URL (https://studio.shotgrid.autodesk.com), SHOTGRID_SCRIPT and SHOTGRID_KEY are in the environment.
Needs `pip install shotgun_api3`.
"""

import os
import sys
from pathlib import Path

import shotgun_api3


def main(output: str, project_id: str, shot: str) -> None:
    """Create a Version and upload its movie, unless both are there: batchmod may start a program a second time."""
    grid = shotgun_api3.Shotgun(
        os.environ["SHOTGRID_URL"], script_name=os.environ["SHOTGRID_SCRIPT"], api_key=os.environ["SHOTGRID_KEY"]
    )
    project = {"type": "Project", "id": int(project_id)}
    entity = grid.find_one("Shot", [["project", "is", project], ["code", "is", shot]])
    if entity is None:
        raise SystemExit(f"ShotGrid has no shot {shot} in project {project_id}")
    code, mark = Path(output).stem, f"batchmod {os.environ['BATCHMOD_JOB_KEY']}"
    same = [["entity", "is", entity], ["code", "is", code], ["description", "is", mark]]
    version = grid.find_one("Version", same, ["sg_uploaded_movie"])
    if version is None:  # one without its movie is one that a kill has left
        version = grid.create("Version", {"project": project, "entity": entity, "code": code, "description": mark})
    if version.get("sg_uploaded_movie"):
        print("it is there already")
        return
    grid.upload("Version", version["id"], output, field_name="sg_uploaded_movie")
    print(f"version {version['id']} is {code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
