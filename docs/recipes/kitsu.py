#!/usr/bin/env python3
"""An output of batchmod becomes a preview of its shot's task in Kitsu, once.

    kitsu.py OUTPUT PROJECT SEQUENCE SHOT TASK_TYPE

KITSU_HOST (https://kitsu.example.com/api), KITSU_LOGIN and KITSU_PASSWORD are in the environment; KITSU_STATUS is the
short name of the status that the task gets, else `wfa`. Needs `pip install gazu`.
"""

import os
import sys
from pathlib import Path

import gazu


def found(thing: dict | None, what: str) -> dict:
    """What was looked for, or the end with a word."""
    if thing is None:
        raise SystemExit(f"Kitsu has no {what}")
    return thing


def main(output: str, project: str, sequence: str, shot: str, task_type: str) -> None:
    """Publish, unless the task has this very output already: batchmod may start a program a second time."""
    gazu.set_host(os.environ["KITSU_HOST"])
    gazu.log_in(os.environ["KITSU_LOGIN"], os.environ["KITSU_PASSWORD"])
    show = found(gazu.project.get_project_by_name(project), f"project {project}")
    row = found(gazu.shot.get_sequence_by_name(show, sequence), f"sequence {sequence} in {project}")
    clip = found(gazu.shot.get_shot_by_name(row, shot), f"shot {shot} in {sequence}")
    kind = found(gazu.task.get_task_type_by_name(task_type), f"task type {task_type}")
    tasks = [task for task in gazu.task.all_tasks_for_shot(clip) if task["task_type_id"] == kind["id"]]
    task = found(next(iter(tasks), None), f"{task_type} task for {shot}")
    status = os.environ.get("KITSU_STATUS", "wfa")
    mark = f"batchmod {Path(output).stem} {os.environ['BATCHMOD_JOB_KEY']}"
    before = [each for each in gazu.task.all_comments_for_task(task) if mark in (each["text"] or "")]
    if any(each["previews"] for each in before):
        print("it is there already")
        return
    # a comment without its preview is one that a kill has left
    comment = (
        before[0]
        if before
        else gazu.task.add_comment(
            task, found(gazu.task.get_task_status_by_short_name(status), f"status {status}"), comment=mark
        )
    )
    gazu.task.add_preview(task, comment, preview_file_path=output)
    print(f"published as {mark}")


if __name__ == "__main__":
    main(*sys.argv[1:])
