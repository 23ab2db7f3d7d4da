"""Work on Ray: on this computer, or on a cluster that Ray runs.

:class:`RayWorkers` analyse videos, as Ray actors. Each does what a worker process does
(:mod:`aucli.worker`), one job at a time; tables, journal and messages stay with us. A job whose
actor is lost is begun again by another one. Inputs, and what workers write themselves (overlays,
pictures of maps), lie where all of the computers see them. :class:`RayTasks` call a function, as
for the rendering of faces; what comes of it stays with us, too.
"""

import importlib
import math
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aucli.errors import AucliError, InputError, LibraryError, OptionError, first_line
from aucli.pipeline import workers
from aucli.pipeline.batch import Job, WorkerKilled
from aucli.pipeline.cores import usable_cores
from aucli.pipeline.workers import (
    CORES_PER_JOB,
    STALL_SECONDS,
    NotStarted,
    RemoteWorker,
    count_jobs,
    put_able_first,
)

if TYPE_CHECKING:
    from aucli.pipeline.options import OptionWords

TRIES = 3
JOBS_PER_GPU = 4
MESSAGES_AHEAD = 16  # that wait for us; then the actor waits
POLL_SECONDS = 0.5
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 5.0  # between two looks whether the head is there
STORE_BYTES = 256 * 2**20  # of a Ray of our own: rows are small and soon fetched
SOCKET_BYTES = 40  # of a folder's name, so that Ray's sockets in it keep within 107
# A Ray of our own listens on the network: nobody else can know this word.
_TOKEN = secrets.token_hex(32)


class Head:
    """The computer that leads a cluster. Without it nothing comes any more, and Ray would end our
    process after a minute. address: of its control service, HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.is_gone = False
        self._address = address
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def check(self, now: bool = True) -> None:
        """Raise AucliError where it is gone; once gone it stays so. now: look even where somebody
        has looked lately."""
        with self._lock:
            if not self.is_gone and (now or time.monotonic() - self._looked > LOOK_SECONDS):
                self.is_gone = not _answers(self._address)
                self._looked = time.monotonic()
        if self.is_gone:
            raise AucliError(
                f"The Ray at {self._address} has ended; once it runs again, give the same command "
                "again; `aucli analyze --resume` keeps what is done."
            )


class RayWorker(RemoteWorker):
    """An Analyzer in a Ray actor. start: makes the actor. head: of its cluster. stall_seconds: see
    :class:`aucli.pipeline.workers.Worker`."""

    tries = TRIES

    def __init__(self, start: Callable[[], Any], head: Head, stall_seconds: float) -> None:
        self._start = start
        self._head = head
        self._stall_seconds = stall_seconds
        self._closed = False
        self._is_ready = False
        self._actor: Any = start()

    def ready(self) -> None:
        import ray
        from ray.exceptions import RayError

        if self._is_ready:
            return
        try:
            self._refuse_closed()
            if self._actor is None:
                self._head.check()
                self._actor = self._start()
            said = self._actor.ready.remote()
            while not ray.wait([said], timeout=POLL_SECONDS)[0]:
                self._refuse_closed()
                self._head.check(now=False)
            message = ray.get(said)
            if message[0] == "error":
                raise message[1]
        except RayError as error:
            self._drop()
            self._head.check()
            raise NotStarted(
                f"A Ray worker cannot start ({first_line(error)}); give the command again, with "
                "fewer jobs."
            ) from error
        except BaseException:
            self._drop()
            raise
        _, self.columns, self.recipe = message
        self._is_ready = True

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        import ray

        actor, self._actor, self._is_ready = self._actor, None, False
        if actor is not None and ray.is_initialized() and not self._head.is_gone:
            ray.kill(actor)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise AucliError("The Ray worker was ended.")

    def _messages(self, what: str, job: Job) -> Iterator[tuple[Any, ...]]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        name = job.input.path
        actor = self._actor
        self._refuse_closed()
        try:
            serve = actor.serve.options(
                num_returns="streaming", _generator_backpressure_num_objects=MESSAGES_AHEAD
            )
            stream = serve.remote(what, job)
            heard = time.monotonic()
            while True:
                if not ray.wait([stream], timeout=POLL_SECONDS, fetch_local=False)[0]:
                    self._refuse_closed()
                    self._head.check(now=False)
                    if 0 < self._stall_seconds < time.monotonic() - heard:
                        raise InputError(
                            f"{name}: nothing came of it for {self._stall_seconds:g} s, so it was "
                            "given up; convert it again."
                        )
                    continue
                yield from ray.get(next(stream))
                heard = time.monotonic()
        except RayTaskError:
            raise  # a bug
        except RayError as error:
            self._head.check()
            # Or it has crashed: Ray does not tell.
            raise WorkerKilled(
                f"{name}: the worker that read it was lost {self.tries} times; give the workers "
                "more memory, or leave it out."
            ) from error


class RayWorkers(list[RayWorker]):
    """Actors for the jobs of a batch, on a cluster or on a Ray of our own, which ends with us.

    jobs: how many; 0 takes as many as there is room for, and never more than inputs. address: of
    the cluster, 'auto' for one that runs on this computer; None takes what the variable
    RAY_ADDRESS says, else this computer alone. Where the cluster has GPUs and the options do not
    say otherwise, the actors share them.

    Raises what ``Analyzer(**options)`` raises, LibraryError without Ray, OptionError for a GPU by
    its number, and AucliError where Ray does not answer. A context manager.
    """

    def __init__(
        self,
        options: "OptionWords",
        jobs: int,
        inputs: int,
        address: str | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        super().__init__()
        if ":" in str(options.get("device", "")):
            raise OptionError("device: Ray chooses the GPU of each worker; write cuda.")
        address = _named(address)
        self._open = ExitStack()
        try:
            ray, head = _connect(address, jobs, self._open)
            cores, gpus, count = _shares(ray, options, jobs, inputs, address is None)
            served = ray.remote(importlib.import_module(workers.MODULE).Served)
            served = served.options(
                num_cpus=cores, num_gpus=gpus, max_restarts=0, max_task_retries=0
            )
            folder = os.getcwd()
            for _ in range(count):
                self.append(
                    RayWorker(lambda: served.remote(options, cores, folder), head, stall_seconds)
                )
            put_able_first(self)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "RayWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self:
            worker.close()
        self._open.close()


class RayTasks:
    """Calls of a function as Ray tasks of a core each, on a cluster or on a Ray of our own, which
    ends with us.

    at_once: how many; None takes a core each of what there is. address: see :class:`RayWorkers`.
    Raises LibraryError without Ray, OptionError for what is no address, and AucliError where Ray
    does not answer. A context manager.
    """

    def __init__(self, at_once: int | None = None, address: str | None = None) -> None:
        self._open = ExitStack()
        address = _named(address)
        try:
            ray, self._head = _connect(address, at_once or 0, self._open)
            self._at_once = at_once or max(1, int(ray.cluster_resources().get("CPU", 1)))
        except BaseException:
            self.__exit__()
            raise

    def __call__(
        self, function: Callable[[int], bytes], arguments: Sequence[int]
    ) -> Iterator[tuple[int, bytes]]:
        """Each argument and what came of it, as it is ready. A call whose worker is lost is begun
        again, up to three times. Raises AucliError after that, and what the function raises."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        task = ray.remote(_called).options(num_cpus=1, max_retries=TRIES - 1)
        left = iter(arguments)
        doing: dict[Any, int] = {}
        try:
            while True:
                for argument in islice(left, self._at_once - len(doing)):
                    doing[task.remote(function, argument)] = argument
                if not doing:
                    return
                for done in ray.wait([*doing], timeout=POLL_SECONDS)[0]:
                    yield doing.pop(done), ray.get(done)
                self._head.check(now=False)
        except RayTaskError as error:
            if isinstance(error.cause, AucliError):
                raise error.cause from error
            raise  # a bug
        except RayError as error:
            self._head.check()
            raise AucliError(
                f"A Ray worker was lost {TRIES} times; give the workers more memory, and the same "
                "command again to go on."
            ) from error
        finally:
            for each in doing if ray.is_initialized() and not self._head.is_gone else ():
                ray.cancel(each, force=True)

    def __enter__(self) -> "RayTasks":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _called(function: Callable[[int], bytes], argument: int) -> bytes:
    return function(argument)


def _named(address: str | None) -> str | None:
    """The cluster that the user or RAY_ADDRESS names; None for this computer alone."""
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is not None and "://" in address:
        raise OptionError(
            f"ray-address: {address} is no HOST:PORT of the cluster itself, as 10.0.0.1:6379."
        )
    return address


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OverflowError as error:
        raise OSError(str(error)) from error


def _answers(address: str) -> bool:
    """Whether anybody listens at HOST:PORT; a computer that is busy gets more than one chance."""
    for _ in range(TRIES):
        try:
            _knock(address)
            return True
        except ConnectionRefusedError:
            return False
        except OSError:
            continue
    return False


def _connect(address: str | None, jobs: int, stack: ExitStack) -> tuple[Any, Head]:
    """Ray, connected until the stack is closed, and its head."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
    if address is None:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
    try:
        import ray
    except ImportError as error:
        raise LibraryError(
            "Ray is missing; run `pip install 'aucli[ray]'`, or take the local engine."
        ) from error
    from ray._private import worker as driver
    from ray.exceptions import RayError

    # Its notes of lost workers would go to stdout, between our rows.
    driver._worker_logs_enabled = False
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        folder = tempfile.mkdtemp(prefix="aucli-ray-", dir=_short_folder())
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        told |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": max(usable_cores(), jobs),
            "object_store_memory": STORE_BYTES,
            "_temp_dir": folder,
        }
    else:
        told["address"] = address
        if ":" in address and address.rpartition(":")[2].isdigit():
            try:  # Ray itself would try for minutes
                _knock(address)
            except OSError as error:
                raise _no_answer(f"at {address}", error) from error
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stack.callback(ray.shutdown)
    try:
        ray.init(**told)
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        if any("InvalidAuthToken" in str(one) for one in _causes(error)):
            raise AucliError(
                f"The Ray at {address} asks for its token; set RAY_AUTH_MODE=token, and its token "
                "in RAY_AUTH_TOKEN or ~/.ray/auth_token."
            ) from error
        raise _no_answer(
            "on this computer" if address is None else f"at {address}", error
        ) from error
    for number, handler in heard.items():  # Ray takes SIGTERM for itself
        signal.signal(number, handler)
    return ray, Head(ray.get_runtime_context().gcs_address)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _no_answer(where: str, error: Exception) -> AucliError:
    return AucliError(
        f"Ray does not answer {where} ({first_line(error)}); check its address and version."
    )


def _short_folder() -> str | None:
    short = len(os.fsencode(tempfile.gettempdir())) <= SOCKET_BYTES or not Path("/tmp").is_dir()
    return None if short else "/tmp"


def _shares(
    ray: Any, options: "OptionWords", jobs: int, inputs: int, own: bool
) -> tuple[int, float, int]:
    """Cores and GPUs of each actor, and how many actors."""
    total = ray.cluster_resources()
    gpus = 0 if str(options.get("device", "auto")) == "cpu" else int(total.get("GPU", 0))
    if own:
        count = count_jobs(jobs, inputs)
        cores = max(1, usable_cores() // count)
    else:
        largest = max(node.get("Resources", {}).get("CPU", 0) for node in ray.nodes())
        cores = max(1, min(options.get("threads", 0) or CORES_PER_JOB, int(largest)))
        count = max(1, min(jobs or int(total.get("CPU", 1)) // cores, inputs))
    if gpus and not jobs:
        count = min(count, JOBS_PER_GPU * gpus)
    return cores, 1 / math.ceil(count / gpus) if gpus else 0, count
