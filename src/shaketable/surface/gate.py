"""`shaketable gate`: in a sentence or two whether a build has served its time, and if not, what is missing and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from shaketable.checks.soak import Judged, short
from shaketable.model.errors import Exit
from shaketable.model.scenario import Compression
from shaketable.model.soak import Soaked
from shaketable.model.spans import show_parts
from shaketable.model.units import parse_duration


class DurationParam(click.ParamType):  # type: ignore[type-arg]
    """A time as in scenarios, more than 0: `7d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read seconds."""
        try:
            seconds = value if isinstance(value, float) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail("must be more than 0", param, ctx)
        return seconds


_TIME = DurationParam()


@click.command("gate")
@click.option(
    "--require-soak",
    "required",
    type=_TIME,
    required=True,
    metavar="TIME",
    help="Clean time that the build must have served, e.g. 7d.",
)
@click.option(
    "--scenario",
    "scenarios",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A scenario, or a folder of them.",
)
@click.option(
    "--variant", "variants", multiple=True, help="Only this variant; all that are expected to pass unless told."
)
@click.option("--build", default="", metavar="DIGEST", help="This build instead of the one that it is now.")
@click.option("--soak", type=click.Path(path_type=Path), default=None, metavar="FILE", help="The soak ledger.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout; progress goes to stderr.")
def gate_command(
    required: float,
    scenarios: tuple[Path, ...],
    *,
    variants: tuple[str, ...],
    build: str,
    soak: Path | None,
    as_json: bool,
) -> None:
    """Has this build served enough clean time in each scenario? Exit 0 if so, 1 with what is missing and why.

    Time is served by the trials of `run` and `prove` in variants that are expected to pass. A build is the images of
    all services, by content; those that are missing are built first.
    """
    from shaketable.adapters.soak_file import default_ledger  # noqa: PLC0415  (start-up time)
    from shaketable.run.gate import Asked, gate  # noqa: PLC0415

    told = Console(stderr=True)
    asked = Asked(scenarios, required, soak or default_ledger(), variants, build)
    judged = gate(asked, lambda text: told.print(text, style="dim", markup=False, highlight=False))
    if as_json:
        click.echo(json.dumps(gate_json(judged, asked.ledger), indent=1))
    else:
        for line in gate_lines(judged):
            click.echo(line)
    raise SystemExit(int(Exit.PASS if all(one.passed for one in judged) else Exit.FAIL))


def gate_lines(judged: Sequence[Judged]) -> Iterator[str]:
    """One line for each variant of a scenario; a variant is named where a scenario has several here."""
    for one in judged:
        several = sum(other.scenario == one.scenario for other in judged) > 1
        yield f"{one.scenario}{f', {one.variant}' if several else ''}: {'pass' if one.passed else 'refused'}: {said(one)}"


def said(judged: Judged) -> str:
    """What was served of what is required, by which trials, what is missing, and why it was set to zero."""
    served = judged.served
    life = served.life_s if served else 0.0
    shown = show_parts(life) if life < judged.required else show_parts(judged.required)
    more = f", {show_parts(life)} in all" if show_parts(life) != shown else ""
    text = f"{shown} of {show_parts(judged.required)} served by build {short(judged.build)}{more}"
    if served is None:
        text += ", of which no trial is on record"
    elif served.real_s:
        text += f" ({_trials(served)})"
    parts = [text]
    if judged.missing > 0:
        missing = show_parts(judged.missing, up=True)
        parts.append(f"{missing} {'is' if missing.startswith('1 ') and missing.count(' ') == 1 else 'are'} missing")
    if served is not None and judged.untried and (served.passed or not judged.missing):
        parts.append(f"no trial has passed yet of {', '.join(judged.untried)}")
    if served is not None and served.invalid:
        parts.append(f"{_counted(served.invalid, 'invalid trial')} counted for nothing")
    if not judged.passed:
        parts += _reset(served)
        parts += _new(judged) if served is None or served.reset is None else []
    return "; ".join(parts)


def _trials(served: Soaked) -> str:
    """`3 min 7 s in 12 trials, 1,000 times real time declared: each run leaks more`."""
    real = f"{show_parts(served.real_s)} in {_counted(sum(served.passed.values()), 'trial')}"
    if not served.compressions:
        return f"{real}, all of it real time"
    declared = "; ".join(_declared(one) for one in served.compressions)
    same = abs(served.life_s - served.real_s * served.compressions[0].times) <= 0.01 * served.life_s
    return f"{real}, {'' if same else 'in part '}{declared}"


def _declared(compression: Compression) -> str:
    return f"{compression.times:,g} times real time declared: {compression.because}"


def _reset(served: Soaked | None) -> list[str]:
    if served is None or served.reset is None:
        return []
    reset = served.reset
    lost = f" after {show_parts(reset.lost_s)}" if reset.lost_s else ""
    again = f", for the {_ordinal(served.resets)} time" if served.resets > 1 else ""
    return [
        f"set to zero {_minute(reset.at)}{lost}{again}, as trial {reset.trial} of run {reset.run} failed: {reset.because}"
    ]


def _new(judged: Judged) -> list[str]:
    """Why it began at zero: it is another build than the one before."""
    if judged.before is None:
        return []
    what = f": {'; '.join(judged.changed)}" if judged.changed else ""
    had = f"which had served {show_parts(judged.before.life_s)}"
    return [f"it began at zero, for it is another build than {short(judged.before.build)}, {had}{what}"]


def _minute(moment: str) -> str:
    """`2026-11-26 14:02 UTC` of a moment in UTC."""
    date, _, time = moment.partition("T")
    return f"{date} {time[:5]} UTC" if time else "at a time that is not on record"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def gate_json(judged: Sequence[Judged], ledger: Path) -> Mapping[str, Any]:
    """All of it as one JSON object. Times in seconds of life, but for `real_s`."""
    return {
        "schema": 1,
        "passed": all(one.passed for one in judged),
        "ledger": str(ledger),
        "scenarios": [
            {
                "scenario": one.scenario,
                "variant": one.variant,
                "build": one.build,
                "passed": one.passed,
                "required_s": one.required,
                "served_s": one.served.life_s if one.served else 0.0,
                "missing_s": round(one.missing, 3),
                "real_s": one.served.real_s if one.served else 0.0,
                "compression": [c.model_dump() for c in one.served.compressions] if one.served else [],
                "trials": dict(one.served.passed) if one.served else {},
                "invalid": one.served.invalid if one.served else 0,
                "untried": list(one.untried),
                "reset": one.served.reset.model_dump() if one.served and one.served.reset else None,
                "build_before": one.before.build if one.before else None,
                "changed": list(one.changed),
                "text": said(one),
            }
            for one in judged
        ],
    }
