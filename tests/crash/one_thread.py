"""batchmod's command line with everything it does on one thread, where a tracer can count it.

strace counts the calls of each thread for itself: what a worker thread does would never be the N-th.
"""

import concurrent.futures
import sys
from collections.abc import Callable
from typing import Any

from batchmod.cli import main


def at_once(_: Any, function: Callable[..., Any], /, *values: Any, **named: Any) -> concurrent.futures.Future[Any]:
    """`Executor.submit` without the thread."""
    done: concurrent.futures.Future[Any] = concurrent.futures.Future()
    try:
        done.set_result(function(*values, **named))
    except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
        done.set_exception(error)
    return done


if __name__ == "__main__":
    concurrent.futures.ThreadPoolExecutor.submit = at_once  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
