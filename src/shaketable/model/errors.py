"""The errors shaketable raises on purpose, each with the exit code a caller sees.

ShakeError
├── UsageError          2   a command that cannot be carried out as asked
│   └── ScenarioError   2   a scenario or compose file with problems, all of them listed
├── EngineError         3   the Docker engine is missing, gone, or refused
├── TopologyError       3   the topology did not start or never became steady
├── AgentError          3   the agent beside the targets failed or vanished
└── ResidueError        4   something of ours could not be removed
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    RESIDUE = 4
    INTERRUPTED = 130


class ShakeError(Exception):
    """Base of all: `message` says what happened, to which target and the state it is in; `hint` what to do."""

    exit_code: Exit = Exit.INCONCLUSIVE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(ShakeError):
    """A command cannot be carried out as asked."""

    exit_code = Exit.USAGE


class EngineError(ShakeError):
    """The Docker engine is missing, gone, or refused a request."""


class TopologyError(ShakeError):
    """The topology did not start, or never became steady."""


class AgentError(ShakeError):
    """The agent beside the targets failed or vanished."""


class ResidueError(ShakeError):
    """Something of ours could not be removed."""

    exit_code = Exit.RESIDUE


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file: `file:line:col: message` (line and col count from 1)."""

    file: str
    line: int
    col: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}: {self.message}"


class ScenarioError(UsageError):
    """A scenario or compose file with problems; `problems` has all of them, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))
