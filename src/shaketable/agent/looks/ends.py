"""Which processes of a topology ended, when, after how much CPU, by what, and who ended them, by the kernel's word.

A thread of the witness listens from the first look on: to the kernel's process connector and to its tracepoints of
signals and OOM victims. A process is known by its cgroup, from looks at cgroup.procs, and by its parent's fork, so that
short-lived ones are known, too. Of what is outside of the topology nothing is kept.
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

from shaketable.agent.kernel import KernelError, cgroup_of
from shaketable.agent.looks.attribution import ASKS, Facts, Source, Verdict, code_of, is_engine, judge, signal_of
from shaketable.agent.looks.exits import Answer, Comm, Event, Exec, Exit, Exits, Fork
from shaketable.agent.looks.lives import TICKS, Places, Process, Stat, stat_of
from shaketable.agent.looks.shortage import Shortage
from shaketable.agent.looks.signals import Lost, Marked, Sent, Signals

LAST: Final = 200
"""How many ends a look hands back at most."""
_LIVED, _USED = 0.5, 0.2
"""Seconds of life and of CPU from which on an end is told though nobody else had a part in it."""
_FAILED: Final = (0.2, 0.1)
"""The same for one that left with an error: a guard's end may come soon."""
_PACE: Final = 0.02
"""Seconds in which messages of processes are collected; signals are heard at once, while their senders are there."""
_RARELY: Final = 10
"""What uses no CPU is read in every so many looks."""
_OUTSIDE: Final = 100
"""How many programs that begin outside of the topology are looked at in a second: one of them may be inside of it."""
_TARGETS, _SIGNALS = 4096, 32
"""Processes and threads whose signals are kept, and how many of each."""
_KILL: Final = 9
_TOGETHER: Final = 0.05
"""Seconds after a victim within which the kernel ends those that share its memory."""
_WAIT: Final = 1.0
"""Seconds an end waits for that of its container's first process, which explains it."""

Reading = dict[str, Any]
_Sents = list[tuple[Sent, Source | None]]


class Ends:
    """Listens, and keeps what was heard. Raises KernelError when the kernel does not tell."""

    def __init__(self) -> None:
        self._exits = Exits()
        self._blind = ""
        self._signals: Signals | None = None
        try:
            self._signals = Signals()
        except (KernelError, OSError) as error:
            self._blind = str(error)
        self._lock = threading.Lock()
        self._places = Places({})
        self._instances: Mapping[str, Mapping[str, str]] = {}
        self._shortage = Shortage()
        self._processes: dict[int, Process] = {}
        self._sent: OrderedDict[int, _Sents] = OrderedDict()
        self._marked: dict[int, str] = {}
        self._marks: deque[Marked] = deque(maxlen=16)
        self._ended: deque[tuple[str, str]] = deque(maxlen=LAST)
        self._waiting: list[tuple[float, int, Reading]] = []
        self._verdicts: OrderedDict[int, tuple[Verdict, str]] = OrderedDict()
        self._budget = (0.0, 0)
        self._looks = 0
        self._wrong = ""
        threading.Thread(target=self._listen, name="ends", daemon=True).start()

    def see(self, instances: Mapping[str, Mapping[str, str]]) -> Reading:
        """Ends so far, as [instance, JSON text of an end], in order of time. Raises KernelError when some were lost.

        From then on there is an entry of no instance that says so, and is no JSON.
        """
        with self._lock:
            if instances != self._instances:
                self._instances, self._places = instances, Places(instances)
            self._take()
            self._look()
            self._settle()
            if self._wrong:
                wrong, self._wrong = self._wrong, ""
                self._ended.append(("", f"{wrong}, at {time.monotonic():.2f}"))  # no later look is whole again
                raise KernelError(wrong)
            return {"ends": [list(one) for one in self._ended], "blind": self._blind}

    def _listen(self) -> None:
        signals = self._signals.filenos() if self._signals else []
        either, soon = select.poll(), select.poll()
        either.register(self._exits.fileno(), select.POLLIN)
        for descriptor in signals:
            either.register(descriptor, select.POLLIN)
            soon.register(descriptor, select.POLLIN)
        while True:
            either.poll()
            rest = time.monotonic() + _PACE
            while True:
                with self._lock:
                    try:
                        self._take()
                    except Exception as error:  # whoever looks is to know
                        self._wrong = f"ends of processes may have been lost: {type(error).__name__}: {error}"
                left = rest - time.monotonic()
                if left <= 0 or not soon.poll(left * 1000):
                    break

    def _take(self) -> None:
        """Take in what the kernel has told since the last time, in its order."""
        told: list[Event | Sent | Marked] = []
        try:
            told += self._exits.events()
        except KernelError as error:
            self._wrong = str(error)
        for record in self._signals.records() if self._signals else ():  # after the ends that they explain
            if isinstance(record, Lost):
                self._wrong = f"{record.number} signals were lost: more were sent than could be read"
            else:
                told.append(record)
        for one in sorted((one for one in told if not isinstance(one, Answer)), key=lambda one: one.at):
            if isinstance(one, Sent):
                self._on_sent(one)
            elif isinstance(one, Marked):
                self._on_marked(one)
            elif isinstance(one, Fork):
                self._on_fork(one)
            elif isinstance(one, Exec):
                self._on_exec(one)
            elif isinstance(one, Comm):
                self._on_comm(one)
            else:
                self._on_exit(one)

    def _on_fork(self, fork: Fork) -> None:
        if fork.pid != fork.tgid:
            if owner := self._processes.get(fork.tgid):
                owner.threads += 1
        elif parent := self._processes.get(fork.parent):
            self._processes[fork.pid] = Process(fork.pid, parent.of, parent.cgroup, fork.at, parent.command)

    def _on_exec(self, event: Exec) -> None:
        process = self._processes.get(event.tgid)
        if process is None:
            second, count = int(event.at), self._budget[1]
            self._budget = (second, count + 1 if second == self._budget[0] else 1)
            if self._budget[1] <= _OUTSIDE:
                self._adopt(event.tgid)
            return
        # Another thread than the first may have asked for it; only that one is left, under the first one's id.
        process.stale, process.exit, process.threads = True, None, 1
        if process.of in self._places.hosts:  # what an engine starts goes into its container's cgroup before it begins
            source = self._source(event.tgid)
            if source and source[1] and source[0].of:
                process.of, process.cgroup = source[0].of, source[1]

    def _on_comm(self, event: Comm) -> None:
        if process := self._processes.get(event.tgid):
            process.command = event.command

    def _adopt(self, pid: int, where: tuple[str, str] | None = None) -> None:
        """Take a process up that nobody told of; `where` is its cgroup and whose it is."""
        if where is None:
            try:
                cgroup = cgroup_of(pid)
            except KernelError:
                return
            where = cgroup, self._places.whose(cgroup)
        if where[1] and (stat := stat_of(pid)) and stat.state not in "ZX":
            process = Process(pid, where[1], where[0], stat.start / TICKS, stat.command)
            process.learn(stat)
            self._processes[pid] = process

    def _on_sent(self, sent: Sent) -> None:
        target = self._processes.get(sent.target)
        sender = self._processes.get(sent.sender)
        source = None
        if sender:
            if sender.stale:
                self._read(sender)
            source = Source(sender.pid, sender.command, sender.of)
        elif target and sent.sender > 0:
            source = self._named(sent.sender)
        if target and sent.number == _KILL:
            self._read(target)  # the last thing that can be known of it
        if self._marks and sent.code > 0 and self._shares(sent) and target:
            self._marked.setdefault(sent.target, self._shortage.whose(target.cgroup, self._places.names))
        known = self._sent.setdefault(sent.target, [])
        if sent.number != _KILL or all(one.number != _KILL for one, _ in known):
            known.append((sent, source))
            del known[:-_SIGNALS]
        if len(self._sent) > _TARGETS:
            self._sent.popitem(last=False)

    def _shares(self, sent: Sent) -> bool:
        """Whether it is for one that shares the memory of a victim: that one is not marked itself."""
        last = self._marks[-1]
        return sent.number == _KILL and sent.thread == last.thread and 0 <= sent.at - last.at <= _TOGETHER

    def _on_marked(self, mark: Marked) -> None:
        self._marks.append(mark)
        if process := self._processes.get(mark.target):
            self._marked[mark.target] = self._shortage.whose(process.cgroup, self._places.names)

    def _named(self, pid: int) -> Source | None:
        found = self._source(pid)
        return found[0] if found else None

    def _source(self, pid: int) -> tuple[Source, str] | None:
        """Who a process is that nobody told of, and its cgroup; None when it is gone."""
        try:
            cgroup = cgroup_of(pid)
        except KernelError:
            return None
        stat = stat_of(pid)  # after its cgroup: one that has ended may have left it (cgroup v1)
        if stat is None or (stat.state in "ZX" and not is_engine(stat.command)):
            return None
        return Source(pid, stat.command, self._places.whose(cgroup)), cgroup

    def _on_exit(self, exit_: Exit) -> None:
        sent = self._sent.pop(exit_.pid, None) if self._sent else None
        process = self._processes.get(exit_.tgid)
        if process is None:
            return
        process.threads -= 1
        if sent:
            process.sent += sent
        if exit_.pid == exit_.tgid or process.exit:
            process.exit = exit_
            if process.threads <= 0:
                self._over(process)

    def _over(self, process: Process) -> None:
        """A process has ended, with all its threads."""
        end = process.exit
        assert end is not None, "it has"
        del self._processes[process.pid]
        limit = self._marked.pop(process.pid, "")
        number = signal_of(end.status)
        asked = any(sent.number in ASKS and sent.sender != process.pid for sent, _ in process.sent)
        awaited = any(first == process.pid for _, first, _ in self._waiting)
        lived = end.at - process.began
        least = _FAILED if code_of(end.status) else (_LIVED, _USED)
        told = number or asked or lived >= least[0] or process.cpu >= least[1]
        if not (told or awaited):
            return
        if (stat := stat_of(process.pid)) and (not process.start or stat.start == process.start):
            process.learn(stat)
        if self._blind and number == _KILL and self._shortage.killed(process.cgroup):
            limit = self._shortage.whose(process.cgroup, self._places.names)
        verdict = judge(self._facts(process, end, limit))
        self._verdicts[process.pid] = verdict, process.command
        if len(self._verdicts) > LAST:
            self._verdicts.popitem(last=False)
        entry = {
            "of": process.of,
            "pid": process.pid,
            "command": process.command[:15],
            "began": round(min(process.began, end.at), 3),
            "at": round(end.at, 6),
            "cpu": round(process.cpu, 3),
            "signal": number,
            "code": code_of(end.status),
            "by": verdict.by,
            "who": verdict.who,
        }
        if verdict.first:
            self._waiting.append((time.monotonic() + _WAIT, verdict.first, entry))
        elif told:
            self._tell(entry)

    def _facts(self, process: Process, end: Exit, limit: str) -> Facts:
        sources: dict[int, Source] = {}
        for sent, source in process.sent:
            if found := source or (self._named(sent.sender) if sent.sender > 0 else None):
                sources[sent.sender] = found
        forwarded = {}
        for sender in list(sources):
            forwarded[sender] = [sent for sent, _ in self._sent.get(sender, ())]
            sources |= {source.pid: source for _, source in self._sent.get(sender, ()) if source}
        told = sorted((one for one, _ in process.sent), key=lambda one: one.at)
        return Facts(process.pid, process.of, end.at, end.status, told, sources, limit, self._blind, forwarded)

    def _tell(self, entry: Reading) -> None:
        self._ended.append((entry["of"], json.dumps(entry, sort_keys=True, ensure_ascii=False)))

    def _settle(self) -> None:
        """Tell of ends that had to wait for another's, now that it is known, or never will be."""
        waiting, self._waiting = self._waiting, []
        for until, first, entry in waiting:
            known = self._verdicts.get(first)
            if known:
                verdict, command = known
                because = f": {verdict.who}" if verdict.who else ""
                entry |= {"by": verdict.by, "who": f"the end of its container's first process, {command}{because}"}
            if known or time.monotonic() > until:
                self._tell(entry)
            else:
                self._waiting.append((until, first, entry))

    def _look(self) -> None:
        """Look at what is in the cgroups."""
        self._looks += 1
        seen = set()
        for pid, cgroup, name in self._places.processes():
            seen.add(pid)
            process = self._processes.get(pid)
            if process is None:
                self._adopt(pid, (cgroup, name))
                continue
            process.of, process.cgroup, process.missing = name, cgroup, 0
            if process.stale or process.busy or (pid + self._looks) % _RARELY == 0:
                self._read(process)
        for process in [one for pid, one in self._processes.items() if pid not in seen]:
            self._absent(process)
        # A nested host is short of memory in its own name, whoever of those in it asks for some.
        self._shortage.watch(self._places.names)
        if self._blind:
            for cgroup in self._places.names:
                self._shortage.killed(cgroup)

    def _read(self, process: Process) -> Stat | None:
        stat = stat_of(process.pid)
        if stat and (not process.start or stat.start == process.start):
            process.learn(stat)
        return stat

    def _absent(self, process: Process) -> None:
        """Look after one that is in no cgroup of the topology any more: it ends, has ended, or lives elsewhere now."""
        stat = stat_of(process.pid)
        gone = stat is None or stat.dead or (process.start and stat.start != process.start)
        if process.exit:
            if gone:
                self._over(process)
            return
        process.missing += 1
        if process.missing > 3:  # its end was not told: it was lost, or it is not of the topology any more
            del self._processes[process.pid]


_LOCK: Final = threading.Lock()
_LISTENING: list[Ends] = []


def see(look: dict[str, Any]) -> Reading:
    """{"instances": {name: {"cgroup", "container"}}}, nested hosts too: {"ends": [[name, JSON text of model.kernel.End]]}.

    All since the first look, at most the last 200. "blind" says why nobody can be seen sending signals, if so. Raises
    KernelError when ends or signals were lost since the last look, or are not told at all.
    """
    with _LOCK:
        if not _LISTENING:
            _LISTENING.append(Ends())
    return _LISTENING[0].see(look["instances"])
