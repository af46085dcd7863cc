"""The load: Locust as a library, driven by arrivals that are due whether or not earlier ones have ended.

A closed loop waits for a stalled server, so its figures look best when the server is worst. Here a schedule says when
each arrival is due, a free user runs it, and latency counts from when it was due. Driven by one JSON line on stdin;
ends when stdin closes. Locust patches the process it is imported in, so this runs in a process of its own.
"""

# Locust is typed in part, and absent where the harness is checked: both must give the same answer.
# mypy: allow-subclassing-any, allow-untyped-calls, no-warn-return-any

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import gevent
from gevent.lock import Semaphore
from gevent.pool import Group
from locust import FastHttpUser, events
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode
from locust.env import Environment

from shaketable.agent.arrivals import arrivals
from shaketable.agent.cohorts import cohort_text
from shaketable.agent.wire import ReaderGoneError, Splitter, Writer

MAX_USERS: Final = 200
"""Arrivals under way at once; one more cannot be started."""
MAX_LATE: Final = 1.0
"""Seconds after which an arrival that was not started is not started any more."""
_FLUSH: Final = 0.04
_BEAT: Final = 0.2
_CPU: Final = 1.0
_CONTEXT: Final = "shaketable"


class LocustfileError(Exception):
    """The user's locustfile cannot be run; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the first line on stdin says."""

    locustfile: str
    host: str
    rate: float
    arrivals: str
    timeout: float
    seed: str
    served_by: str
    upstreams: str
    wrote: str
    max_seconds: float


class _Session(FastHttpSession):
    """Adds to each request a limit on its total time, and when it was due and began, for whoever records it."""

    open_user: OpenLoopUser

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        user = self.open_user
        user.asked = True
        load = user.open_load
        if load is None:
            return super().request(method, url, *args, **kwargs)
        if user.generation != load.generation:
            # a connection broke since this user's last request: those kept since before may be dead too
            user.generation = load.generation
            self.client.clientpool.close()
        kwargs["context"] = {**kwargs.get("context", {}), _CONTEXT: (user.due, time.monotonic(), load.cohort(user))}
        with gevent.Timeout(load.config.timeout):
            return super().request(method, url, *args, **kwargs)


class OpenLoopUser(FastHttpUser):
    """The class to derive users from: one task is run for each arrival. `wait_time` has no meaning here.

    Tasks, their weights, `on_start`, nested task sets and `self.client` work as in any Locust file, and such a file
    also runs under plain `locust`, then with a pause of 1 s between tasks. A user may say who it is, in `self.cohort`.
    """

    abstract = True
    concurrency = 1

    cohort: Mapping[str, str] = {}
    """As `{"app": "2.0", "plan": "free"}`: goes on record with each request made from then on."""
    open_load: OpenLoad | None = None
    due = 0.0
    """When the arrival being run was due."""
    asked = False
    """Whether it has made a request."""
    generation = 0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.wake = Semaphore(0)
        session = _Session(
            base_url=self.host,
            request_event=self.environment.events.request,
            network_timeout=self.network_timeout,
            connection_timeout=self.connection_timeout,
            max_redirects=self.max_redirects,
            max_retries=self.max_retries,
            insecure=self.insecure,
            concurrency=self.concurrency,
            user=self,
            client_pool=self.client_pool,
            ssl_context_factory=self.ssl_context_factory,
            headers=self.default_headers,
            proxy_host=self.proxy_host,
            proxy_port=self.proxy_port,
        )
        session.open_user = self
        self.client = session

    def wait_time(self) -> float:
        """Wait, after one arrival, until there is the next one for this user."""
        if self.open_load is None:
            return 1.0
        self.open_load.ended(self)
        self.wake.acquire()
        return 0.0


class OpenLoad:
    """Starts arrivals when they are due, and records every request."""

    def __init__(self, config: Config, out: Writer, *, max_users: int) -> None:
        """Read the locustfile. Raises LocustfileError."""
        self.config = config
        self.generation = 0
        """Rises when a connection breaks."""
        self._out = out
        self._max_users = max_users
        self._classes = _user_classes(config.locustfile)
        for cls in self._classes:
            cls.host = config.host
            cls.open_load = self
            cls.network_timeout = cls.connection_timeout = config.timeout
        self._weights = [cls.weight for cls in self._classes]
        self._tasks = {cls: list(cls.tasks) for cls in self._classes}
        self._draws = random.Random(f"{config.seed}/tasks")  # reproducible on purpose
        self._environment = Environment(user_classes=list(self._classes), host=config.host, events=events)
        events.request.add_listener(self._on_request)
        events.user_error.add_listener(self._on_user_error)
        self._group = Group()
        self._free: dict[type[OpenLoopUser], list[OpenLoopUser]] = {cls: [] for cls in self._classes}
        self._users = 0
        self._running: dict[OpenLoopUser, None] = {}
        """Users with an arrival under way, the earliest due first."""
        self._planned = 0
        self._not_started = 0
        self._complaints: set[str] = set()

    def run(self, start: float, until: float) -> None:
        """Start what is due, from `start` to `until`, then let what is under way come to its end."""
        events.init.fire(environment=self._environment, runner=None, web_ui=None)
        events.test_start.fire(environment=self._environment)
        for offset in self._schedule():
            due = start + offset
            if due > until:
                break
            if (wait := due - time.monotonic()) > 0:
                gevent.sleep(wait)
            self._arrive(due)
        gevent.sleep(max(0.0, until - time.monotonic()))
        limit = time.monotonic() + self.config.timeout + 1.0
        while self._running and time.monotonic() < limit:
            gevent.sleep(0.01)
        events.test_stop.fire(environment=self._environment)

    def report(self) -> None:
        """Write counts and CPU time at their periods and flush in between, until the greenlet is killed."""
        next_beat = time.monotonic() + _BEAT
        next_cpu = next_beat - _BEAT + _CPU
        while True:
            gevent.sleep(_FLUSH)
            now = time.monotonic()
            if now >= next_beat:
                self.beat()
                next_beat = max(next_beat + _BEAT, now)
            if now >= next_cpu:
                self._out.put({"cpu": [round(now, 6), round(time.process_time(), 6)]})
                next_cpu = max(next_cpu + _CPU, now)
            self._out.flush()

    def beat(self) -> None:
        """Write the counts since the last beat, and when the oldest arrival still under way was due."""
        pending = next(iter(self._running), None)
        due = None if pending is None else round(pending.due, 6)
        self._out.put({"load": [round(time.monotonic(), 6), self._planned, self._not_started, due]})
        self._planned = self._not_started = 0

    def ended(self, user: OpenLoopUser) -> None:
        """Take back a user whose arrival has ended. The one used last is used next: its connection is warm."""
        self._running.pop(user, None)
        self._free[type(user)].append(user)

    def cohort(self, user: OpenLoopUser) -> str:
        """Write who the user is at this moment; empty if it does not say, or what it says is no cohort."""
        try:
            return cohort_text(user.cohort)
        except ValueError as error:
            self.complain(f"{type(user).__name__}: {error}")
            return ""

    def _schedule(self) -> Iterator[float]:
        return arrivals(self.config.rate, self.config.arrivals, self.config.seed)

    def _arrive(self, due: float) -> None:
        self._planned += 1
        # drawn for every arrival, started or not, so that the later ones are the same whatever became of this one
        cls = self._draws.choices(self._classes, self._weights)[0]
        task = self._draws.choice(self._tasks[cls])
        free = self._free[cls]
        if time.monotonic() - due > MAX_LATE or not (free or self._users < self._max_users):
            self._not_started += 1
            return
        if free:
            user = free.pop()
            user.wake.release()
        else:
            user = cls(self._environment)
            self._users += 1
            user.start(self._group).link(lambda _: self._gone(user))
        user.due = due
        user.asked = False
        user.tasks = [task]
        self._running[user] = None

    def _gone(self, user: OpenLoopUser) -> None:
        """Forget a user that stopped by itself, or by an error in `on_start`."""
        self._users -= 1
        self._running.pop(user, None)
        if user in self._free[type(user)]:
            self._free[type(user)].remove(user)

    def _on_request(
        self, name: str, response: Any, exception: BaseException | None, context: Mapping[str, Any], **_: Any
    ) -> None:
        ended = time.monotonic()
        due, began, cohort = context.get(_CONTEXT, (ended, ended, ""))
        status = int(getattr(response, "status_code", 0) or 0)
        if status == 0:
            self.generation += 1
        headers = getattr(response, "headers", None) or {}
        upstreams = [part.strip() for part in _header(headers, self.config.upstreams).split(",")]
        error = "" if exception is None else in_words(exception, status, self.config.timeout)
        served_by, wrote = (_header(headers, name).strip() for name in (self.config.served_by, self.config.wrote))
        outcome = [exception is None, status, error, served_by, [part for part in upstreams if part], wrote, cohort]
        self._out.put({"request": [round(due, 6), round(began, 6), round(ended, 6), name, *outcome]})

    def _on_user_error(
        self, user_instance: Any, exception: BaseException, tb: types.TracebackType | None, **_: Any
    ) -> None:
        user = getattr(user_instance, "user", user_instance)
        if not user.asked:  # an arrival that never came to a request must not vanish
            now = round(time.monotonic(), 6)
            name = getattr(user.tasks[0], "__name__", "task")
            words = f"{type(exception).__name__}: {exception}"[:120]
            cohort = self.cohort(user)
            self._out.put({"request": [round(user.due, 6), now, now, name, False, 0, words, "", [], "", cohort]})
        frames = traceback.extract_tb(tb)
        where = next((f" ({f.filename}:{f.lineno})" for f in reversed(frames) if f.filename == _FILE), "")
        self.complain(f"a task of the locustfile failed: {type(exception).__name__}: {exception}{where}")

    def complain(self, message: str) -> None:
        """Tell a person, once."""
        if message not in self._complaints and len(self._complaints) < 20:
            self._complaints.add(message)
            self._out.put({"error": message})


_FILE: Final = "locustfile.py"


def _user_classes(text: str) -> list[type[OpenLoopUser]]:
    """Run the locustfile and find its users. Raises LocustfileError."""
    module = types.ModuleType("locustfile")
    module.__file__ = _FILE
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, _FILE, "exec"), module.__dict__)  # the user's own file, in its own container
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        said = error.msg if isinstance(error, SyntaxError) else error
        raise LocustfileError(f"{_FILE}{f':{line}' if line else ''}: {type(error).__name__}: {said}") from error
    users = [
        value
        for value in module.__dict__.values()
        if isinstance(value, type) and issubclass(value, OpenLoopUser) and not value.abstract
    ]
    users = list(dict.fromkeys(users))
    if not users:
        raise LocustfileError(
            f"{_FILE} has no user class; derive one from shaketable.agent.load.OpenLoopUser and give it a @task"
        )
    if idle := [cls.__name__ for cls in users if not cls.tasks]:
        raise LocustfileError(f"{_FILE}: {idle[0]} has no task; mark a method with @task")
    return users


def _header(headers: Any, name: str) -> str:
    """Take a response header: empty if it is not there, joined as HTTP says if it is there several times."""
    value = headers.get(name)
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (gevent.Timeout, "no answer within {timeout:g} s"),
    (TimeoutError, "no answer within {timeout:g} s"),
    (LocustBadStatusCode, "status {status}"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "connection reset"),
    (BrokenPipeError, "connection reset"),
)


def in_words(error: BaseException, status: int, timeout: float) -> str:
    """Say what went wrong with a request, in a few words."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words.format(status=status, timeout=timeout)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()[:120]
    return (str(error) or type(error).__name__)[:120]


def _until_closed(descriptor: int) -> None:
    """Wait, in a thread of gevent's, until the descriptor closes."""
    while gevent.os.tp_read(descriptor, 65536):
        pass


def run(descriptor: int, out: Writer, *, max_users: int = MAX_USERS) -> int:
    """Load until the descriptor closes, the time is over or nobody reads any more; answer the exit code."""
    splitter = Splitter()
    first: list[bytes] = []
    while not first:
        data = os.read(descriptor, 65536)
        if not data:
            return 0
        first = splitter.feed(data)
    try:
        config = Config(**json.loads(first[0]))
        load = OpenLoad(config, out, max_users=max_users)
    except LocustfileError as error:
        out.emit({"error": str(error)})
        return 2
    gc.collect()
    gc.freeze()  # Locust is large, and looking through all of it again and again would delay arrivals
    start = time.monotonic()
    work = [gevent.spawn(load.report), gevent.spawn(load.run, start, start + config.max_seconds)]
    work.append(gevent.spawn(_until_closed, descriptor))
    try:
        gevent.joinall(work, count=1, raise_error=True)
        load.beat()
        out.flush()
    except ReaderGoneError:
        pass
    return 0


def main() -> None:
    """Load as the line on stdin says, and exit when it closes."""
    os.set_blocking(1, False)
    code = run(0, Writer(1))
    os._exit(code)  # requests under way, and threads that wait, must not hold the exit up


if __name__ == "__main__":
    # the locustfile imports OpenLoopUser from this module by its name, and must get the class that is run here
    from shaketable.agent.load import main as named_main

    named_main()
