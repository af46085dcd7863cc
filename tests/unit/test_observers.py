"""Readers: what they ask, where an answer ends, and what it says; on real answers, and on anything at all."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaketable.observers import READERS, BadHolderError, Reader, ReadError, make_reader
from shaketable.observers.pattern import Pattern, Patterns

DATA = Path(__file__).parent / "data" / "observers"
"""Answers of real holders: etcd 3.4 (with and without a transaction) and HAProxy 2.6 with its prompts."""
KEYS = {"servers": "/servers/{host}", "services": "/services/{service}/{host}"}
BACKENDS = {"servers": "servers/{host}", "services": "{service}/{host:host-*}"}
ARRAYS = {"servers": "servers", "services": "services"}

ETCD = READERS["etcd"]("registry:2379", KEYS, "/")
HAPROXY = READERS["haproxy"]("haproxy:9999", BACKENDS, "/")
HTTP_JSON = READERS["http-json"]("back-office-1:8081", ARRAYS, "/lists")
GAUGES = make_reader("http-json", "queue:8081", ARRAYS, "/lists", {"backlog": "depth"})
ALL = [ETCD, HAPROXY, HTTP_JSON, GAUGES]


def http(body: bytes, *, status: str = "200 OK", head: str = "") -> bytes:
    """Write an answer with a length."""
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(parts: list[bytes], trailer: bytes = b"") -> bytes:
    """Write an answer in chunks."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    return head + b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p) for p in parts if p) + b"0\r\n" + trailer + b"\r\n"


def lists(reader: Reader, answer: bytes) -> dict[str, tuple[str, ...]]:
    """Read the first answer."""
    found = reader.take(answer)
    assert found is not None
    return reader.parse(found[0])


def question(reader: Reader) -> tuple[str, dict[str, object]]:
    """Take an etcd request apart: method and path, and the body."""
    head, _, body = reader.request.partition(b"\r\n\r\n")
    return head.split(b" HTTP")[0].decode(), json.loads(body)


def test_etcd_reads_several_prefixes_in_one_transaction() -> None:
    """Rule: all lists of a registry are of the same moment, and only their own keys are asked for."""
    where, body = question(ETCD)
    assert where == "POST /v3/kv/txn"
    ranges = [one["request_range"] for one in body["success"]]  # type: ignore[attr-defined]
    assert [(b64decode(r["key"]), b64decode(r["range_end"])) for r in ranges] == [
        (b"/servers/", b"/servers0"),
        (b"/services/", b"/services0"),
    ]
    assert all(r["keys_only"] and r["serializable"] for r in ranges)


@pytest.mark.parametrize(
    ("keys", "first", "end"),
    [
        ({"a": "/s/{host}"}, b"/s/", b"/s0"),
        ({"a": "/s/{host}", "b": "/s/x/{service}/{host}"}, b"/s/", b"/s0"),
        ({"a": "{service}/{host}"}, b"\0", b"\0"),
    ],
)
def test_etcd_asks_one_range_where_one_prefix_covers_all(keys: dict[str, str], first: bytes, end: bytes) -> None:
    """Rule: a prefix inside another one is not read twice; no prefix means all keys."""
    where, body = question(READERS["etcd"]("r:1", keys, "/"))
    assert where == "POST /v3/kv/range"
    assert (b64decode(str(body["key"])), b64decode(str(body["range_end"]))) == (first, end)


@pytest.mark.parametrize("file", ["etcd-3.4-txn.http", "etcd-3.4-range.http"])
def test_etcd_real_answers(file: str) -> None:
    """Rule: what a real etcd answers becomes entries `host` and `host/service`."""
    found = lists(ETCD, (DATA / file).read_bytes())
    assert found["services"] == ("host-1/orders", "host-2/orders")
    assert found["servers"] == (("host-1", "host-2") if "txn" in file else ())


def test_etcd_without_keys_is_an_empty_list() -> None:
    """Rule: an empty registry is a list without entries, not an unreadable one."""
    assert lists(ETCD, http(b'{"header":{"revision":"1"}}')) == {"servers": (), "services": ()}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"error":"no"}', b'{"header":{},"kvs":{}}', b'{"header":{},"kvs":[{"key":"%%"}]}',
     b'{"header":{},"kvs":[3]}', b'{"responses":3}', b'{"responses":[{}]}', b"[" * 100_000],
)  # fmt: skip
def test_etcd_refuses_what_etcd_never_says(body: bytes) -> None:
    """Rule: an answer that is not understood is a ReadError, never an empty list."""
    with pytest.raises(ReadError):
        ETCD.parse(body)


def test_haproxy_real_answer_lists_what_gets_traffic() -> None:
    """Rule: listed are servers that are up or unchecked; not those down, in maintenance, draining or of weight 0.

    In the recorded table host-3 of `servers` was disabled in the configuration and enabled since, catalog/host-1 is in
    maintenance, catalog/host-3 has weight 0, orders/host-1 drains, host-2 is down everywhere, once only by `track`.
    """
    data = (DATA / "haproxy-2.6-servers-state.txt").read_bytes()
    opening = HAPROXY.take(data)
    assert opening == (b"", 3)
    assert lists(HAPROXY, data[3:]) == {"servers": ("host-1", "host-3"), "services": ()}


def test_haproxy_no_check_and_every_service() -> None:
    """Rule: `{service}/{host}` becomes `host/service`, and backends that match no pattern are ignored."""
    header = (DATA / "haproxy-2.6-servers-state.txt").read_bytes().split(b"\n")[2]
    row = b"4 %s 1 %s 127.0.0.1 2 0 1 1 2 1 0 2 0 0 0 0 - 7003 - 0 0 - - 0\n"
    table = b"".join(
        row % pair for pair in [(b"servers", b"host-1"), (b"orders", b"host-1"), (b"pages", b"back-office-1")]
    )
    found = lists(HAPROXY, b"1\n" + header + b"\n" + table + b"\n> ")
    assert found == {"servers": ("host-1",), "services": ("host-1/orders",)}


@pytest.mark.parametrize("body", [b"", b"Permission denied\n", b"Can't find backend.\n", b"1\n# be_name\n", b"2\n1\n"])
def test_haproxy_refuses_what_is_no_table(body: bytes) -> None:
    """Rule: a refusal is a ReadError, never an empty list."""
    with pytest.raises(ReadError):
        HAPROXY.parse(body)


def test_haproxy_asks_for_the_one_backend_it_needs() -> None:
    """Rule: with a single literal backend only that one is dumped."""
    assert READERS["haproxy"]("h:1", {"a": "web/{host}"}, "/").request == b"show servers state web\n"
    assert HAPROXY.request == b"show servers state\n"


def test_http_json_reads_named_arrays() -> None:
    """Rule: entries are taken as they are, sorted; what is listed twice stays twice."""
    body = json.dumps({"servers": ["b", "a", "a"], "services": [], "more": 1}).encode()
    assert lists(HTTP_JSON, http(body)) == {"servers": ("a", "a", "b"), "services": ()}


@pytest.mark.parametrize(
    "body", [b"{}", b'{"servers":[1],"services":[]}', b'{"servers":"a","services":[]}', b"1" * 9999]
)
def test_http_json_refuses_a_missing_list(body: bytes) -> None:
    """Rule: a list that is missing or not made of strings is a ReadError, never an empty list."""
    with pytest.raises(ReadError):
        HTTP_JSON.parse(body)


@pytest.mark.parametrize(("number", "entry"), [(0, "0"), (12, "12"), (2.50, "2.5"), (-3, "-3"), (1e9, "1000000000")])
def test_http_json_reads_gauges(number: float, entry: str) -> None:
    """Rule: a gauge is a named number in the same answer, as one entry."""
    answer = {"servers": ["host-1"], "services": [], "depth": number}
    found = {"servers": ("host-1",), "services": (), "backlog": (entry,)}
    assert lists(GAUGES, http(json.dumps(answer).encode())) == found


@pytest.mark.parametrize("number", ['"3"', "true", "null", "[1]", "NaN", "Infinity", "1e999", "9" * 400, ""])
def test_http_json_refuses_what_is_no_number(number: str) -> None:
    """Rule: text, truth, nothing, or what no float can hold is no gauge; nor is one that is missing."""
    depth = f', "depth": {number}' if number else ""
    with pytest.raises(ReadError, match="answered without the gauge: 'depth' is"):
        GAUGES.parse(f'{{"servers": [], "services": []{depth}}}'.encode())


def test_only_http_json_has_gauges() -> None:
    """Rule: a holder that cannot have what it is asked for is refused before it is read."""
    with pytest.raises(BadHolderError, match="kind etcd has no gauges"):
        make_reader("etcd", "registry:2379", KEYS, "/", {"backlog": "depth"})
    with pytest.raises(BadHolderError, match="no kind 'containers' of holder to read, only etcd, haproxy, http-json"):
        make_reader("containers", "", {"running": "names"})


@pytest.mark.parametrize(
    "answer",
    [
        http(b"", status="503 Service Unavailable"),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"H" * 100,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    ],
)
def test_http_failures_are_said(answer: bytes) -> None:
    """Rule: an error status and broken framing are a ReadError as soon as they can be known."""
    with pytest.raises(ReadError):
        HTTP_JSON.take(answer)


def test_http_interim_and_unframed_answers() -> None:
    """Rule: an interim answer is skipped; a body without a length ends with the connection, and not before."""
    assert HTTP_JSON.take(b"HTTP/1.1 100 Continue\r\n\r\n" + http(b"{}")) == (b"{}", 25 + len(http(b"{}")))
    unframed = b"HTTP/1.0 200 OK\r\n\r\n{}"
    assert HTTP_JSON.take(unframed) is None
    assert HTTP_JSON.take(unframed, ended=True) == (b"{}", len(unframed))
    with pytest.raises(ReadError, match="in the middle"):
        HTTP_JSON.take(http(b"{}")[:-1], ended=True)


ANSWERS: list[tuple[Reader, Callable[[bytes], bytes]]] = [
    (HTTP_JSON, http),
    (HTTP_JSON, lambda body: chunked([body[:7], body[7:]], b"X-Trailer: 1\r\n")),
    (ETCD, lambda body: chunked([body])),
    (HAPROXY, lambda body: body.replace(b">", b"") + b"\n> "),
]


@given(st.sampled_from(ANSWERS), st.binary(max_size=60), st.binary(max_size=20))
def test_an_answer_is_complete_at_its_last_byte(
    case: tuple[Reader, Callable[[bytes], bytes]], body: bytes, rest: bytes
) -> None:
    """Rule: for any split of the bytes an answer is found exactly when its last byte is there; what follows is left."""
    reader, write = case
    answer = write(body)
    whole = reader.take(answer)
    assert whole is not None
    assert whole[1] == len(answer)
    for cut in range(len(answer)):
        assert reader.take(answer[:cut]) is None
    assert reader.take(answer + rest) == whole


@given(st.sampled_from(ALL), st.binary(max_size=300), st.booleans())
def test_garbage_raises_only_read_errors(reader: Reader, data: bytes, ended: bool) -> None:
    """Rule: whatever a holder sends, `take` and `parse` answer or raise ReadError, nothing else."""
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1"):
        try:
            found = reader.take(prefix + data, ended=ended)
        except ReadError:
            continue
        assert found is None or 0 <= found[1] <= len(prefix + data)
    try:
        reader.parse(data)
    except ReadError:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kvs", "key", "header", "responses", "response_range", "servers", "services"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([ETCD, HTTP_JSON]), JSON)
def test_any_json_raises_only_read_errors(reader: Reader, document: object) -> None:
    """Rule: JSON of any other shape is a ReadError, and every entry that is read can be written as UTF-8."""
    try:
        found = reader.parse(json.dumps(document).encode())
    except ReadError:
        return
    for entries in found.values():
        assert list(entries) == sorted(entries)
        "".join(entries).encode()


@given(st.lists(st.binary(max_size=8), max_size=4), st.integers(0, 60))
def test_haproxy_broken_tables(cells: list[bytes], cut: int) -> None:
    """Rule: a table cut anywhere, or with any cells, gives lists or a ReadError."""
    table = (DATA / "haproxy-2.6-servers-state.txt").read_bytes()[3:]
    try:
        HAPROXY.parse(table[: -cut or None] + b" ".join(cells))
    except ReadError:
        return


def test_patterns_take_a_name_once_literal_first() -> None:
    """Rule: a literal beats a placeholder, so backend `servers` is not a service."""
    patterns = Patterns({"services": "{service}/{host}", "servers": "servers/{host}"})
    assert patterns.sort(["servers/h1", "orders/h1"]) == {"servers": ("h1",), "services": ("h1/orders",)}


@pytest.mark.parametrize(
    ("pattern", "name", "entry"),
    [
        ("/services/{service}/{host}", "/services/orders/h1", "h1/orders"),
        ("/services/{service}/{host}", "/services/orders/h1/x", None),
        ("/services/{service}/{host}", "/services//h1", None),
        ("{service:orders|billing}/{host}", "billing/h1", "h1/billing"),
        ("{service:orders|billing}/{host}", "pages/h1", None),
        ("{service}/{host:host-*}", "pages/back-office-1", None),
        ("{service}/{host:host-?}", "pages/host-10", None),
        ("a.b/{host}.x", "a.b/h.x", "h"),
        ("a.b/{host}.x", "axb/h.x", None),
    ],
)
def test_pattern_entries(pattern: str, name: str, entry: str | None) -> None:
    """Rule: a placeholder takes one part of a name, and only the names it is limited to; all else is literal."""
    assert Pattern(pattern).entry(name) == entry


@pytest.mark.parametrize(
    "pattern", ["", "servers", "{service}", "{host}/{host}", "{host}/{zone}", "{Host}", "{host}/{", "{host:a{b}"]
)
def test_bad_patterns_are_refused(pattern: str) -> None:
    """Rule: a pattern that could not tell entries apart is refused with words that show a right one."""
    with pytest.raises(BadHolderError, match="host"):
        Pattern(pattern)


@given(st.text(max_size=12), st.text(max_size=12))
def test_etcd_keys_of_any_text(host: str, service: str) -> None:
    """Rule: any key, in any encoding, is read or ignored."""
    try:
        key = f"/services/{service}/{host}".encode()
    except UnicodeEncodeError:
        key = b"/services/\xff/" + host.encode("utf-8", "replace")
    body = json.dumps({"header": {}, "kvs": [{"key": b64encode(key).decode()}]}).encode()
    plain = bool(host) and bool(service) and "/" not in host + service
    assert len(ETCD.parse(body)["services"]) == (1 if plain else 0)
