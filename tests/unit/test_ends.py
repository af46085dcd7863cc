"""What the kernel tells of ended processes: its messages as bytes, and who ended a process, by what was told."""

from __future__ import annotations

import json
import signal
import struct
import sys
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaketable.agent.kernel import KernelError
from shaketable.agent.looks import ends, exits, lives, signals
from shaketable.agent.looks.attribution import Facts, Source, Verdict, judge
from shaketable.agent.looks.exits import Comm, Exec, Exit, Fork
from shaketable.agent.looks.signals import BY_KERNEL, Format, Lost, Marked, Sent
from shaketable.model.history import Look
from shaketable.model.kernel import End, Ender
from shaketable.model.scenario import Holder
from shaketable.run.running import Places, Running

KILL, TERM, XCPU, SEGV, ALRM = 9, 15, int(signal.SIGXCPU), 11, 14
ME = 100
GENERATE = Format(261, {"sig": (8, 4), "code": (16, 4), "pid": (36, 4)})
VICTIM = Format(609, {"pid": (8, 4)})
FORMAT_TEXT = """name: signal_generate
ID: 261
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;
\tfield:int code;\toffset:16;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:20;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:36;\tsize:4;\tsigned:1;

name: mark_victim
ID: 609
format:
\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] comm;\toffset:12;\tsize:4;\tsigned:0;
"""


def message(what: int, *data: int, ns: int = 1_500_000_000) -> bytes:
    """One message of the process connector, as the kernel puts it."""
    body = struct.pack("=IIQ", what, 0, ns) + struct.pack("=6I", *(*data, 0, 0, 0, 0, 0, 0)[:6])
    head = struct.pack("=IIIIHH", 1, 1, 0, 0, len(body), 0)
    return struct.pack("=IHHII", 16 + len(head) + len(body), 3, 0, 0, 0) + head + body


def sample(number: int, sender: int, thread: int, ns: int, /, **fields: int) -> bytes:
    """One sample of a ring, as perf_event_open(2) describes it."""
    raw = bytearray(48)
    raw[:2] = number.to_bytes(2, sys.byteorder)
    for name, value in fields.items():
        at, size = {**VICTIM.fields, **(GENERATE.fields if number == GENERATE.number else {})}[name]
        raw[at : at + size] = value.to_bytes(size, sys.byteorder, signed=True)
    body = struct.pack("=iiQI", sender, thread, ns, len(raw)) + bytes(raw) + b"\0" * 4
    return struct.pack("=IHH", 9, 0, 8 + len(body)) + body


def test_messages_of_the_process_connector() -> None:
    """A fork names its parent and the new thread, an exit the wait status; times are seconds; the rest is passed over."""
    assert exits.parse(message(exits.FORK, 8, 7, 10, 10)) == Fork(1.5, 7, 10, 10)
    assert exits.parse(message(exits.EXEC, 11, 10)) == Exec(1.5, 10)
    assert exits.parse(message(exits.EXIT, 11, 10, 3 << 8, 17, 7, 7)) == Exit(1.5, 11, 10, 768)
    assert exits.parse(message(exits.NONE, 1)) == exits.Answer(1)
    name = struct.unpack("=4I", b"new name".ljust(16, b"\0"))
    assert exits.parse(message(exits.COMM, 10, 10, *name)) == Comm(1.5, 10, "new name")
    assert exits.parse(message(exits.COMM, 11, 10, *name)) is None, "a thread's own"
    assert exits.parse(message(0x80, 1, 1)) is None
    assert exits.parse(message(exits.EXIT, 1, 1)[:60]) is None


@given(st.binary(max_size=200), st.sampled_from([0, 2, 9]), st.integers(0, 220))
def test_no_message_is_too_odd(data: bytes, kind: int, size: int) -> None:
    """Whatever the bytes, reading them ends, and tells nothing but what there is a name for."""
    assert isinstance(exits.parse(data), exits.Event | None)
    found = list(signals.records(struct.pack("=IHH", kind, 0, size) + data, GENERATE, VICTIM))
    assert all(isinstance(one, signals.Record) for one in found)
    assert len(found) <= len(data) // 8 + 1


def test_what_a_tracepoint_looks_like_is_read_from_the_kernel() -> None:
    """The number and the places of the fields are taken from tracefs, arrays and dynamic fields included."""
    found = signals.formats(FORMAT_TEXT)
    assert found["signal_generate"].number == 261
    assert found["signal_generate"].fields["comm"] == (20, 16)
    assert {name: found["signal_generate"].fields[name] for name in GENERATE.fields} == GENERATE.fields
    assert found["mark_victim"].fields["pid"] == (8, 4)


def test_records_of_a_ring() -> None:
    """Samples tell who sent what to whom, victims whom the OOM killer picked, and what was lost is told as lost."""
    lost = struct.pack("=IHHQQ", 2, 0, 24, 1, 5)
    data = sample(261, 7, 8, 2_000_000_000, sig=KILL, code=-6, pid=ME) + lost + sample(609, 5, 5, 3_000_000_000, pid=ME)
    assert list(signals.records(data, GENERATE, VICTIM)) == [
        Sent(2.0, 7, 8, ME, KILL, -6),
        Lost(5),
        Marked(3.0, 5, ME),
    ]
    assert list(signals.records(data[:-1], GENERATE, VICTIM))[-1] == Lost(5), "half a record is none"


def test_a_tracepoint_without_the_field_is_refused() -> None:
    """A kernel whose record lacks what is needed is said to, and nothing is made up."""
    with pytest.raises(KernelError, match="has no field pid"):
        list(signals.records(sample(609, 1, 1, 1, pid=2), GENERATE, Format(609, {})))


def test_lists_of_cpus() -> None:
    """The kernel's own way to write which CPUs there are."""
    assert signals.cpus("0-3,5\n") == [0, 1, 2, 3, 5]
    assert signals.cpus("0") == [0]


def test_the_attribute_is_as_long_as_it_says() -> None:
    """The kernel refuses one whose size is none of its versions'; 112 bytes is the fifth."""
    text = signals.attributes(261)
    assert (len(text), struct.unpack_from("=I", text, 4)[0], struct.unpack_from("=i", text, 92)[0]) == (112, 112, 1)


def test_a_process_whose_name_is_odd() -> None:
    """A command may hold spaces and parentheses; what follows the last one is read."""
    text = b"7 (a) b (c) Z 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 4711 0 0"
    stat = lives.read_stat(text)
    assert (stat.command, stat.threads, stat.start, stat.dead) == ("a) b (c", 1, 4711, True)
    assert stat.cpu == pytest.approx(200 / lives.TICKS)


def test_whose_a_cgroup_is() -> None:
    """A process in a nested host is its container's; what is in no known container is the host's; the rest is nobody's."""
    places = lives.Places(
        {
            "server-1": {"cgroup": "freezer/docker/h"},
            "server-1/tenant-a": {"cgroup": "freezer/docker/h", "container": "t"},
            "entry": {"cgroup": "freezer/docker/e"},
        }
    )
    assert places.whose("freezer/docker/h/docker/t") == "server-1/tenant-a"
    assert places.whose("freezer/docker/h/docker/t/below") == "server-1/tenant-a"
    assert places.whose("freezer/docker/h/docker/other") == places.whose("freezer/docker/h") == "server-1"
    assert places.whose("freezer/docker/hh") == places.whose("") == ""
    assert places.hosts == {"server-1"}
    assert sorted(places.tops) == ["freezer/docker/e", "freezer/docker/h"]


SOURCES = {
    1: Source(1, "sh", "web"),
    2: Source(2, "lfd", "server-1/firewall"),
    3: Source(3, "runc", ""),
    4: Source(4, "docker-init", "web"),
    5: Source(5, "dockerd", "server-1"),
    6: Source(6, "earlyoom", ""),
}


def facts(status: int, *sent: tuple[float, int, int, int], limit: str = "", blind: str = "", **more: Any) -> Facts:
    """Of a process of `web` that ended at 100 s; signals as (when, sender, number, code)."""
    signals_ = [Sent(at, sender, sender, ME, number, code) for at, sender, number, code in sent]
    return Facts(ME, "web", 100.0, status, signals_, SOURCES, limit, blind, **more)


@pytest.mark.parametrize(
    ("what", "by", "who"),
    [
        (facts(0), "itself", ""),
        (facts(3 << 8), "guard", "itself, with exit code 3"),
        (facts(XCPU, (99.0, ME, XCPU, BY_KERNEL)), "guard", "its own limit (SIGXCPU)"),
        (facts(ALRM), "guard", "its own limit (SIGALRM)"),
        (facts(ALRM, (99.0, 2, ALRM, BY_KERNEL)), "guard", "its own limit (SIGALRM)"),
        (facts(ALRM, (99.0, 2, ALRM, 0)), "watchdog", "lfd of server-1/firewall"),
        (facts(KILL, (99.0, ME, KILL, BY_KERNEL)), "guard", "its own limit of CPU time (SIGKILL)"),
        (facts(SEGV | 0x80, (99.0, ME, SEGV, 1)), "guard", "itself (SIGSEGV)"),
        (facts(6, (99.0, ME, 6, -6)), "guard", "itself (SIGABRT)"),
        (facts(int(signal.SIGSYS)), "guard", "itself (SIGSYS)"),
        (facts(KILL, (99.0, 1, KILL, 0)), "guard", "sh of web"),
        (facts(KILL, (99.0, 2, KILL, 0)), "watchdog", "lfd of server-1/firewall"),
        (facts(KILL, (99.0, 6, KILL, 0)), "watchdog", "earlyoom outside of the topology"),
        (facts(KILL, (99.0, 3, KILL, 0)), "engine", "runc outside of the topology"),
        (facts(KILL, (99.0, 5, KILL, 0)), "engine", "dockerd of server-1"),
        (facts(KILL, (99.0, 9, KILL, 0)), "engine", "unknown: process 9 was gone before it could be looked at"),
        (facts(KILL), "engine", "unknown: nobody was seen to send it"),
        (facts(KILL, (99.0, 8, KILL, BY_KERNEL), limit="the memory limit of web"), "limit", "the memory limit of web"),
        (facts(TERM, (98.0, 1, TERM, 0), (99.0, 2, TERM, 0)), "watchdog", "lfd of server-1/firewall"),
        (facts(KILL, (98.0, 1, KILL, 0), (99.0, 2, KILL, 0)), "guard", "sh of web"),
        (facts(0, (95.0, 2, TERM, 0)), "watchdog", "lfd of server-1/firewall, which asked it by SIGTERM"),
        (facts(0, (80.0, 2, TERM, 0)), "itself", ""),
        (facts(1 << 8, (95.0, ME, TERM, 0)), "guard", "itself, with exit code 1"),
        (facts(TERM, (99.0, 4, TERM, 0)), "engine", "docker-init of web"),
    ],
)
def test_who_ended_it(what: Facts, by: str, who: str) -> None:
    """By the status and the signals: itself, the program's own guard, a limit, a watchdog, or the engine."""
    assert judge(what)[:2] == (by, who)


def test_a_victim_that_was_killed_before_was_not_killed_for_memory() -> None:
    """The OOM killer also marks what dies already: whoever killed it first is who ended it."""
    assert judge(facts(KILL, (99.0, 1, KILL, 0), limit="the memory limit of web"))[:2] == ("guard", "sh of web")


def test_what_ends_with_its_container_asks_for_the_first_process() -> None:
    """The kernel kills the rest of a pid namespace in the name of its first process, whose own end is the reason."""
    assert judge(facts(KILL, (99.0, 50, KILL, BY_KERNEL))) == Verdict(
        "engine", "the end of its container's first process", 50
    )


def test_a_first_process_that_sends_on_is_not_who_sent() -> None:
    """What docker-init sends was sent to it: by a watchdog, or by the engine."""
    for sender, by, who in ((2, "watchdog", "lfd of server-1/firewall"), (3, "engine", "runc outside of the topology")):
        told = {4: [Sent(98.9, sender, sender, 4, TERM, 0)]}
        found = judge(facts(TERM, (99.0, 4, TERM, 0), forwarded=told))
        assert found[:2] == (by, f"{who}, through docker-init of web")


@given(st.integers(1, 31), st.booleans())
def test_without_tracepoints_nobody_gets_the_credit(number: int, short: bool) -> None:
    """Where senders cannot be seen no watchdog is claimed, and `who` says why, unless the counters tell of memory."""
    found = judge(facts(number, limit="the memory limit of web" if short else "", blind="no tracefs"))
    assert found.by in ("limit", "guard", "engine")
    assert (found.by == "limit") == short
    assert short or "no tracepoints here" in found.who


@given(
    st.integers(0, 127) | st.sampled_from([256, 512, 139]),
    st.lists(st.tuples(st.floats(80, 100), st.integers(-1, 9), st.integers(1, 64), st.sampled_from([0, -6, 1, 128]))),
    st.booleans(),
)
def test_whatever_was_told_there_is_one_answer(status: int, sent: list[Any], short: bool) -> None:
    """Every status and any signals are judged, in the model's own words; code 0 with nobody asking is `itself` alone."""
    found = judge(facts(status, *sorted(sent), limit="the memory limit of web" if short else ""))
    assert found.by in get_args(Ender)
    assert (found.who == "") == (found.by == "itself")
    assert status == 0 or found.by != "itself"
    if status == 0 and not any(number in (2, 3, 15) for _, _, number, _ in sent):
        assert found.by == "itself"


class Quiet:
    """A kernel that tells what it is given, once."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.wrong = ""

    def take(self) -> list[Any]:
        """What there is."""
        if self.wrong:
            wrong, self.wrong = self.wrong, ""
            raise KernelError(wrong)
        told, self.told = self.told, []
        return told

    events = records = take

    def fileno(self) -> int:
        """Nothing to wait for."""
        return -1

    def filenos(self) -> list[int]:
        """Nothing to wait for."""
        return []


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> tuple[ends.Ends, Quiet, Quiet]:
    """A listener without a thread, and both of those that it hears."""
    kernel, tracepoints = Quiet(), Quiet()
    monkeypatch.setattr(ends, "Exits", lambda: kernel)
    monkeypatch.setattr(ends, "Signals", lambda: tracepoints)
    monkeypatch.setattr(ends.Ends, "_listen", lambda _: None)
    return ends.Ends(), kernel, tracepoints


def process(listener: ends.Ends, pid: int, of: str = "web", began: float = 10.0) -> None:
    """A process that was seen; its id is none that a kernel gives."""
    listener._processes[pid] = lives.Process(pid, of, "freezer/docker/w", began, "sleep", start=1)


HIGH = 1 << 23
"""Above the highest id of a process (PID_MAX_LIMIT is 2 to the 22nd): these tests never meet a real one."""


def told(listener: ends.Ends) -> list[End]:
    """What a look hands back, read as the model does."""
    return [End.model_validate_json(text) for _, text in listener.see({})["ends"]]


def test_children_are_known_by_their_parents(heard: tuple[ends.Ends, Quiet, Quiet]) -> None:
    """A child of a child belongs to the instance though nobody ever looked at it; a stranger's child does not."""
    listener, kernel, tracepoints = heard
    process(listener, HIGH)
    kernel.told = [
        *(Fork(20.0, HIGH, HIGH + 1, HIGH + 1), Fork(20.1, HIGH + 1, HIGH + 2, HIGH + 2)),
        *(Fork(20.2, 99, HIGH + 3, HIGH + 3), Exit(20.4, HIGH + 2, HIGH + 2, KILL)),
        *(Exit(20.4, HIGH + 3, HIGH + 3, KILL), Exit(20.45, HIGH + 1, HIGH + 1, 0)),
    ]
    tracepoints.told = [Sent(20.3, HIGH + 1, HIGH + 1, HIGH + 2, KILL, 0)]
    (end,) = told(listener)
    assert (end.pid, end.of, end.by, end.who, end.began) == (HIGH + 2, "web", "guard", "sleep of web", 20.1)
    assert end.signal == KILL


@pytest.mark.parametrize(
    ("lived", "code", "is_told"), [(0.4, 0, False), (0.6, 0, True), (0.1, 3, False), (0.3, 3, True)]
)
def test_what_was_short_and_nobodys_doing_is_not_told(
    lived: float, code: int, is_told: bool, heard: tuple[ends.Ends, Quiet, Quiet]
) -> None:
    """A life under half a second that ended by itself is nothing, one of a fifth that ended with an error may be a guard's."""
    listener, kernel, _ = heard
    process(listener, HIGH, began=10.0)
    kernel.told = [Exit(10.0 + lived, HIGH, HIGH, code << 8)]
    by = "guard" if code else "itself"
    assert [(end.pid, end.code, end.by) for end in told(listener)] == ([(HIGH, code, by)] if is_told else [])


def test_a_process_ends_with_its_last_thread(heard: tuple[ends.Ends, Quiet, Quiet]) -> None:
    """The end of the first thread alone is none; that of the last one says when and how."""
    listener, kernel, tracepoints = heard
    process(listener, HIGH)
    kernel.told = [Fork(11.0, 1, HIGH + 1, HIGH), Exit(12.0, HIGH, HIGH, 0)]
    listener._take()
    assert HIGH in listener._processes
    kernel.told = [Exit(13.0, HIGH + 1, HIGH, KILL)]
    tracepoints.told = [Sent(12.9, HIGH, HIGH, HIGH + 1, KILL, 0)]
    (end,) = told(listener)
    assert (end.at, end.signal, end.by) == (13.0, KILL, "guard")


def test_the_rest_of_a_container_waits_for_its_first_process(heard: tuple[ends.Ends, Quiet, Quiet]) -> None:
    """Its end is told with the reason of the first one's, which the kernel tells only after it."""
    listener, kernel, tracepoints = heard
    process(listener, HIGH)
    process(listener, HIGH + 1)
    process(listener, HIGH + 2, of="firewall")
    tracepoints.told = [
        Sent(20.0, HIGH + 2, HIGH + 2, HIGH, KILL, 0),
        Sent(20.1, HIGH, HIGH, HIGH + 1, KILL, BY_KERNEL),
    ]
    kernel.told = [Exit(20.2, HIGH + 1, HIGH + 1, KILL)]
    listener._take()
    listener._settle()
    assert not listener._ended
    kernel.told = [Exit(20.3, HIGH, HIGH, KILL)]
    found = {end.pid: end for end in told(listener)}
    assert {pid: end.by for pid, end in found.items()} == {HIGH: "watchdog", HIGH + 1: "watchdog"}
    assert found[HIGH + 1].who == "the end of its container's first process, sleep: sleep of firewall"


def test_lost_ends_are_said_to_be_lost(heard: tuple[ends.Ends, Quiet, Quiet]) -> None:
    """The look that lost some fails, and those after it have an entry that is no end: nobody takes them for whole."""
    listener, kernel, tracepoints = heard
    kernel.wrong = "ends of processes were lost"
    with pytest.raises(KernelError, match="ends of processes were lost"):
        listener.see({})
    ((of, text),) = listener.see({})["ends"]
    assert of == ""
    assert "were lost" in text
    tracepoints.told = [Lost(3)]
    with pytest.raises(KernelError, match="3 signals were lost"):
        listener.see({})


def test_at_most_the_last_ends_are_handed_back(heard: tuple[ends.Ends, Quiet, Quiet]) -> None:
    """However many end, a look stays small: the last 200, the oldest of them first."""
    listener, kernel, _ = heard
    for number in range(ends.LAST + 5):
        process(listener, HIGH + number)
        kernel.told.append(Exit(20.0 + number, HIGH + number, HIGH + number, 0))
    found = told(listener)
    assert [end.pid for end in found] == list(range(HIGH + 5, HIGH + ends.LAST + 5))


def test_lists_of_ends_by_instance() -> None:
    """`ends` is all of them, `ends server-1` also what runs in it, `ends front` that alone; what failed is unknown."""
    texts = {of: json.dumps({"of": of}) for of in ("front", "server-1", "server-1/web")}
    readings = [
        {"x": {"at": 1.0, "running": {}, "inside": {}}, "e": {"at": 1.0, "ends": [list(i) for i in texts.items()]}},
        {"x": {"at": 2.0, "running": {}, "inside": {}}, "e": {"at": 2.0, "error": "ends were lost"}},
    ]
    looks: list[Look] = []
    asked: list[Any] = []

    class Witness:
        """Gives its readings, and then the last one again."""

        lost = False

        def look(self, what: Any) -> Any:
            asked.append(what)
            return readings[min(len(asked), len(readings)) - 1]

        def leave(self) -> None:
            """Be dismissed."""

    lists = {"all": "ends", "host": "ends server-1", "one": "ends front", "in": "ends server-1/web"}
    where = Places({"front": "docker/f"}, {"server-1": "docker/h"}, {"a" * 64: "server-1/web"}, {"front": "docker/f"})
    running = Running(
        {"k": Holder(kind="containers", lists=lists, every=0.01)},
        where,
        Witness(),  # type: ignore[arg-type]
        configured={},
        on_look=looks.append,
        on_beat=lambda _: None,
    )
    while len(asked) < 3:
        assert not running.lost
    running.stop()
    first = {look.list: look.entries for look in looks if look.at == 1.0}
    assert first == {
        "all": tuple(texts.values()),
        "host": (texts["server-1"], texts["server-1/web"]),
        "one": (texts["front"],),
        "in": (texts["server-1/web"],),
    }
    assert {look.list: look.entries for look in looks if look.at == 2.0} == dict.fromkeys(lists)
    assert asked[0]["e"]["instances"] == {
        "front": {"cgroup": "docker/f"},
        "server-1": {"cgroup": "docker/h"},
        "server-1/web": {"cgroup": "docker/h", "container": "a" * 64},
    }
