"""The rules of the layers: a module imports only from its own layer or an earlier one, and few touch the outside."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src"
LAYERS = (
    "model",
    "checks",
    "ports",
    "faults",
    "observers",
    "agent",
    "adapters",
    "run",
    "reports",
    "surface",
)
FORBIDDEN = {"subprocess", "docker", "testcontainers"}
"""What nobody may use but those who do the outside's work."""
OUTSIDE: dict[str, set[str]] = {"adapters": set(), "agent": FORBIDDEN - {"subprocess"}}
"""What of it each layer may not use: the agent changes the kernel's state, partly by the kernel's own tools."""
BESIDE_TARGETS = {"agent": {"agent", "observers"}, "observers": {"observers"}}
LOAD = {"locust", "gevent"}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, file) of every module of the package."""
    for path in sorted((ROOT / "shaketable").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(name: str, path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all imports of a module, those in functions and for type checking included."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from shaketable import model` names a layer only together with the imported name.
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def layer(name: str) -> str | None:
    """Tell the layer of a dotted name; None for the package itself and for anything else."""
    parts = name.split(".")
    return parts[1] if parts[0] == "shaketable" and len(parts) > 1 and parts[1] in LAYERS else None


def too_late(name: str, path: Path) -> list[str]:
    """Find the imports from a later layer."""
    own = layer(name)
    if own is None:
        return []
    return [
        f"{path}:{line}: {own} must not import {target}"
        for line, target in imported(name, path)
        if (other := layer(target)) and LAYERS.index(other) > LAYERS.index(own)
    ]


def foreign_beside_targets(name: str, path: Path) -> list[str]:
    """Find what agent and observers import beside the standard library, themselves, and Locust for the load."""
    allowed = BESIDE_TARGETS.get(layer(name) or "")
    if allowed is None:
        return []
    return [
        f"{path}:{line}: {name} runs beside the targets and must not import {target}"
        for line, target in imported(name, path)
        if not (
            target.split(".")[0] in sys.stdlib_module_names
            or layer(target) in allowed
            or target == "shaketable.__version__"
            or (name == "shaketable.agent.load" and target.split(".")[0] in LOAD)
        )
    ]


def outside(name: str, path: Path) -> list[str]:
    """Find modules that touch the outside though they are no adapters."""
    return [
        f"{path}:{line}: {name} must not import {target}; that is for adapters"
        for line, target in imported(name, path)
        if target.split(".")[0] in OUTSIDE.get(layer(name) or "", FORBIDDEN)
    ]


def test_every_package_is_a_layer() -> None:
    """A package that is no layer would escape these rules."""
    packages = {path.name for path in (ROOT / "shaketable").iterdir() if (path / "__init__.py").exists()}
    assert packages <= set(LAYERS)


@pytest.mark.parametrize("rule", [too_late, foreign_beside_targets, outside], ids=lambda rule: rule.__name__)
def test_imports_keep_the_rules(rule: object) -> None:
    """Data flows one way: no import from a later layer, nothing foreign beside the targets, no side doors."""
    assert callable(rule)
    broken = [problem for name, path in modules() for problem in rule(name, path)]
    assert broken == []


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("shaketable.model.x", "from shaketable.run.loader import load_scenario", 1),
        ("shaketable.model.x", "def f():\n    import shaketable.run.loader", 1),
        ("shaketable.checks.x", "from ..run import loader", 1),
        ("shaketable.checks.x", "from .. import run", 1),
        ("shaketable.checks.x", "from shaketable import surface", 1),
        ("shaketable.checks.x", "from shaketable.model import units\nfrom . import y", 0),
        ("shaketable.agent.x", "import json, pydantic", 1),
        ("shaketable.agent.x", "from shaketable.model import units", 1),
        ("shaketable.agent.x", "import locust", 1),
        ("shaketable.agent.load", "import locust", 0),
        ("shaketable.observers.x", "from shaketable.agent import serve", 2),
        ("shaketable.run.x", "import subprocess", 1),
        ("shaketable.agent.x", "import subprocess", 0),
        ("shaketable.run.x", "from docker.errors import NotFound", 1),
        ("shaketable.adapters.x", "import docker", 0),
    ],
)
def test_the_rules_find_what_breaks_them(tmp_path: Path, name: str, text: str, count: int) -> None:
    """A check that cannot fail proves nothing."""
    path = tmp_path / f"{name.rpartition('.')[2]}.py"
    path.write_text(text)
    found = [problem for rule in (too_late, foreign_beside_targets, outside) for problem in rule(name, path)]
    assert len(found) == count
