"""The few things the agent asks of the kernel: cgroups, links, processes. Standard library only; each call is milliseconds.

Every function that changes something first checks that the thing is still the one resolved before the trial (inode,
interface index, process start time), because ids are reused and the wrong link once took a machine off its network.
Sources: kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst, proc(5), netdevice(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import time
from pathlib import Path

CGROUPS = Path("/host/cgroup")
"""The engine host's cgroup file system, mounted there by the harness."""

_RUNTIMES = ("runc", "crun")
"""What a container's first process is called while the engine still prepares it."""
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFINDEX = 0x8913, 0x8914, 0x8933
_IFF_UP = 0x1
_LISTEN = "0A"
_MAPPED = "0000000000000000FFFF0000"
"""What stands before an IPv4 address in one of IPv6."""


class KernelError(Exception):
    """The kernel refused, or the target is no longer what was resolved; the message says which and why."""


def own_netns() -> int:
    """Inode of the agent's own network namespace, which is the engine host's."""
    return Path("/proc/self/ns/net").stat().st_ino


def netns(pid: int) -> int:
    """Inode of a process's network namespace. Raises KernelError when the process is gone."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError as error:
        raise KernelError(f"process {pid} has no readable network namespace: {error.strerror}") from error


def started(pid: int) -> int:
    """Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), or 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def first_process(cgroup: str) -> tuple[int, int] | None:
    """Id and start of the first process of the life that a container has now, by its cgroup; None while it has none.

    What the engine still prepares there, and is to become the container's program, is none yet.
    """
    with contextlib.suppress(OSError):
        pids = map(int, (CGROUPS / cgroup / "cgroup.procs").read_text().split())
        start, pid = min(((start, pid) for pid in pids if (start := started(pid))), default=(0, 0))
        if pid and not Path(f"/proc/{pid}/comm").read_text(errors="replace").startswith(_RUNTIMES):
            return pid, start
    return None


def cgroup_of(pid: int) -> str:
    """Folder of a process's freezer cgroup below CGROUPS, as `freezer/docker/ID` (v1) or `docker/ID` (v2)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError as error:
        raise KernelError(f"process {pid} is gone") from error
    unified = ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "freezer" in controllers.split(","):
            return f"freezer{path}"
        if not controllers:
            unified = path.lstrip("/")
    if not unified:
        raise KernelError(f"process {pid} is in no cgroup of its own; the agent freezes whole cgroups only")
    return unified


def _freezer(cgroup: str) -> tuple[Path, bool]:
    """(folder, is it v1)."""
    folder = CGROUPS / cgroup
    return folder, cgroup.startswith("freezer/")


def freeze(cgroup: str) -> None:
    """Ask the kernel to freeze every task of a cgroup; `frozen` tells when it has. Raises KernelError."""
    folder, v1 = _freezer(cgroup)
    _write(folder / ("freezer.state" if v1 else "cgroup.freeze"), "FROZEN" if v1 else "1")


def thaw(cgroup: str) -> None:
    """Undo `freeze`; a cgroup that is gone or was never frozen is fine."""
    folder, v1 = _freezer(cgroup)
    with contextlib.suppress(FileNotFoundError, OSError):
        (folder / ("freezer.state" if v1 else "cgroup.freeze")).write_text("THAWED" if v1 else "0")


def frozen(cgroup: str) -> bool:
    """Whether the kernel reports every task of the cgroup as frozen; False for a cgroup that is gone."""
    folder, v1 = _freezer(cgroup)
    try:
        if v1:
            return (folder / "freezer.state").read_text().strip() == "FROZEN"
        return "frozen 1" in (folder / "cgroup.events").read_text()
    except OSError:
        return False


def thawed(cgroup: str) -> bool:
    """Whether nothing of the cgroup is frozen or freezing; True for a cgroup that is gone."""
    folder, v1 = _freezer(cgroup)
    try:
        if v1:
            return (folder / "freezer.state").read_text().strip() == "THAWED"
        return (folder / "cgroup.freeze").read_text().strip() == "0"
    except OSError:
        return True


def processes(cgroup: str) -> list[int]:
    """Process ids in the cgroup and in those below it; empty when it is gone."""
    found: list[int] = []
    for folder in (CGROUPS / cgroup, *(CGROUPS / cgroup).glob("**/")):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    return sorted(set(found))


def signal_pid(pid: int, start: int, number: int) -> bool:
    """Send a signal to a process if it is still the one that started at `start`; False if it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if started(pid) != start:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def kill_cgroup(cgroup: str, *, limit: float = 2.0) -> bool:
    """SIGKILL everything in a cgroup, thawing it so that they die. True when it is empty within `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        pids = processes(cgroup)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        thaw(cgroup)
        if not pids:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)


def within(outer: int, inner: int) -> int:
    """Pid, as this process sees it, of the one that the process `outer` sees as `inner`. Raises KernelError.

    `outer` is the first process of a container with a pid namespace of its own, and what it may hold is below its cgroup.
    """
    level = len(_pids_of(outer))
    for pid in processes(cgroup_of(outer)):
        if _pids_of(pid)[level - 1 : level] == [inner]:
            return pid
    raise KernelError(f"there is no process {inner} in the container of process {outer}")


def _pids_of(pid: int) -> list[int]:
    """A process's ids in each pid namespace it is in, the outermost first (NSpid, proc(5)); empty when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[1:]]
    return []


def gateway(pid: int) -> str:
    """Address of the default route's gateway in the process's network namespace; empty if it has none."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and int(fields[3], 16) & 2:  # RTF_GATEWAY
                return socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    return ""


def links(pid: int, outer: int = 0) -> list[tuple[str, int, str]]:
    """Outside name and index, and name within, of each veth pair of the process's network namespace.

    Outside is the engine host, or the nested host whose first process is `outer`. Raises KernelError for a target in
    the host's own namespace, and for a link whose other end cannot be proven to be in the target.
    """
    if netns(pid) == own_netns():
        raise KernelError("the target shares the engine host's own network; it is never touched")
    inside = Path(f"/proc/{pid}/root/sys/class/net")
    outside = Path(f"/proc/{outer}/root/sys/class/net" if outer else "/sys/class/net")
    try:
        names = [entry.name for entry in inside.iterdir() if entry.name != "lo"]
    except OSError as error:
        raise KernelError(f"the links of process {pid} cannot be read: {error}") from error
    # A nested host has bridges and their ports beside its link to the outside, and these come and go.
    has_bridges = any((inside / name / "bridge").exists() for name in names)
    names = [name for name in names if not any((inside / name / sign).exists() for sign in ("bridge", "brport"))]
    ends = {_index(outside / entry.name): entry.name for entry in outside.iterdir()}
    found = []
    for own in names:
        index, peer = _index(inside / own), _index(inside / own, "iflink")
        name = ends.get(peer, "") if peer else ""
        if index and name and index != peer and _index(outside / name, "iflink") == index:
            found.append((name, peer, own))
        elif not has_bridges:
            raise KernelError(f"interface {own} of process {pid} is not a veth with its other end on the host")
    if has_bridges and not found:
        raise KernelError(f"no interface of process {pid} is a veth with its other end on the host")
    return sorted(found)


def _index(link: Path, what: str = "ifindex") -> int:
    """Number of an interface, or with `iflink` of its other end; 0 for one that goes away this very moment."""
    try:
        return int((link / what).read_text())
    except (OSError, ValueError):
        return 0


def link_is_up(name: str, index: int) -> bool | None:
    """Whether a host-side link is administratively up; None when it (that very index) no longer exists."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            if _ifindex(control, name) != index:
                return None
            return bool(_ifflags(control, name) & _IFF_UP)
        except OSError:
            return None


def set_link(name: str, index: int, *, up: bool) -> None:
    """Set a host-side link up or down. Raises KernelError unless it is still the link that was resolved."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            if _ifindex(control, name) != index:
                raise KernelError(f"link {name} is another one than before (index {index} expected)")
            flags = _ifflags(control, name)
            flags = flags | _IFF_UP if up else flags & ~_IFF_UP
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags))
        except OSError as error:
            raise KernelError(f"link {name} cannot be set {'up' if up else 'down'}: {error.strerror}") from error


def _ifindex(control: socket.socket, name: str) -> int:
    answer = fcntl.ioctl(control, _SIOCGIFINDEX, struct.pack("16sI12x", name.encode(), 0))
    return int(struct.unpack("16sI12x", answer)[1])


def _ifflags(control: socket.socket, name: str) -> int:
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
    return int(struct.unpack("16sH14x", answer)[1])


def addresses(pid: int) -> list[str]:
    """IPv4 addresses of the process's network namespace, loopback left out (from /proc/PID/net/fib_trie)."""
    found, address = [], ""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/net/fib_trie").read_text().splitlines():
            if "|-- " in line:
                address = line.rpartition(" ")[2]
            elif "/32 host LOCAL" in line and not address.startswith("127."):
                found.append(address)
    return list(dict.fromkeys(found))


def sockets(cgroup: str) -> set[int]:
    """Inodes of the sockets that the processes of a cgroup have open."""
    found = set()
    for pid in processes(cgroup):
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    name = str(entry.readlink())
                    if name.startswith("socket:["):
                        found.add(int(name[8:-1]))
    return found


def listening(pid: int, owned: set[int]) -> list[tuple[str, int]]:
    """TCP addresses on which one of the `owned` sockets (inodes) listens for others: "" for all of them, never loopback."""
    places = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                local, state, inode = line.split()[1], line.split()[3], int(line.split()[9])
                address, _, port = local.partition(":")
                bound = _bound(address)
                if state == _LISTEN and bound is not None and inode in owned:
                    places.add((bound, int(port, 16)))
    return sorted(places)


def _bound(address: str) -> str | None:
    """IPv4 address of a socket, from the kernel's hexadecimal: "" for all, None for loopback and for one of IPv6 alone."""
    last = address.removeprefix(_MAPPED)
    if not last.strip("0"):
        return ""
    if len(last) != 8 or last.endswith("7F"):  # it is little-endian: 127.x comes last
        return None
    return socket.inet_ntoa(struct.pack("<I", int(last, 16)))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise KernelError(f"{path.name} of {path.parent.name[:12]} cannot be written: {error.strerror}") from error
