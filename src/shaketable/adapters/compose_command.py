"""The compose v2 command: which one this machine has, and running it for one project with a time limit."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from testcontainers.compose import DockerCompose

from shaketable.adapters import command
from shaketable.adapters.command import Finished, Say
from shaketable.model.errors import EngineError

_CANDIDATES = (("docker", "compose"), ("docker-compose",))


@functools.cache
def compose_command() -> tuple[str, ...]:
    """Words that run compose v2. Raises EngineError when this machine has none."""
    for words in _CANDIDATES:
        if _version(words):
            return words
    raise EngineError(
        "the docker command, with its compose v2 plugin, is not on this machine",
        hint="`shaketable engine up` installs it as root on Debian or Ubuntu; else install the Docker compose plugin",
    )


@functools.cache
def compose_version() -> str:
    """Version of compose v2, such as `2.26.1`; empty when this machine has none."""
    return next((version for words in _CANDIDATES if (version := _version(words))), "")


def _version(words: tuple[str, ...]) -> str:
    try:
        done = command.run([*words, "version", "--short"], limit=30)
    except OSError:
        return ""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip()) if done.ok else None
    return found[0].removeprefix("v") if found and int(found[1]) >= 2 else ""


class ComposeFailedError(Exception):
    """A compose command ended with an error; `finished` has its last words."""

    def __init__(self, what: str, finished: Finished) -> None:
        super().__init__(what)
        self.what, self.finished = what, finished


@dataclass
class Compose(DockerCompose):
    """Testcontainers' compose driver, for a project that is handed over as text rather than read from the user's files.

    `document` is what compose reads on its stdin. A command that takes longer than `limit` seconds is ended.
    """

    project: str = ""
    document: Callable[[], str] = str
    limit: float = 180.0
    on_line: Say = lambda _: None
    wait: bool = False
    address: str = ""
    """The engine's, if it is not the one that DOCKER_HOST or the context names."""

    @cached_property
    def compose_command_property(self) -> list[str]:
        """Words that every command begins with."""
        return [
            *compose_command(),
            *("--ansi", "never", "--progress", "plain"),
            *("--project-name", self.project, "--project-directory", str(self.context), "-f", "-"),
        ]

    def build_services(self, services: list[str]) -> None:
        """Build the images of these services. Raises ComposeFailedError."""
        self._run_command([*self.compose_command_property, "build", *services])

    def stop(self, down: bool = True) -> None:
        """Take everything down at once: this is a table, not a production system. Raises ComposeFailedError."""
        arguments = ["down", "--timeout", "0", "--volumes", "--remove-orphans"] if down else ["stop"]
        self._run_command([*self.compose_command_property, *arguments])

    def _run_command(self, cmd: str | list[str], context: str | None = None) -> subprocess.CompletedProcess[bytes]:
        words = cmd.split() if isinstance(cmd, str) else cmd
        environment = {"DOCKER_HOST": self.address} if self.address else None
        done = command.run(
            words, limit=self.limit, stdin=self.document(), environment=environment, on_line=self.on_line
        )
        if not done.ok:
            raise ComposeFailedError(words[len(self.compose_command_property)], done)
        return subprocess.CompletedProcess(words, 0, done.stdout.encode(), "\n".join(done.errors).encode())
