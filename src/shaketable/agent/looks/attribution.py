"""Who ended a process, from its wait status and the signals that it was sent. Pure.

The words for who ended it are those of model.kernel.Ender: itself, guard, limit, watchdog, engine.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from shaketable.agent.looks.signals import BY_KERNEL, Sent

_ENGINE: Final = re.compile(r"(dockerd|containerd|docker-init|docker-containe|runc\b|runc:)")
"""Programs of a container engine, as the kernel calls them: the first 15 characters."""
_FORWARDS: Final = ("docker-init", "tini")
"""A container's first process that sends on what it is sent, and nothing of its own."""
_OWN: Final = tuple(
    int(number) for number in (signal.SIGXCPU, signal.SIGXFSZ, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
)
"""What the kernel sends for limits and timers that a process has set itself; whom it interrupted has no part in it."""
_CRASHES: Final = tuple(
    int(number)
    for number in (
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP),
        *(signal.SIGABRT, signal.SIGSYS, signal.SIGPIPE),
    )
)
ASKS: Final = (int(signal.SIGTERM), int(signal.SIGINT), int(signal.SIGQUIT))
"""What asks a process to end, which it may do in its own way."""
ASKED_FOR: Final = 10.0
"""Seconds in which a process may end because it was asked to: what `docker stop` waits for it."""
_KILL: Final = int(signal.SIGKILL)
NO_ONE: Final = "unknown: nobody was seen to send it"
GONE: Final = "unknown: process {} was gone before it could be looked at"


class Source(NamedTuple):
    """A process that sent something."""

    pid: int
    command: str
    of: str
    """Its instance or nested host; empty outside of the topology."""


class Verdict(NamedTuple):
    """Who ended it, and in words; `first` is a process whose end was the reason, which is to be asked, or 0."""

    by: str
    who: str
    first: int = 0


class Facts(NamedTuple):
    """What is known of a process that ended."""

    pid: int
    of: str
    at: float
    status: int
    """As of wait(2)."""
    sent: Sequence[Sent]
    """What it was sent, the oldest first."""
    sources: Mapping[int, Source]
    """Processes that sent something, by id."""
    limit: str = ""
    """The limit in whose name the OOM killer marked it; empty if it did not."""
    blind: str = ""
    """Why nobody could be seen sending anything; empty when they could."""
    forwarded: Mapping[int, Sequence[Sent]] = {}
    """What those were sent in turn who only send it on."""


def is_engine(command: str) -> bool:
    """Whether a program is a container engine's."""
    return bool(_ENGINE.match(command))


def signal_of(status: int) -> int:
    """Signal that ended a process; 0 when it left by itself."""
    return status & 0x7F


def code_of(status: int) -> int:
    """Exit code; 0 when a signal ended it."""
    return 0 if signal_of(status) else status >> 8 & 0xFF


def name_of(number: int) -> str:
    """A signal's name: SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(facts: Facts) -> Verdict:
    """Who ended it, by the kernel's word.

    A process that leaves by itself within ASKED_FOR seconds of another's SIGTERM, SIGINT or SIGQUIT was ended by that one.
    """
    number = signal_of(facts.status)
    if not number:
        return _left(facts)
    if facts.blind:
        return _blind(facts, number)
    matching = [one for one in facts.sent if one.number == number]
    # No signal outruns the first SIGKILL; of others, the one that was not survived is the last.
    fatal = (matching[0] if number == _KILL else matching[-1]) if matching else None
    if facts.limit and (fatal is None or fatal.code == BY_KERNEL):
        return Verdict("limit", facts.limit)
    if number in _OWN and (fatal is None or fatal.code not in (0, -1, -6)):
        return Verdict("guard", f"its own limit ({name_of(number)})")
    if fatal is None:
        return Verdict("guard", f"itself ({name_of(number)})") if number in _CRASHES else Verdict("engine", NO_ONE)
    return _sent(facts, fatal)


def _left(facts: Facts) -> Verdict:
    """Judge one that left by itself."""
    asked = [
        one
        for one in facts.sent
        if one.number in ASKS and one.sender != facts.pid and facts.at - ASKED_FOR <= one.at <= facts.at
    ]
    if asked:
        by, who, first = _sent(facts, asked[-1])
        return Verdict(by, f"{who}, which asked it by {name_of(asked[-1].number)}", first)
    code = code_of(facts.status)
    return Verdict("guard", f"itself, with exit code {code}") if code else Verdict("itself", "")


def _blind(facts: Facts, number: int) -> Verdict:
    """Judge without tracepoints. What nobody was seen doing is to no guard's and no watchdog's credit."""
    if facts.limit:
        return Verdict("limit", facts.limit)
    if number in _OWN or number in _CRASHES:
        return Verdict("guard", f"itself or another ({name_of(number)}); no tracepoints here")
    return Verdict("engine", f"unknown: no tracepoints here ({facts.blind})")


def _sent(facts: Facts, fatal: Sent) -> Verdict:
    """Judge by who sent what ended it."""
    by_kernel = fatal.code == BY_KERNEL and fatal.number == _KILL
    if fatal.sender == facts.pid and by_kernel:
        return Verdict("guard", "its own limit of CPU time (SIGKILL)")
    if fatal.sender == facts.pid or (fatal.code > 0 and fatal.code != BY_KERNEL):  # or a fault, as SEGV_MAPERR
        return Verdict("guard", f"itself ({name_of(fatal.number)})")
    if by_kernel:
        # The kernel ends whatever is left of a pid namespace in the name of its first process (pid_namespaces(7)).
        return Verdict("engine", "the end of its container's first process", fatal.sender)
    source = facts.sources.get(fatal.sender)
    return _by(facts, fatal, source) if source else Verdict("engine", GONE.format(fatal.sender))


def _by(facts: Facts, fatal: Sent, source: Source) -> Verdict:
    """Judge by what is known of who sent it."""
    name = f"{source.command} of {source.of}" if source.of else f"{source.command} outside of the topology"
    if source.of == facts.of and source.command in _FORWARDS:
        return _forwarded(facts, fatal, name)
    if source.of == facts.of:
        return Verdict("guard", name)
    return Verdict("engine" if is_engine(source.command) else "watchdog", name)


def _forwarded(facts: Facts, fatal: Sent, name: str) -> Verdict:
    """Judge by who sent it to the one that sent it on."""
    before = [
        one
        for one in facts.forwarded.get(fatal.sender, ())
        if one.number == fatal.number and one.at <= fatal.at and one.sender != fatal.sender
    ]
    source = facts.sources.get(before[-1].sender) if before else None
    if source is None or source.command in _FORWARDS:
        return Verdict("engine", name)
    by, who, first = _sent(facts, before[-1])
    return Verdict(by, f"{who}, through {name}", first)
