"""What a Dockerfile says, read as the builder reads it."""

from __future__ import annotations

import pytest

from shaketable.adapters.dockerfile import Base, bases, health, instructions


def test_an_instruction_goes_on_over_lines_and_comments() -> None:
    """Lines that go on belong together, and comments, empty lines and here-documents are no instructions."""
    text = """# a comment
FROM a:1

RUN one \\
 # what for

 && two
RUN <<EOF cat
FROM nothing
EOF
RUN echo $((1<<three))
run done \\"""
    found = list(instructions(text))
    assert [(i.name, i.line) for i in found] == [("FROM", 2), ("RUN", 4), ("RUN", 8), ("RUN", 11), ("RUN", 12)]
    assert found[1].rest == "one  && two"


def test_another_escape() -> None:
    """A first comment may say which character lets a line go on."""
    text = "# escape=`\nFROM a:1\nRUN dir C:\\\nRUN one `\n two\n"
    assert [i.line for i in instructions(text)] == [2, 3, 4]


def test_everything_from_outside_has_its_place() -> None:
    """What is copied or mounted from another image is from outside as well; stages, numbers and scratch are not."""
    text = """ARG V=12
FROM --platform=linux/amd64 debian:${V} AS one
ARG V=13
RUN --mount=type=bind,from=tools:2,target=/t \\
    --mount=from=one,target=/o x
FROM One
COPY --from=0 /a /a
COPY --chown=1:1 \\
    --from=uv:latest /uv /bin/
FROM scratch
COPY --from=one /a /a
FROM x:$UNKNOWN
"""
    assert bases(text, {}) == [
        Base("debian:12", 2, 29),
        Base("tools:2", 4, 28, copied=True),
        Base("uv:latest", 9, 12, copied=True),
        Base("x:$UNKNOWN", 12, 6),
    ]
    assert bases(text, {"V": "11"})[0].image == "debian:11"


@pytest.mark.parametrize(
    ("text", "target", "found"),
    [
        ("FROM a:1", None, ""),
        ("FROM a:1\nHEALTHCHECK --interval=5s CMD x", None, "checked"),
        ("FROM a:1 AS one\nHEALTHCHECK CMD x\nFROM one", None, "checked"),
        ("FROM a:1 AS one\nHEALTHCHECK CMD x\nFROM b:1", None, ""),
        ("FROM a:1 AS One\nHEALTHCHECK CMD x\nFROM b:1", "one", "checked"),
        ("FROM a:1\nHEALTHCHECK CMD x\nFROM b:1", "0", "checked"),
        ("FROM a:1 AS one\nHEALTHCHECK CMD x\nFROM one\nHEALTHCHECK none", None, "disabled"),
        ("", None, ""),
    ],
)
def test_a_health_check_comes_from_the_stage_that_is_built(text: str, target: str | None, found: str) -> None:
    """A stage has the health check of the stage that it begins from, until it says another."""
    assert health(text, target) == found
