"""A Dockerfile as it is written: what it begins from and whether it has a health check, and where that stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!\S)\d*<<(-?)([\"']?)([A-Za-z_]\w*)\2")
_STAGE = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)
_ARG = re.compile(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S+)")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-([^}]*))?\}?")
_COPIED_FROM = re.compile(r"--from=(\S+)")
_MOUNTED_FROM = re.compile(r"--mount=(?:\S*,)?from=([^,\s]+)")
_WITH_HEREDOC: Final = {"RUN", "COPY", "ADD"}

Health = Literal["", "checked", "disabled"]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in capitals, the rest with lines that go on joined, and the line it begins in, from 1."""

    name: str
    rest: str
    line: int


@dataclass(frozen=True, slots=True)
class Base:
    """An image from outside, as far as its variables are known, and where it is named (line and col from 1)."""

    image: str
    line: int
    col: int
    copied: bool = False
    """Files of it are copied or mounted; no stage begins from it."""


def instructions(text: str) -> Iterator[Instruction]:
    """Read the instructions of a Dockerfile; the texts of its here-documents are none."""
    lines = text.splitlines()
    escape = _escape(lines)
    parts: list[str] = []
    began = 0
    documents: list[tuple[bool, str]] = []
    for number, line in enumerate(lines, 1):
        if documents:
            indented, word = documents[0]
            if (line.lstrip("\t") if indented else line) == word:
                del documents[0]
            continue
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):  # allowed in the middle of an instruction too
            continue
        began = began if parts else number
        parts.append(stripped.removesuffix(escape))
        if stripped.endswith(escape) and number < len(lines):
            continue
        name, _, rest = " ".join(parts).strip().partition(" ")
        parts = []
        yield Instruction(name.upper(), rest.strip(), began)
        if name.upper() in _WITH_HEREDOC:
            documents = [(bool(dash), word) for dash, _, word in _HEREDOC.findall(rest)]


def _escape(lines: Sequence[str]) -> str:
    """Find the character that lets an instruction go on in the next line, which a first comment may change."""
    for line in lines:
        if not line.strip().startswith("#"):
            break
        if found := _ESCAPE.fullmatch(line.strip()):
            return found[1]
    return "\\"


def bases(text: str, args: Mapping[str, str]) -> list[Base]:
    """Images from outside that its stages begin from, or that it copies or mounts files of, in order."""
    known: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    count = 0
    found: list[Base] = []
    for instruction in instructions(text):
        named: list[str] = []
        alias = ""
        if instruction.name == "ARG" and not count:  # one of a stage means nothing to those after it
            known |= {name: value.strip("\"'") for name, value in _ARG.findall(instruction.rest)}
        elif instruction.name == "FROM" and (stage := _STAGE.fullmatch(instruction.rest)):
            named, alias = [stage[1]], (stage[2] or "").lower()
        elif instruction.name == "COPY":
            named = _COPIED_FROM.findall(instruction.rest)
        elif instruction.name == "RUN":
            named = _MOUNTED_FROM.findall(instruction.rest)
        for name in named:
            image = _filled(name, {**known, **args})
            if image.lower() not in stages and not image.isdecimal():
                found.append(Base(image, *_where(text, instruction, name), copied=instruction.name != "FROM"))
        if instruction.name == "FROM":
            stages |= {alias}
            count += 1
    return found


def _filled(name: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: known.get(match[1], match[2] or match[0]), name)


def _where(text: str, instruction: Instruction, word: str) -> tuple[int, int]:
    """Line and column of a word of an instruction, which may go on over several lines."""
    lines = text.splitlines()
    for line in range(instruction.line, len(lines) + 1):
        if (col := lines[line - 1].find(word)) >= 0:
            return line, col + 1
    return instruction.line, 1


def health(text: str, target: str | None) -> Health:
    """What the stage that is built (the last one, or `target`) says of a health check, or one it begins from."""
    stages: list[tuple[str, Health]] = []
    for instruction in instructions(text):
        if instruction.name == "FROM" and (found := _STAGE.fullmatch(instruction.rest)):
            below: Health = next((said for name, said in reversed(stages) if name == found[1].lower()), "")
            stages.append(((found[2] or "").lower(), below))
        elif instruction.name == "HEALTHCHECK" and stages:
            off = instruction.rest.upper().startswith("NONE")
            stages[-1] = (stages[-1][0], "disabled" if off else "checked")
    wanted = (target or "").lower()
    chosen = [said for number, (name, said) in enumerate(stages) if wanted in {name, str(number)} or not wanted]
    return chosen[-1] if chosen else ""
