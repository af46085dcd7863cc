"""Images are named after their content."""

from __future__ import annotations

import io
import tarfile

import pytest

from shaketable.adapters import images
from shaketable.adapters.compose_build import base_images
from shaketable.adapters.image_build import News, content_hash, context_tar


def test_a_hash_tells_names_from_contents() -> None:
    """Moving a byte from one part to the next is a different image."""
    hashes = {
        content_hash([("ab", b"c")]),
        content_hash([("a", b"bc")]),
        content_hash([("a", b"b"), ("", b"c")]),
        content_hash([("a", b"b"), ("c", b"")]),
    }
    assert len(hashes) == 4


def test_the_same_files_make_the_same_context() -> None:
    """The engine's build cache hits only on the same bytes, whenever and in whatever order they are packed."""
    one = context_tar({"b/c.py": b"2", "a.py": b"1"})
    assert one == context_tar({"a.py": b"1", "b/c.py": b"2"})
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert [(entry.name, entry.mtime) for entry in tar] == [("a.py", 0), ("b/c.py", 0)]


def test_the_tools_image_is_named_after_the_code_in_it() -> None:
    """Another agent is another image: a run never meets the code of yesterday."""
    code = images.sources()
    assert "shaketable/agent/serve.py" in code
    assert not any(name.startswith("shaketable/model") for name in code)
    changed = {**code, "shaketable/agent/serve.py": b"# changed"}
    assert images.tools_tag(code) == images.tools_tag(dict(reversed(code.items())))
    assert images.tools_tag(code) != images.tools_tag(changed)


@pytest.mark.parametrize(
    ("dockerfile", "bases"),
    [
        ("FROM debian:bookworm-slim\nRUN x\n", ["debian:bookworm-slim"]),
        ("FROM --platform=linux/amd64 a AS one\nFROM one\nFROM b as two\nFROM scratch\n", ["a", "b"]),
        ("ARG V=12\nFROM debian:${V}\nFROM x:${W:-1}\nFROM y:$UNKNOWN\n", ["debian:12", "x:1"]),
        ("ARG GIVEN\nFROM a:$GIVEN\n", ["a:7"]),
    ],
)
def test_a_dockerfile_tells_what_it_begins_from(dockerfile: str, bases: list[str]) -> None:
    """Only images from outside are fetched: neither stages of its own nor names that cannot be known."""
    assert base_images(dockerfile, {"GIVEN": "7"}) == bases


def test_a_long_step_is_heard_of_but_not_in_full() -> None:
    """Headings are passed on, ordinary lines only when nothing was said for a while."""
    said: list[str] = []
    news = News(said.append, "x", r"Step \d")
    for line in ("Step 1 : FROM", "noise", "", "Step 2 : " + "y" * 200):
        news.line(line)
    assert [len(text) for text in said] == [len("x: Step 1 : FROM"), 113]
