"""A database's own client, run where the database runs: in the namespaces of its container, as its user.

The client's standard input stays open for as long as a session is to last; when this process ends the client reads the
end of it and leaves, and the server rolls back. Sources: setns(2), capabilities(7), psql(1), mariadb(1).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from shaketable.agent.changes.ends import commands
from shaketable.agent.children import Ready
from shaketable.agent.entering import enter
from shaketable.agent.kernel import KernelError, netns, own_netns, started

READY: Final = "shaketable-ready"
_CLIENTS: Final[dict[str, tuple[str, ...]]] = {
    # Debian's /usr/bin/psql is a wrapper that starts slowly; the client itself lies beside the server.
    "postgresql": ("usr/lib/postgresql/*/bin/psql", "usr/local/bin/psql", "usr/bin/psql"),
    "mariadb": ("usr/bin/mariadb", "usr/local/bin/mariadb", "usr/bin/mysql", "usr/local/bin/mysql"),
}
_SERVERS: Final = {"postgresql": {"postgres"}, "mariadb": {"mariadbd", "mysqld"}}
_MOST: Final = 500
_STATEMENT: Final = 6.0
"""Seconds a statement may take; it gives up waiting for somebody else's lock before that."""
_CONNECT: Final = 5.0
"""Seconds a server has that has just been started."""
_NOT_YET = re.compile(
    r"starting up|could not connect|connection to server|Can't connect|not yet accepting|shutting down"
)
FULL: Final = re.compile(r"too many clients|remaining connection slots|Too many connections")


class ClientError(KernelError):
    """The client or the server refused, in its own words."""


def dialect(step: dict[str, Any]) -> str:
    """`postgresql` or `mariadb`, by the server that runs in the target. Raises KernelError when neither does."""
    return _client(step)[0]


def _client(step: dict[str, Any]) -> tuple[str, str]:
    if started(step["pid"]) != step["start"]:
        raise KernelError(f"{step['member']} has ended since it was resolved")
    if netns(step["pid"]) in (own_netns(), 0):
        raise KernelError(f"{step['member']} shares the engine host's own network; it is never entered")
    running = {Path(words.split(" ")[0].rstrip(":")).name for _, _, words in commands(step["cgroup"]) if words}
    name = next((name for name, servers in _SERVERS.items() if servers & running), None)
    if name is None:
        raise KernelError(f"neither PostgreSQL nor MariaDB runs in {step['member']}")
    root = Path(f"/proc/{step['pid']}/root")
    for place in _CLIENTS[name]:
        for found in sorted(root.glob(place), reverse=True):
            return name, f"/{found.relative_to(root)}"
    raise KernelError(f"{step['member']} runs {name} but has no client of it, as {' or '.join(_CLIENTS[name])}")


def _ids(step: dict[str, Any], user: str) -> tuple[int, int]:
    """User and group id of a user of the target; root's for one it does not know."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{step['pid']}/root/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return int(fields[2]), int(fields[3])
    return 0, 0


def open_client(step: dict[str, Any], mark: str, *, goes_on: bool = False) -> subprocess.Popen[str]:
    """Start a client in a session of its own; with `goes_on` it goes on after a statement that was refused."""
    name, path = _client(step)
    user = step.get("user") or ("postgres" if name == "postgresql" else "root")
    uid, gid = _ids(step, user)
    words = enter(step["pid"], step["start"], uid, gid, [path])
    database, socket = step.get("database"), step.get("socket")
    if name == "postgresql":
        words += ["-X", "-q", "-A", "-t", "-U", user, "-d", database or "postgres"]
        words += [] if goes_on else ["-v", "ON_ERROR_STOP=1"]
        words += ["-h", socket] if socket else []
    else:
        words += ["-N", "-B", "-n", "-u", user, *(["-f"] if goes_on else [])]
        words += [*(["-S", socket] if socket else []), *([database] if database else [])]
    secret = step.get("password", "")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/",
        "LC_ALL": "C",
        "PGAPPNAME": mark,
        "PGCONNECT_TIMEOUT": "3",
        **({"PGPASSWORD": secret, "MYSQL_PWD": secret} if secret else {}),
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def marker(name: str) -> str:
    """A statement whose answer is READY: what was said before it is done."""
    return f"\\echo {READY}\n" if name == "postgresql" else f"SELECT '{READY}';\n"


def ask(step: dict[str, Any], statements: str, mark: str = "shaketable") -> str:
    """Give the output of statements, in a session of their own. Raises ClientError with the client's words."""
    client = open_client(step, mark)
    try:
        said, wrong = client.communicate(statements, timeout=_STATEMENT)
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"the database of {step['member']} did not answer within {_STATEMENT:g} s") from error
    finally:
        client.kill()
        client.wait()
    if client.returncode:
        raise ClientError(_last(wrong) or f"the client of {step['member']} ended with {client.returncode}")
    return said.strip()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "ERROR" in line or "FATAL" in line), lines[0] if lines else "")[:300]


def patiently(step: dict[str, Any], statements: str, mark: str = "shaketable") -> str:
    """As `ask`, and again for a while when the server does not take connections yet."""
    deadline = time.monotonic() + _CONNECT
    while True:
        try:
            return ask(step, statements, mark)
        except ClientError as error:
            if time.monotonic() > deadline or not (_NOT_YET.search(str(error)) or FULL.search(str(error))):
                raise
            time.sleep(0.05)


def sessions(request: dict[str, Any], ready: Ready) -> None:
    """{"sql": {dialect: statements}, "count": number or None, "mark", **member.step}: sessions that stay where they are.

    `{n}` in the statements is the session's number. None opens as many as the server lets in.
    """
    name = dialect(request)
    wanted = request["count"]
    held: list[subprocess.Popen[str]] = []
    while len(held) < (_MOST if wanted is None else wanted):
        try:
            held.append(session(request, name, len(held)))
        except ClientError as error:
            if wanted is None and held and FULL.search(str(error)):
                ready(sessions=len(held))
                signal.pause()
            raise
    if wanted is None:
        raise KernelError(f"{request['member']} lets {_MOST} sessions in and more; name a count")
    ready(sessions=len(held))
    signal.pause()


def session(request: dict[str, Any], name: str, number: int) -> subprocess.Popen[str]:
    """One session of `sessions`, with its statements done. Raises ClientError."""
    deadline = time.monotonic() + _CONNECT
    while True:
        client = open_client(request, request["mark"], goes_on=request.get("goes_on", False))
        try:
            _begin(client, request["sql"][name].replace("{n}", str(number)) + marker(name), request["member"])
        except ClientError as error:
            client.kill()
            client.wait()
            if number or time.monotonic() > deadline or not _NOT_YET.search(str(error)) or FULL.search(str(error)):
                raise
            time.sleep(0.05)
        else:
            return client


def _begin(client: subprocess.Popen[str], statements: str, member: str) -> None:
    """Wait until the statements are done. Raises ClientError."""
    assert client.stdin is not None
    assert client.stdout is not None
    assert client.stderr is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended, and says why
        client.stdin.write(statements)
        client.stdin.flush()
    deadline, said = time.monotonic() + _STATEMENT, ""
    while READY not in said:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([client.stdout], [], [], left)[0]:
            raise ClientError(
                f"the database of {member} did not do it within {_STATEMENT:g} s: {statements.strip()[:120]}"
            )
        piece = os.read(client.stdout.fileno(), 4096).decode(errors="replace")
        if not piece:
            raise ClientError(_last(client.stderr.read()) or f"the client of {member} ended")
        said += piece


def do(step: dict[str, Any]) -> None:
    """{"sql": {dialect: statements}, "nothing": text, **member.step}: carry statements out once.

    Raises KernelError with the text `nothing` when they answer nothing.
    """
    if not patiently(step, step["sql"][dialect(step)]):
        raise KernelError(f"{step['member']}: {step['nothing']}")


def end(step: dict[str, Any]) -> None:
    """{"sql": {dialect: statements}, **member.step}: end sessions of ours that live on; quiet when the target is gone."""
    if started(step["pid"]) != step["start"]:
        return
    patiently(step, step["sql"][dialect(step)])


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"ask": {name: {dialect: statements}}, **member.step}: {"answers": {name: output}, "refused": {name: the words}}."""
    name = dialect(look)
    answers: dict[str, str] = {}
    refused: dict[str, str] = {}
    for what, sql in look["ask"].items():
        try:
            answers[what] = ask(look, sql[name], "shaketable-witness")
        except ClientError as error:
            refused[what] = str(error)
    return {"dialect": name, "answers": answers, "refused": refused}
