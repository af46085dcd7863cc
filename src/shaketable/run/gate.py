"""The release gate: whether the build, as it is now, has served its time in each of these scenarios."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from shaketable.adapters.soak_file import read_ledger
from shaketable.checks.soak import Judged, changes, judge_soak
from shaketable.model.errors import UsageError
from shaketable.model.result import Build
from shaketable.model.soak import Ledger, build_of
from shaketable.run.loader import LoadedScenario
from shaketable.run.prepare import load_all, project_of
from shaketable.run.scenario_shape import suggestion

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")

Find = Callable[[LoadedScenario, str], Build]
"""The build that a variant of a scenario is now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for. `required` is in seconds of life."""

    scenarios: Sequence[Path]
    required: float
    ledger: Path
    variants: Sequence[str] = ()
    """Only these; all that are expected to pass when empty."""
    build: str = ""
    """A build's digest or its beginning; empty for the build as it is now."""


def gate(asked: Asked, say: Callable[[str], None], find: Find | None = None) -> list[Judged]:
    """Judge every variant that is asked for. Raises UsageError, ScenarioError, EngineError, TopologyError."""
    loaded = load_all(asked.scenarios)
    chosen = {one.path: _variants(one, asked.variants) for one in loaded}
    _known(loaded, asked.variants)
    ledger = read_ledger(asked.ledger)
    digest = _named(ledger, asked.build)
    look = find or (lambda one, variant: built_now(one, variant, say))
    judged = []
    for one in loaded:
        for variant in chosen[one.path]:
            if digest:
                judged.append(judge_soak(ledger, one.scenario, variant, digest, asked.required))
                continue
            build = look(one, variant)
            found = judge_soak(ledger, one.scenario, variant, build.digest, asked.required)
            if found.served is None and found.before is not None:
                found = replace(found, changed=changes(ledger.builds.get(found.before.build), build.images))
            judged.append(found)
    return judged


def built_now(loaded: LoadedScenario, variant: str, say: Callable[[str], None]) -> Build:
    """The build that a variant's topology is now; images that are missing are built first."""
    project = project_of(loaded, variant, "st-gate", "gate", "0")
    project.build(say)
    return build_of(project.built())


def _variants(loaded: LoadedScenario, wanted: Sequence[str]) -> list[str]:
    variants = loaded.scenario.variants
    passing = [name for name, variant in variants.items() if variant.expect == "pass"]
    if not passing:
        raise UsageError(
            f"{loaded.path}: no variant of {loaded.scenario.name} is expected to pass, so no build can serve time in it",
            hint="name a scenario with a corrected variant, or say `expect: pass` of the one that is to be released",
        )
    if wrong := [name for name in wanted if name in variants and name not in passing]:
        raise UsageError(
            f"{loaded.path}: the variant {wrong[0]!r} is expected to fail, so it cannot serve time; "
            f"{suggestion(wrong[0], passing)}"
        )
    return [name for name in passing if not wanted or name in wanted]


def _known(scenarios: Sequence[LoadedScenario], wanted: Sequence[str]) -> None:
    """Check that every scenario has one of the variants that are named, and every name is one."""
    known = list(dict.fromkeys(name for one in scenarios for name in one.scenario.variants))
    if wrong := [name for name in wanted if name not in known]:
        raise UsageError("\n".join(f"no scenario has a variant {name!r}; {suggestion(name, known)}" for name in wrong))
    for one in scenarios:
        if wanted and not set(wanted) & set(one.scenario.variants):
            has = ", ".join(one.scenario.variants)
            raise UsageError(f"{one.path}: {one.scenario.name} has none of these variants; it has {has}")


def _named(ledger: Ledger, digest: str) -> str:
    """The build that a digest or its beginning names; one that the ledger does not know has served nothing."""
    if not digest:
        return ""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise UsageError(
            f"--build {digest}: is no digest of a build",
            hint="give at least 8 of its hexadecimal digits, as in result.json under build.digest",
        )
    found = [name for name in ledger.builds if name.startswith(match[1])]
    if len(found) > 1:
        raise UsageError(f"--build {digest}: {len(found)} builds begin so: {', '.join(found)}")
    return found[0] if found else match[1]
