"""What compose itself makes of a project's files, without starting anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from shaketable.adapters import command
from shaketable.adapters.compose_command import compose_command
from shaketable.adapters.compose_source import ComposeSource, blame, read_source, unresolved
from shaketable.model.errors import EngineError, ScenarioError

HOST_VARIABLE: Final = "SHAKETABLE_HOST"
"""What the compose files of a nested host's inner project may use: the host's name."""
EXTENSION: Final = "x-shaketable"
_LIMIT: Final = 30.0


def read_whole(folder: Path, files: Sequence[str]) -> ComposeSource:
    """Read a project's files as they were written. Raises ScenarioError with everything that cannot be read."""
    source, problems = read_source(folder, files)
    if problems:
        raise ScenarioError(problems)
    return source


def resolve(
    folder: Path,
    files: Sequence[str],
    name: str,
    source: ComposeSource,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give the project as compose resolves it: merged, with `environment` (beside ours) put in, paths absolute.

    Raises ScenarioError with every problem in the files, EngineError without a compose v2.
    """
    named = [word for file in files for word in ("-f", str(folder / file))]
    arguments = ["--project-name", name, "--project-directory", str(folder), *named]
    words = [*compose_command(), *arguments, "config", "--format", "json"]
    done = command.run(words, limit=_LIMIT, environment=environment)
    if done.late:
        raise EngineError(f"compose did not read {folder.name} within {_LIMIT:.0f} s")
    if not done.ok:
        told = " ".join(line for line in done.errors if "level=warning" not in line)
        problems = unresolved(source)
        if not problems or "undefined" not in told:  # compose names one at a time; it may be another one
            problems.append(blame(source, told or "compose refuses this file"))
        raise ScenarioError(problems)
    document = dict(json.loads(done.stdout))
    if EXTENSION in document:
        document[EXTENSION] = _merged(document[EXTENSION], source)
    return document


def _merged(last: Any, source: ComposeSource) -> Any:
    """Our extension over all files: compose gives that of the last file alone, where everything else is merged.

    What a later file says of a name counts, and what it does not speak of stays as an earlier file has it.
    """
    told = [value for file in source.files if (value := _extension(file.text)) is not None]
    merged: Any = {}
    for value in [*told[:-1], last]:
        if not isinstance(value, Mapping) or not isinstance(merged, Mapping):
            merged = value
            continue
        both = {
            key: {**merged[key], **value[key]}
            for key in merged.keys() & value.keys()
            if isinstance(merged[key], Mapping) and isinstance(value[key], Mapping)
        }
        merged = {**merged, **value, **both}
    return merged


def _extension(text: str) -> Any:
    """What a file says under our key; None if it says nothing."""
    document = yaml.safe_load(text)
    return document.get(EXTENSION) if isinstance(document, Mapping) else None
