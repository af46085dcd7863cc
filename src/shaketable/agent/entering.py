"""Running a program of a target's own, where the target runs: in its namespaces and as one of its users.

It is the target's program, so it gets nothing of ours: no capability, and none to be gained by a file.
Sources: setns(2), capabilities(7), prctl(2).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

_ENTER: Final = """
import ctypes, os, sys, warnings  # the last one for os.execvp, which would look for it in there
pid, start, uid, gid = map(int, sys.argv[1:5])
spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in sys.argv[5].split(",")]
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
def end_with_parent():
    must(libc.prctl(1, 9, 0, 0, 0))  # PR_SET_PDEATHSIG: it ends with whoever holds its input
end_with_parent()
must(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
must(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()))
if "pid" in sys.argv[5]:  # only a child is in that namespace: pid_namespaces(7)
    there, here = os.pipe()
    if child := os.fork():
        os.write(here, b"!")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(code if code >= 0 else 128 - code)
    end_with_parent()  # not inherited; whoever ended before this has closed the pipe
    os.close(here)
    if not os.read(there, 1):
        sys.exit("whoever asked has gone")
os.execvp(sys.argv[6], sys.argv[6:])
"""


def enter(
    pid: int, start: int, uid: int, gid: int, words: Sequence[str], *, among_its_processes: bool = False
) -> list[str]:
    """Words that run `words` in the network, UTS, IPC and mount namespaces of the process `pid` that began at `start`.

    `among_its_processes` is for what may send signals: it is in the process namespace too, so that the numbers that it
    reads in there are those that it signals. That takes a second process, which waits for it.

    The first one is looked for in PATH, in there. The program ends with whoever runs it.
    """
    spaces = "net,uts,ipc,mnt,pid" if among_its_processes else "net,uts,ipc,mnt"
    return [sys.executable, "-S", "-c", _ENTER, *map(str, (pid, start, uid, gid)), spaces, *words]
