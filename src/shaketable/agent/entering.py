"""Running a program of a target's own, where the target runs: in its namespaces and as one of its users.

It is the target's program, so it gets nothing of ours: no capability, and none to be gained by a file.
Sources: setns(2), capabilities(7), prctl(2).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

_ENTER: Final = """
import ctypes, os, sys
pid, start, uid, gid = map(int, sys.argv[1:5])
spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "uts", "ipc", "mnt")]
with open(f"/proc/{pid}/stat") as stat:  # what was opened is the target's if it still is the one that was resolved
    if int(stat.read().rpartition(")")[2].split()[19]) != start:
        sys.exit("the target has ended")
libc = ctypes.CDLL(None, use_errno=True)
def must(failed):
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
for space in spaces:
    must(libc.setns(space, 0))
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
must(libc.prctl(1, 9, 0, 0, 0))  # PR_SET_PDEATHSIG: it ends with whoever holds its input
must(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
must(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()))
os.execvp(sys.argv[5], sys.argv[5:])
"""


def enter(pid: int, start: int, uid: int, gid: int, words: Sequence[str]) -> list[str]:
    """Words that run `words` in the network, UTS, IPC and mount namespaces of the process `pid` that began at `start`.

    The first one is looked for in PATH, in there. The program ends with whoever runs it.
    """
    return [sys.executable, "-S", "-c", _ENTER, *map(str, (pid, start, uid, gid)), *words]
