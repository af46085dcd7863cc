"""What the kernel's files say of links, processes and sockets, read from a made-up machine below a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shaketable.agent import kernel

CONTAINER, HOST, INSIDE = 11, 31, 41
"""First processes of a container, of a nested host, and of what runs in that."""


class Machine:
    """Files of a machine below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("/proc/self/ns/net")

    def write(self, path: str, text: str = "") -> None:
        """Make a file."""
        file = Path(f"{self.root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def process(self, pid: int, *ids: int, cgroup: str = "/", name: str = "x", began: int = 0) -> None:
        """A process with a network of its own, and its ids in each pid namespace."""
        self.write(f"/proc/{pid}/ns/net")
        self.write(f"/proc/{pid}/comm", f"{name}\n")
        self.write(f"/proc/{pid}/status", f"Name:\tx\nNSpid:\t{chr(9).join(map(str, ids or (pid,)))}\nThreads:\t1\n")
        self.write(f"/proc/{pid}/stat", f"{pid} (x) S 1 " + "0 " * 17 + f"{began or pid * 10} 0\n")
        self.write(f"/proc/{pid}/cgroup", f"9:name=systemd:/x\n6:cpu,freezer:{cgroup}\n0::/\n")
        with Path(f"{self.root}/host/cgroup/freezer{cgroup}/cgroup.procs").open("a") as file:
            file.write(f"{pid}\n")

    def interface(self, root: str, name: str, index: int, other: int, *signs: str) -> None:
        """An interface; `other` is the index of its other end, its own where it has none."""
        folder = f"{root}/sys/class/net/{name}"
        self.write(f"{folder}/ifindex", f"{index}\n")
        self.write(f"{folder}/iflink", f"{other}\n")
        for sign in signs:
            self.write(f"{folder}/{sign}/x")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A container, and a nested host with something running in it."""
    found = Machine(tmp_path)
    monkeypatch.setattr(kernel, "Path", lambda path: Path(f"{tmp_path}{path}"))
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path / "host/cgroup")
    for folder in ("c", "h/docker/w", "h/docker/v"):
        (tmp_path / "host/cgroup/freezer/docker" / folder).mkdir(parents=True)
    found.process(CONTAINER, CONTAINER, 1, cgroup="/docker/c")
    found.process(HOST, HOST, 1, cgroup="/docker/h")
    found.process(INSIDE, INSIDE, 77, 1, cgroup="/docker/h/docker/w")
    found.process(INSIDE + 1, INSIDE + 1, 78, 77, cgroup="/docker/h/docker/w")
    found.process(INSIDE + 2, INSIDE + 2, 79, 1, cgroup="/docker/h/docker/v")
    return found


def test_a_process_is_found_by_its_id_in_the_nested_host(machine: Machine) -> None:
    """What a nested host's engine calls 77 is another number out here, and what its container calls 77 is another one."""
    assert kernel.within(HOST, 77) == INSIDE
    assert kernel.within(HOST, 1) == HOST
    with pytest.raises(kernel.KernelError, match="no process 1234 in the container of process 31"):
        kernel.within(HOST, 1234)


def test_a_process_elsewhere_is_none_of_the_hosts(machine: Machine) -> None:
    """Only what is below the host's own cgroup counts, whatever ids others have."""
    machine.process(61, 61, 80, cgroup="/docker/c")
    machine.process(62, 81, cgroup="/docker/h/docker/w")  # in no pid namespace below the machine's
    for inner in (80, 81):
        with pytest.raises(kernel.KernelError, match="no process"):
            kernel.within(HOST, inner)


def test_nothing_is_found_in_a_host_that_is_gone(machine: Machine) -> None:
    """Neither when it never was, nor when it ends while it is looked at."""
    with pytest.raises(kernel.KernelError, match="process 99 is gone"):
        kernel.within(99, 1)
    Path(f"{machine.root}/proc/{HOST}/status").unlink()
    with pytest.raises(kernel.KernelError, match="no process 1 in"):
        kernel.within(HOST, 1)


def test_a_link_is_two_ends_that_name_each_other(machine: Machine) -> None:
    """The outer end is the one whose index the inner one names, and which names the inner one's."""
    machine.interface("", "lo", 1, 1)
    machine.interface("", "eth0", 2, 2)
    machine.interface("", "veth7", 7, 6)
    machine.interface("", "vethz", 9, 8)
    machine.interface(f"/proc/{CONTAINER}/root", "lo", 1, 1)
    machine.interface(f"/proc/{CONTAINER}/root", "eth0", 6, 7)
    assert kernel.links(CONTAINER) == [("veth7", 7, "eth0")]
    machine.interface(f"/proc/{CONTAINER}/root", "eth1", 8, 9)
    assert kernel.links(CONTAINER) == [("veth7", 7, "eth0"), ("vethz", 9, "eth1")]


@pytest.mark.parametrize(
    ("index", "other", "why"),
    [(6, 2, "a link of the machine's own"), (6, 99, "nothing"), (6, 6, "itself"), (2, 2, "the machine's uplink")],
)
def test_a_link_whose_other_end_is_not_proven_is_refused(machine: Machine, index: int, other: int, why: str) -> None:
    """Taking down what only looks like the other end once took a machine off its network."""
    machine.interface("", "eth0", 2, 2)
    machine.interface("", "veth7", 7, 5)
    machine.interface(f"/proc/{CONTAINER}/root", "eth0", index, other)
    with pytest.raises(kernel.KernelError, match="interface eth0 of process 11 is not a veth"):
        kernel.links(CONTAINER)


def test_the_machines_own_network_is_never_touched(machine: Machine) -> None:
    """A target that shares it has no links for us."""
    space = Path(f"{machine.root}/proc/{CONTAINER}/ns/net")
    space.unlink()
    os.link(f"{machine.root}/proc/self/ns/net", space)
    with pytest.raises(kernel.KernelError, match="it is never touched"):
        kernel.links(CONTAINER)


def test_the_bridges_of_a_nested_host_are_not_its_links(machine: Machine) -> None:
    """It has one link to the outside; bridges, their ports and what else its engine makes come and go."""
    machine.interface("", "veth30", 30, 20)
    root = f"/proc/{HOST}/root"
    machine.interface(root, "lo", 1, 1)
    machine.interface(root, "docker0", 2, 2, "bridge")
    machine.interface(root, "br-1", 3, 3, "bridge")
    machine.interface(root, "veth5", 5, 4, "brport")
    machine.interface(root, "veth9", 9, 8)  # made, and in no bridge yet
    machine.interface(root, "eth0", 20, 30)
    Path(f"{machine.root}{root}/sys/class/net/veth99").mkdir()  # gone while it is looked at
    assert kernel.links(HOST) == [("veth30", 30, "eth0")]
    machine.write("/sys/class/net/veth30/iflink", "21")
    with pytest.raises(kernel.KernelError, match="no interface of process 31 is a veth with its other end"):
        kernel.links(HOST)


def test_the_links_of_what_runs_inside_are_in_its_host(machine: Machine) -> None:
    """An end with the same index on the machine itself is somebody else's."""
    machine.interface("", "veth-of-another", 5, 4)
    machine.interface(f"/proc/{HOST}/root", "docker0", 2, 2, "bridge")
    machine.interface(f"/proc/{HOST}/root", "veth5", 5, 4, "brport")
    machine.interface(f"/proc/{INSIDE}/root", "eth0", 4, 5)
    assert kernel.links(INSIDE, HOST) == [("veth5", 5, "eth0")]


def test_what_runs_in_its_hosts_own_network_has_no_links(machine: Machine) -> None:
    """`network_mode: host` within a nested host: its links are the host's."""
    for root in (f"/proc/{HOST}/root", f"/proc/{INSIDE}/root"):
        machine.interface(root, "docker0", 2, 2, "bridge")
        machine.interface(root, "eth0", 20, 30)
    with pytest.raises(kernel.KernelError, match="no interface of process 41"):
        kernel.links(INSIDE, HOST)


ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("rows", "address"),
    [
        (
            "eth0\t00000000\t0100E80A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0000E80A\t00000000\t0001\t0\n",
            "10.232.0.1",
        ),
        ("eth0\t0000E80A\t0200E80A\t0003\t0\n", ""),
        ("tun0\t00000000\t00000000\t0001\t0\n", ""),
        ("", ""),
    ],
    ids=["a gateway", "of one network", "a default without", "none"],
)
def test_the_gateway_is_that_of_the_default_route(machine: Machine, rows: str, address: str) -> None:
    """From inside it is the nested host's address; other routes and those without a gateway are none."""
    machine.write(f"/proc/{INSIDE}/net/route", ROUTES + rows)
    assert kernel.gateway(INSIDE) == address
    assert kernel.gateway(99) == "", "a process that is gone has none"


def row(local: str, state: str, inode: int) -> str:
    """A line of /proc/PID/net/tcp."""
    return (
        f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100\n"
    )


MAPPED = "0000000000000000FFFF0000"


@pytest.mark.parametrize(
    ("table", "local", "place"),
    [
        ("tcp", "00000000:1F90", ("", 8080)),
        ("tcp", "0300000A:0050", ("10.0.0.3", 80)),
        ("tcp", "0100007F:0050", None),
        ("tcp", "0B00007F:0035", None),
        ("tcp6", f"{'0' * 32}:1F90", ("", 8080)),
        ("tcp6", f"{MAPPED}00000000:1F90", ("", 8080)),
        ("tcp6", f"{MAPPED}0300000A:0050", ("10.0.0.3", 80)),
        ("tcp6", f"{MAPPED}0100007F:0050", None),
        ("tcp6", f"{'0' * 24}01000000:0050", None),
        ("tcp6", "000000FD000000000000000003000000:0050", None),
    ],
)
def test_where_others_can_reach_it(machine: Machine, table: str, local: str, place: tuple[str, int] | None) -> None:
    """Every address, or one of IPv4 (also as written in IPv6); never loopback, nor one that only IPv6 leads to."""
    machine.write(f"/proc/{CONTAINER}/net/{table}", "  sl  local_address\n" + row(local, "0A", 500))
    assert kernel.listening(CONTAINER, {500}) == ([place] if place else [])
    assert kernel.listening(CONTAINER, {501}) == [], "a neighbour's in the same network"
    machine.write(f"/proc/{CONTAINER}/net/{table}", "  sl  local_address\n" + row(local, "01", 500))
    assert kernel.listening(CONTAINER, {500}) == [], "a connection is no listener"


def test_the_first_process_of_a_container(machine: Machine) -> None:
    """The oldest in its cgroup; none that the engine still prepares, and none of one that is gone."""
    machine.process(CONTAINER - 1, 40, cgroup="/docker/c", began=5000)
    assert kernel.first_process("freezer/docker/c") == (CONTAINER, CONTAINER * 10)
    assert kernel.first_process("freezer/docker/h/docker/w") == (INSIDE, INSIDE * 10)
    assert kernel.first_process("freezer/docker/h") == (HOST, HOST * 10), "and not that of what runs in it"
    (machine.root / "host/cgroup/freezer/docker/next").mkdir()
    assert kernel.first_process("freezer/docker/next") is None
    machine.process(51, 51, 1, cgroup="/docker/next", name="runc:[2:INIT]")
    assert kernel.first_process("freezer/docker/next") is None
    machine.process(51, 51, 1, cgroup="/docker/next", name="python3")
    assert kernel.first_process("freezer/docker/next") == (51, 510)
    assert kernel.first_process("freezer/docker/gone") is None
