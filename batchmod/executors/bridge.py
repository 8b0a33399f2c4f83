"""The process that speaks to Ray, the only one that imports it.

Ray ends the process of a driver that has lost its head, writes to its terminal, and takes its signals over: none of
that may happen to the process that holds the record. Here are no keys, and nothing that must not be lost.
"""

import os
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from batchmod.executors import children
from batchmod.executors.messages import Answer, Answered, Cancel, Capacity, Lost, Task, Unfit, Unreachable
from batchmod.executors.on_worker import carry

_LOOK_EVERY_S: Final = 2.0
_ANSWERS_WITHIN_S: Final = 10.0
_ONE_THREAD: Final = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def talk(connection: Connection, address: str, drop_environment: tuple[str, ...]) -> None:
    """Join a cluster, hand tasks on to it and answers back, until the other end is closed."""
    children.begin(drop_environment)
    _be_silent()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    try:
        _knock(address)
        ray.init(
            address,
            # An empty value there takes what a node was started with away from our workers.
            runtime_env={"env_vars": {**dict.fromkeys(drop_environment, ""), **_ONE_THREAD}},
            configure_logging=False,
            log_to_driver=False,
        )
    except Exception as error:  # noqa: BLE001 - the text is shown
        connection.send(Unreachable(message=_first_line(error)))
        return
    _Bridge(connection).run()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at all: Ray itself would try for minutes, and then end this process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN_S).close()


def _be_silent() -> None:
    """Ray's threads write where they like: to nobody."""
    nobody = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nobody, descriptor)


class _Bridge:
    def __init__(self, connection: Connection) -> None:
        import ray

        self._ray = ray
        self._connection = connection
        self._sending = threading.Lock()
        self._asked: dict[int, Any] = {}
        self._carry = ray.remote(carry)
        self._resources: Callable[[], dict[str, float]] = ray.cluster_resources

    def run(self) -> None:
        """Say what the cluster has, and read what is wished."""
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                self._ray.shutdown()
                return
            if isinstance(message, Task):
                self._begin(message)
            elif isinstance(message, Cancel):
                self._cancel(message.number)

    def _begin(self, task: Task) -> None:
        # Lost tasks are begun again where they can be counted, so not by Ray.
        options = {"num_cpus": task.cpus, "num_gpus": task.gpus, "max_retries": 0, "name": task.function.__name__}
        try:
            asked = self._carry.options(**options).remote(task.terms, task.function, task.values)
            self._asked[task.number] = asked
            asked.future().add_done_callback(lambda done: self._ended(task.number, done))
        except Exception as error:  # noqa: BLE001 - the text is shown
            self._answer(task.number, _answer_for(error))

    def _ended(self, number: int, done: Any) -> None:
        if self._asked.pop(number, None) is None:
            return
        error = done.exception()
        self._answer(number, done.result() if error is None else _answer_for(error))

    def _cancel(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            self._ray.cancel(asked, force=True)

    def _watch(self) -> None:
        """What the cluster has grows and shrinks."""
        waiting, before = threading.Event(), None
        while True:
            now = Capacity(cpus=float(self._resources().get("CPU", 0.0)))
            if now != before:
                before = now
                self._say(now)
            waiting.wait(_LOOK_EVERY_S)

    def _answer(self, number: int, answer: Answer) -> None:
        self._say(Answered(number=number, answer=answer))

    def _say(self, message: Answered | Capacity) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(1)  # nobody listens any more


def _answer_for(error: BaseException) -> Answer:
    """What an error of Ray's own means for the task."""
    from ray import exceptions

    text = _first_line(error)
    match error:
        case exceptions.NodeDiedError():
            return Lost(message=text, with_its_machine=True)
        case exceptions.WorkerCrashedError() | exceptions.OutOfMemoryError():
            return Lost(message=text, with_its_machine=False)
        case exceptions.RayTaskError():
            return Unfit(
                slug="cluster_failed", message=f"a worker could not begin: {text}; is batchmod installed there?"
            )
        case exceptions.ObjectLostError():
            return Lost(message=text, with_its_machine=True)
        case _:
            return Unfit(slug="cluster_failed", message=f"the cluster refused a task: {type(error).__name__}: {text}")


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    # A traceback from a worker says what happened in its last line.
    return (lines[-1 if "Traceback" in str(error) else 0] if lines else type(error).__name__).strip()
