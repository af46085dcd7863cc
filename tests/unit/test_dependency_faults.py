"""DNS messages, HTTP messages that pass through unchanged, and what the witness must see of both faults."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shaketable.agent.changes import names, proxy
from shaketable.faults import CATALOGUE, Seen, UnfitError, residue, witness
from shaketable.ports import Member, Target

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
PEER = Target("peer", (Member("peer", "p", 7, 8, "f/p", holds_namespace=True, netns=9),), (), (), ("10.0.0.3",))
WEB = Target(
    "web",
    (Member("web", "c", 4, 5, "f/c", holds_namespace=True, netns=6),),
    (),
    (("10.0.0.2", 8000),),
    ("10.0.0.2",),
    peers=(PEER,),
)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """A DNS reader raises ValueError, or gives something; nothing else, whatever it is given."""
    for read in (names.question, names.read_answer):
        with contextlib.suppress(ValueError):
            read(data)


@given(st.lists(LABEL, min_size=1, max_size=5), st.lists(st.ip_addresses(v=4).map(str), max_size=5, unique=True))
def test_an_answer_says_what_was_put_into_it(labels: list[str], addresses: list[str]) -> None:
    """The question, its number, and the addresses come back as they went in."""
    asked = names.query(".".join(labels))
    found = names.question(asked)
    assert (found.name, found.kind, found.end) == (".".join(labels), names.A, len(asked))
    assert names.read_answer(names.answer(asked, addresses)) == (found.number, 0, sorted(addresses))
    assert names.read_answer(names.answer(asked, [], 3))[1:] == (3, [])


BODY = st.binary(max_size=300)


def chunked(pieces: list[bytes]) -> bytes:
    """A chunked body with a trailer."""
    return b"".join(b"%x;ext=1\r\n%b\r\n" % (len(p), p) for p in pieces if p) + b"0\r\nX-Trailer: 1\r\n\r\n"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(BODY, st.lists(BODY, max_size=4)), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_requests_and_answers_pass_through_unchanged(bodies: list[bytes | list[bytes]], cut: Any) -> None:
    """However a message is framed and wherever its bytes are split, both sides get exactly what the other sent."""

    def message(first: bytes, body: bytes | list[bytes]) -> bytes:
        if isinstance(body, bytes):
            return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (first, len(body), body)
        return b"%b\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (first, chunked(body))

    asked = [message(b"POST /%d HTTP/1.1" % n, body) for n, body in enumerate(bodies)]
    told = [message(b"HTTP/1.1 200 OK", body) for body in reversed(bodies)]
    assert asyncio.run(_through(asked, told, cut)) == (b"".join(asked), b"".join(told))


async def _send(writer: asyncio.StreamWriter, data: bytes, cut: Any) -> None:
    while data:
        size = cut.randint(1, len(data))
        writer.write(data[:size])
        await asyncio.sleep(0)
        data = data[size:]


async def _through(asked: list[bytes], told: list[bytes], cut: Any) -> tuple[bytes, bytes]:
    """What the server got and what the client got, when these go through the proxy on one connection."""
    got = b""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        for ask, tell in zip(asked, told, strict=True):
            got += await reader.readexactly(len(ask))
            await _send(writer, tell, cut)
        writer.close()

    upstream = await asyncio.start_server(server, "127.0.0.1", 0)
    fault = {"path": "/nowhere", "share": 1.0, "ip": "127.0.0.1", "to": upstream.sockets[0].getsockname()[1]}
    mine = proxy._Proxy(fault)
    listening = await asyncio.start_server(mine.serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    heard = b""
    for ask, tell in zip(asked, told, strict=True):
        await _send(writer, ask, cut)
        heard += await reader.readexactly(len(tell))
    writer.close()
    mine.over.set()
    listening.close()
    upstream.close()
    return got, heard


def test_what_is_no_http_passes_through_and_goodbyes_too() -> None:
    """A client that speaks something else is passed on as it is, and each side hears of the other's goodbye."""
    assert asyncio.run(_other_protocol()) == (b"HELO\r\n\r\nMORE", b"250 ok")


async def _other_protocol() -> tuple[bytes, bytes]:
    got = asyncio.get_running_loop().create_future()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())
        writer.write(b"250 ok")
        writer.close()

    upstream = await asyncio.start_server(server, "127.0.0.1", 0)
    fault = {"path": "/", "share": 1.0, "ip": "127.0.0.1", "to": upstream.sockets[0].getsockname()[1]}
    listening = await asyncio.start_server(proxy._Proxy(fault).serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(b"HELO\r\n\r\nMORE")
    writer.write_eof()
    heard = await reader.read()
    listening.close()
    upstream.close()
    return await got, heard


@pytest.mark.parametrize(
    ("first", "of", "size"),
    [
        ("GET / HTTP/1.1", None, 0),
        ("POST / HTTP/1.1\r\nContent-Length: 7", None, 7),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", None, -1),
        ("HTTP/1.1 200 OK", "GET / HTTP/1.1", -2),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9", "HEAD / HTTP/1.1", 0),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9", "GET / HTTP/1.1", 0),
    ],
)
def test_where_a_message_ends(first: str, of: str | None, size: int) -> None:
    """RFC 9112, section 6.3: by method, status and fields."""
    asked = None if of is None else proxy.head(f"{of}\r\n\r\n".encode())
    assert proxy.head(f"{first}\r\n\r\n".encode(), of=asked).size == size


def http(outcomes: dict[str, int], seconds: float = 0.01, **given: Any) -> Seen:
    """Outcomes of requests; all were answered before."""
    params = CATALOGUE["http"].params(port=8000, **given)
    all_ = sum(outcomes.values())
    answered = sum(n for outcome, n in outcomes.items() if outcome.isdigit())
    before = {"http": {"at": 1.0, "outcomes": {"200": all_}, "seconds": [0.01] * all_}}
    return Seen(WEB, params, before, {"http": {"at": 2.0, "outcomes": outcomes, "seconds": [seconds] * answered}})


@pytest.mark.parametrize(
    ("outcomes", "seconds", "given", "effective"),
    [
        ({"503": 5}, 0.01, {"mode": "error"}, True),
        ({"503": 4, "200": 1}, 0.01, {"mode": "error"}, False),
        ({"500": 5}, 0.01, {"mode": "error"}, False),
        ({"silent": 5}, 0.0, {"mode": "hang"}, True),
        ({"200": 5}, 1.2, {"mode": "slow", "delay": 1.0}, True),
        ({"200": 5}, 0.5, {"mode": "slow", "delay": 1.0}, False),
        ({"503": 31, "200": 29}, 0.01, {"mode": "error", "share": 0.5}, True),
        ({"503": 60}, 0.01, {"mode": "error", "share": 0.5}, False),
        ({"200": 60}, 0.01, {"mode": "error", "share": 0.5}, False),
    ],
)
def test_the_share_of_answers_is_the_proof(
    outcomes: dict[str, int], seconds: float, given: Any, effective: bool
) -> None:
    """As many answers as asked for are bad, in the way asked for."""
    assert (witness(CATALOGUE["http"], http(outcomes, seconds, **given)).at is not None) == effective
    assert bool(residue(CATALOGUE["http"], http(outcomes, seconds, **given))) == (
        set(outcomes) != {"200"} or seconds > 1
    )


@pytest.mark.parametrize(
    ("before", "now", "mode", "left"),
    [
        ({"200": 60}, {"200": 58, "silent": 2}, "error", False),
        ({"200": 58, "silent": 2}, {"200": 60}, "error", False),
        ({"200": 60}, {"200": 59, "503": 1}, "error", True),
        ({"200": 60}, {"200": 59, "silent": 1}, "hang", True),
        ({"200": 60}, {"200": 40, "refused": 20}, "error", True),
        ({"200": 60}, {"404": 60}, "error", True),
    ],
)
def test_what_is_left_is_what_the_fault_answered(
    before: dict[str, int], now: dict[str, int], mode: str, left: bool
) -> None:
    """None of the fault's own answers, and nearly all as before: a busy service may leave one unanswered by itself."""
    seen = http(now, mode=mode, share=0.5)
    seconds = [0.01] * 60
    seen = replace(seen, before={"http": {"at": 1.0, "outcomes": before, "seconds": seconds}})
    assert bool(residue(CATALOGUE["http"], seen)) == left


def test_what_was_so_before_is_no_proof() -> None:
    """A server that erred before cannot show that the fault made it err."""
    seen = http({"503": 5}, mode="error")
    before = {"http": {"at": 1.0, "outcomes": {"503": 5}, "seconds": [0.01] * 5}}
    assert "before, too" in witness(CATALOGUE["http"], replace(seen, before=before)).seen
    assert CATALOGUE["http"].params(port=80, mode="error", path="/api/status?x=1").path


def test_a_port_that_nobody_serves_is_no_dependency() -> None:
    """The message names host and port."""
    with pytest.raises(UnfitError, match="web does not listen on port 9"):
        CATALOGUE["http"].plan_for(WEB, CATALOGUE["http"].params(port=9, mode="error"))


def dns(now: dict[str, Any], **given: Any) -> Seen:
    """The peer's name resolved, and now this."""
    before = {"code": 0, "addresses": ["10.0.0.3"], "seconds": 0.001}
    looks = [{"resolve": {"at": 1.0, "names": {"peer": found}}} for found in (before, {**before, **now})]
    return Seen(WEB, CATALOGUE["dns"].params(**given), *looks)


@pytest.mark.parametrize(
    ("now", "given", "effective"),
    [
        ({"code": 3, "addresses": []}, {"mode": "gone"}, True),
        ({}, {"mode": "gone"}, False),
        ({"code": None, "addresses": []}, {"mode": "gone"}, False),
        ({"addresses": ["192.0.2.1"]}, {"mode": "stale", "name": "peer"}, True),
        ({"addresses": ["192.0.2.2"]}, {"mode": "stale", "name": "peer"}, False),
        ({"seconds": 1.1}, {"mode": "slow"}, True),
        ({"seconds": 0.9}, {"mode": "slow"}, False),
        ({"code": 3, "addresses": []}, {"mode": "gone", "name": "other"}, False),
    ],
)
def test_a_name_resolves_as_asked_for(now: dict[str, Any], given: Any, effective: bool) -> None:
    """The name concerned does what was asked for, and another one, where a name is given, what it did before."""
    assert (witness(CATALOGUE["dns"], dns(now, **given)).at is not None) == effective


def test_a_stale_answer_needs_its_name() -> None:
    """Every name leading to one address would be no incident that anybody has had."""
    with pytest.raises(ValidationError, match="needs the name"):
        CATALOGUE["dns"].params(mode="stale")


def test_rules_lead_only_what_is_concerned_and_spare_the_proxy() -> None:
    """HTTP by its port as it comes in; DNS as it goes out, unless it is the proxy's own."""
    web = CATALOGUE["http"].plan_for(WEB, CATALOGUE["http"].params(port=8000, mode="error"))
    (rules,) = [s for s in web.steps if s["do"] == "rules"]
    assert rules["table"] == "nat"
    assert rules["in"][0].startswith("-p tcp --dport 8000 -j REDIRECT")
    lookups = CATALOGUE["dns"].plan_for(replace(WEB), CATALOGUE["dns"].params(mode="gone"))
    (rules,) = [s for s in lookups.steps if s["do"] == "rules"]
    assert all("--dport 53" in r and "! --mark" in r for r in rules["out"])
    assert lookups.undo[0]["table"] == "nat"
