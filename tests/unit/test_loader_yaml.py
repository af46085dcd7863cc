"""The rules of YAML 1.2: text means what it looks like, and every node knows its place."""

from __future__ import annotations

import pytest

from shaketable.run.yaml_source import Node, Plain, read_yaml


def read(text: str) -> Node:
    """Read text that has no problem."""
    root, problems = read_yaml(text, "f")
    assert not problems
    assert root is not None
    return root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("FALSE", False), ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("-3", -3), ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"), ("3.0", 3.0), ("1e3", 1000.0), (".5", 0.5), ("~", None), ("null", None),
        ("0b11", "0b11"), ("=", "="), ("'true'", "true"), ('"3"', "3"), ("5ms", "5ms"), ("99 %", "99 %"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: Plain) -> None:
    """Only true and false are booleans; no octal 010, no base 60, no dates."""
    read_back = read(f"a: {text}").plain()
    assert read_back == {"a": value}
    assert isinstance(read_back, dict)
    assert type(read_back["a"]) is type(value)


def test_keys_are_text_as_written() -> None:
    """A key is its own spelling, whatever it looks like."""
    assert read("010: a\ntrue: b\non: c\n1.50: d").plain() == {"010": "a", "true": "b", "on": "c", "1.50": "d"}


def test_aliases_and_merges_work() -> None:
    """A merge gives what is not there; what is written wins, and the earlier of two merged mappings."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: *a"
    assert read(text).plain() == {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"z": 3, "x": 1, "y": 1},
        "d": {"x": 1, "y": 1},
    }


def test_every_node_and_key_has_its_place() -> None:
    """Lines and columns count from 1 and point at the first character, of keys too."""
    root = read("a:\n  - b: one\n    c: two\n")
    node = root.get("a", 0, "c")
    assert node is not None
    assert (node.line, node.col) == (3, 8)
    inner = root.get("a", 0)
    assert inner is not None
    assert inner.key_at("c") == (3, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", ["3:1: the key 'a' is here twice; the first is in line 1"]),
        ("{a: 1, a: 2, a: 3}", ["1:8: the key 'a'", "1:14: the key 'a'"]),
        ("? [a]\n: b", ["1:3: a key must be plain text"]),
        ("a: !!python/object:os.system {}", ["1:4: the tag !!python/object:os.system means nothing here"]),
        ("a: !!int foo", ["1:4: 'foo' is not what its tag !!int says"]),
        ("a: !secret x", ["1:4: the tag !secret means nothing here"]),
        ("a: {<<: 1}", ["1:9: << needs a mapping"]),
        ('a: "\\0"', ["1:4: this text has an unprintable character (U+0000)"]),
        ('a: "\\ud800"', ["1:4: this text has an unprintable character (U+D800)"]),
    ],
)
def test_what_cannot_be_meant_is_a_problem(text: str, expected: list[str]) -> None:
    """Reading goes on after it, so that the rest is checked too."""
    root, problems = read_yaml(text, "f")
    assert root is not None
    assert len(problems) == len(expected)
    assert all(str(problem).startswith(f"f:{part}") for part, problem in zip(expected, problems, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: *x", "1:4: the alias *x stands for nothing"),
        ("a: &x [*x]", "1:4: this value contains itself"),
        ("a: [1", "1:6: a list opened with '['"),
        ("a: {b: 1\nc: 2", "2:2: a mapping opened with '{'"),
        ("a: 'x", "1:6: a quote that was opened is never closed"),
        ("a: b: c", "1:5: a ': ' cannot be here"),
        ("a: {service}/{host}", "1:13: this does not go with what is above"),
        ("a:\n  b: 1\n c: 2", "3:2: this does not go with what is above: look at the indentation"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here"),
        ("a: @x", "1:4: text cannot begin with this character"),
        ('a: "\\UFFFFFFFF"', "1:1: is not YAML"),
    ],
)
def test_broken_syntax_is_told_in_words(text: str, expected: str) -> None:
    """Where it broke, and what a person would look for there."""
    root, problems = read_yaml(text, "f")
    assert root is None
    assert len(problems) == 1
    assert str(problems[0]).startswith(f"f:{expected}")
