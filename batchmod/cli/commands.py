"""The verbs: each takes the parsed arguments and the environment and answers an exit code."""

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from batchmod.cli import about, cleaning, deliver, frames, look, plan, rescue, run, serving, status, why
from batchmod.cli.loading import Environ

COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, Environ], int]]] = {
    "run": run.run,
    "plan": plan.plan,
    "check": look.check,
    "frames": frames.frames,
    "status": status.status,
    "why": why.why,
    "resolve": look.resolve,
    "rescue": rescue.rescue,
    "report": look.report,
    "deliver": deliver.deliver,
    "clean": cleaning.clean,
    "serve": serving.run,
    "providers": about.list_providers,
    "looks": about.list_looks,
    "schema": about.schema,
    "init": about.init,
    "demo": about.demo,
}
