"""The files of scenarios: their text, what a name that is not there was probably meant to be, and what the package brings."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from shaketable.model.errors import Problem, ScenarioError
from shaketable.run.scenario_shape import suggestion

MAX_BYTES: Final = 256 * 1024

OURS: Final = "shaketable:"
"""How the name of a locustfile begins that comes with the package."""


def stock_folder() -> Path:
    """The folder of the scenarios and locustfiles that come with the package."""
    return Path(str(resources.files("shaketable") / "stock"))


def locustfile_path(folder: Path, name: str) -> Path:
    """Path of a locustfile that a scenario in `folder` names."""
    return stock_folder() / name.removeprefix(OURS) if name.startswith(OURS) else folder / name


def read_text(path: Path) -> str:
    """Read the file. Raises ScenarioError saying why it cannot be a scenario."""
    try:
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "is not a file" if path.exists() else _missing(path)
            raise ScenarioError([Problem(str(path), 1, 1, state)])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ScenarioError([Problem(str(path), 1, 1, f"cannot be read: {why}")]) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError([Problem(str(path), 1, 1, f"is larger than {MAX_BYTES // 1024} KiB; is it a scenario?")])
    if b"\0" in data:
        raise ScenarioError([Problem(str(path), 1, 1, "is not text; is it a scenario?")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        col = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")) + 1
        problem = Problem(str(path), line, col, f"is not UTF-8: byte 0x{data[error.start]:02x} cannot be read")
        raise ScenarioError([problem]) from error


def _missing(path: Path) -> str:
    return f"does not exist{similar(path.parent, path.name)}"


def similar(folder: Path, name: str) -> str:
    """Say which name in the folder was probably meant, if there is one."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())[:1000]
    except (OSError, ValueError):
        return ""
    hint = suggestion(name, names)
    return f"; {hint}" if hint.startswith("did you mean") else ""
