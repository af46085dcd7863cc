"""Disks that can lose power, fill up or stall alone: an ext4 in a file of ours behind a loop device.

Without power what was not synced is gone (EXT4_IOC_SHUTDOWN without a flush of the log); when nothing holds the file
system any more it can be mounted again, as after a real reboot. Nothing else on the machine is on such a disk.
Sources: kernel Documentation/admin-guide/blockdev/loop.rst, include/uapi/linux/loop.h, fs/ext4/ext4.h (shutdown),
ioctl_fs(2) FIFREEZE and FITHAW, open(2) O_TMPFILE.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shaketable.agent.children import Ready
from shaketable.agent.kernel import KernelError, started

IMAGES: Final = Path("/disks")
"""A volume of the run's own, mounted there by the harness."""
_DEVICES: Final = Path("/host/dev")
_LOOP_GET_FREE, _LOOP_CONFIGURE, _LOOP_CLR_FD = 0x4C82, 0x4C0A, 0x4C01
_EXT4_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_FREEZE, _THAW = 0xC0045877, 0xC0045878
_ATTEMPTS: Final = 20
_FREE: Final = 5.0
"""Seconds until nobody holds the file system of a disk without power any more."""
_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a process sees one of our disks."""

    pid: int
    path: str
    device: str

    @property
    def reached(self) -> str:
        """The same place, seen from the engine's machine."""
        return f"/proc/{self.pid}/root{self.path}"


def attach(name: str, size: int) -> str:
    """Make a disk of `size` bytes with an empty ext4, and give its device: `loop3`. Raises KernelError, all undone."""
    image = IMAGES / f"{name}.img"
    try:
        descriptor = os.open(image, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KernelError(f"the disk {name} cannot be made: {error.strerror}") from error
    try:
        os.truncate(descriptor, size)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", str(image))
        return _configure(descriptor, f"{name}.img")
    except (OSError, KernelError) as error:
        with contextlib.suppress(OSError):
            image.unlink()
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise KernelError(f"the disk {name} cannot be made: {words}") from error
    finally:
        os.close(descriptor)


def _configure(image: int, name: str) -> str:
    """Put a free loop device before an image; somebody else may take the one we were told of."""
    info = struct.pack("=QQQQQIIII64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, 0, name.encode()[:63], b"", b"", 0, 0)
    control = os.open(_DEVICES / "loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_GET_FREE)
            with _device(f"loop{number}") as device:
                try:
                    fcntl.ioctl(device, _LOOP_CONFIGURE, struct.pack("=II", image, 0) + info + bytes(64))
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    continue
            return f"loop{number}"
    finally:
        os.close(control)
    raise KernelError("no loop device stays free")


@contextlib.contextmanager
def _device(name: str) -> Iterator[int]:
    descriptor = os.open(_DEVICES / name, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def detach(step: dict[str, Any]) -> None:
    """{"name": disk}: take it away, at once or when its last holder goes; harmless when it is gone."""
    for device, name in _attached().items():
        if name == f"{step['name']}.img":
            with contextlib.suppress(FileNotFoundError), _device(device) as descriptor:
                try:
                    fcntl.ioctl(descriptor, _LOOP_CLR_FD)
                except OSError as error:
                    if error.errno != errno.ENXIO:
                        raise KernelError(f"the disk {step['name']} stays: {error.strerror}") from error
    with contextlib.suppress(FileNotFoundError):
        (IMAGES / f"{step['name']}.img").unlink()


def sweep(run: str) -> list[str]:
    """Let the writes to a run's disks go on and take them all away, whoever made them; the problems, if any."""
    problems = []
    for device, image in _attached().items():
        if image.startswith(f"st-{run}-"):
            try:
                resume({"device": device})
                detach({"name": image.removesuffix(".img")})
            except KernelError as error:
                problems.append(str(error))
    return problems


def _attached() -> dict[str, str]:
    """Name of the image of each loop device that is a disk of ours."""
    found = {}
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            name = file.read_text().strip().removesuffix(" (deleted)").rpartition("/")[2]
            if name.startswith("st-") and name.endswith(".img"):
                found[file.parent.parent.name] = name
    return found


def _numbers() -> dict[str, str]:
    """Device by its numbers, as `7:3`, for every disk of ours."""
    found = {}
    for device in _attached():
        with contextlib.suppress(OSError):
            found[Path(f"/sys/block/{device}/dev").read_text().strip()] = device
    return found


def mounts(pid: int) -> list[Mount]:
    """The disks of ours that a process sees."""
    ours = _numbers()
    return _mounts(pid, ours) if ours else []


def _mounts(pid: int, ours: dict[str, str]) -> list[Mount]:
    found: dict[str, Mount] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
            fields = line.split(" ")
            if device := ours.get(fields[2]):
                found.setdefault(device, Mount(pid, fields[4].encode().decode("unicode_escape"), device))
    return list(found.values())


def mount_at(step: dict[str, Any]) -> Mount:
    """The disk of ours that a path of the target is on. Raises KernelError when it is on none."""
    if started(step["pid"]) != step["start"]:
        raise KernelError(f"{step['member']} has ended since it was resolved")
    path = Path(step["path"])
    for mount in mounts(step["pid"]):
        if path == Path(mount.path) or Path(mount.path) in path.parents:
            return mount
    raise KernelError(
        f"{step['path']} of {step['member']} is on no disk of its own, and the engine's disk is never touched: "
        "name a volume in x-shaketable.volumes of the compose file"
    )


def _everywhere(device: str) -> list[Mount]:
    """One mount of a device in each mount namespace that has any."""
    ours = {numbers: name for numbers, name in _numbers().items() if name == device}
    seen: set[int] = set()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and ours:
            with contextlib.suppress(OSError):
                space = (entry / "ns/mnt").stat().st_ino
                if space not in seen:
                    seen.add(space)
                    found += _mounts(int(entry.name), ours)
    return found


def power_off(step: dict[str, Any]) -> None:
    """{"path", "device", **member.step}: from this instant nothing reaches the disk. Raises KernelError."""
    mount = mount_at(step)
    if mount.device != step["device"]:
        raise KernelError(f"{step['path']} of {step['member']} is on {mount.device} now, not on {step['device']}")
    try:
        descriptor = os.open(mount.reached, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"{step['path']} of {step['member']} cannot be opened: {error.strerror}") from error
    try:
        fcntl.ioctl(descriptor, _EXT4_SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
    except OSError as error:
        raise KernelError(f"the disk at {step['path']} of {step['member']} stays on: {error.strerror}") from error
    finally:
        os.close(descriptor)


def free(step: dict[str, Any]) -> None:
    """{"device"}: wait until nobody holds a file system without power on it. Raises KernelError after 5 s."""
    deadline = time.monotonic() + _FREE
    while Path(f"/sys/fs/ext4/{step['device']}").exists():
        held = _everywhere(step["device"])
        if held and not any(map(_without_power, held)):
            return
        if time.monotonic() > deadline:
            raise KernelError(f"{step['device']} has no power and is still mounted, so it cannot be mounted anew")
        time.sleep(0.01)


def _without_power(mount: Mount) -> bool:
    try:
        next(Path(mount.reached).iterdir(), None)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def stall(step: dict[str, Any]) -> None:
    """{"path", **member.step}: every write to the disk waits from now on. Raises KernelError."""
    mount = mount_at(step)
    try:
        _frozen(mount.reached, _FREEZE)
    except OSError as error:
        raise KernelError(
            f"the disk at {step['path']} of {step['member']} cannot be stalled: {error.strerror}"
        ) from error


def resume(step: dict[str, Any]) -> None:
    """{"device"}: let the writes go on; harmless when it is not stalled, or gone. Raises KernelError when it stays so."""
    if step["device"] not in _attached() or not Path(f"/sys/fs/ext4/{step['device']}").exists():
        return
    for mount in _everywhere(step["device"]):
        try:
            _frozen(mount.reached, _THAW)
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is not stalled
                return
            continue
        return
    # A stalled file system outlives its last mount: another mount, in a namespace of its own, is the way to it.
    device = _DEVICES / step["device"]
    _run("unshare", "-m", "sh", "-c", f"mount -t ext4 {device} /mnt && {{ fsfreeze -u /mnt; umount /mnt; }}")


def _frozen(path: str, request: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, 0)
    finally:
        os.close(descriptor)


def fill(request: dict[str, Any], ready: Ready) -> None:
    """{"path", "leave": bytes, **member.step}: take the space of the disk, in a file that has no name and ends with us."""
    mount = mount_at(request)
    file = os.open(mount.reached, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    taken, piece = 0, 1 << 30
    while piece >= _BLOCK:
        room = os.statvfs(mount.reached)
        piece = min(piece, room.f_bavail * room.f_frsize - int(request["leave"]))
        try:
            if piece >= _BLOCK:
                os.posix_fallocate(file, taken, piece)
                taken += piece
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece //= 2
    ready(taken=taken)
    signal.pause()


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"{words[0]} could not be run: {error}") from error
    if done.returncode:
        raise KernelError(f"{words[0]}: {done.stderr.strip()[:300]}")
