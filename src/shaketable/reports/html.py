"""`report.html`: one file that works offline, with the verdict, what it rests on, and a timeline of each trial."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shaketable import __version__
from shaketable.model.history import TrialHistory
from shaketable.model.result import Result
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration
from shaketable.reports.digest import one_line
from shaketable.reports.functions_by_cell import functions_found
from shaketable.reports.html_audit import audit_views
from shaketable.reports.html_matrix import matrices, render_matrix_svg
from shaketable.reports.html_trials import GROUPS, anchor, chosen, trial_views
from shaketable.reports.html_words import count, facts, show_moment, verdict_words
from shaketable.reports.locks import wait_lists
from shaketable.reports.status import alert_lists

__all__ = ["render_matrix_svg", "report_html", "write_report"]

_PACKAGE = "shaketable.reports"


def write_report(
    path: Path, result: Result, histories: Sequence[TrialHistory], scenarios: Mapping[str, Scenario]
) -> None:
    """Write the page. `scenarios` is by name; a trial without its history is shown without a timeline. Raises OSError."""
    path.write_text(report_html(result, histories, scenarios), encoding="utf-8", errors="replace")


def report_html(result: Result, histories: Sequence[TrialHistory], scenarios: Mapping[str, Scenario]) -> str:
    """Make the page's text.

    Names and errors come from outside: all text is escaped, what steers a terminal or turns the reading direction is
    replaced, and the page's policy lets nothing but its own script and style run, and nothing be fetched.
    """
    ranked, omitted = chosen(result)
    on_page = {anchor(one.part, one.trial) for one in ranked}
    found = functions_found(histories)
    views = trial_views(ranked, histories, scenarios, found)
    script = "".join(map(_asset, ("status.js", "locks.js", "timeline.js", "page.js")))
    style = "".join(map(_asset, ("page.css", "locks.css")))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            version=__version__,
            script=Markup(script),
            style=Markup(style),
            policy=f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'",
            result=result,
            verdict=verdict_words(result),
            facts=facts(result, scenarios),
            began=show_moment(result.began),
            took=show_duration(result.seconds),
            matrices=matrices(
                result, lambda part, trial: name if (name := anchor(part, trial)) in on_page else "", found
            ),
            audits={name: audit_views(scenario, histories) for name, scenario in scenarios.items()},
            compressions={part.name: part.compression for part in result.scenarios if part.compression},
            stories={name: scenario.story for name, scenario in scenarios.items()},
            trials=views,
            shows=_shown(histories, scenarios),
            omitted=count(omitted, "passed trial") if omitted else "",
            groups=[(group, words, sum(v.group == group for v in views)) for group, words in GROUPS.items()],
            filters=_filters(result),
        )
    )


def _shown(histories: Sequence[TrialHistory], scenarios: Mapping[str, Scenario]) -> set[str]:
    """Tell which kinds of rows the timelines have, for the legend."""
    used = [scenarios[name] for name in {history.scenario for history in histories} if name in scenarios]
    found = {
        "functions": any(history.requests for history in histories),
        "containers": any(h.kind == "containers" for s in used for h in s.observers.holders.values()),
        "alerts": any(alert_lists(scenario) for scenario in used),
        "locks": any(wait_lists(scenario) for scenario in used),
    }
    return {name for name, there in found.items() if there}


def _filters(result: Result) -> list[tuple[str, str, list[str]]]:
    """Offer what trials can be chosen by: (key, label, values), only where there is a choice."""
    offered = [
        ("scenario", "Scenario", [part.name for part in result.scenarios]),
        ("variant", "Variant", [part.variant for part in result.scenarios]),
    ]
    axes = dict.fromkeys(axis for part in result.scenarios for cell in part.cells for axis in cell.axis)
    for number, axis in enumerate(axes):
        values = [cell.axis[axis] for part in result.scenarios for cell in part.cells if axis in cell.axis]
        offered.append((f"axis{number}", axis.capitalize(), values))
    unique = [(key, label, list(dict.fromkeys(values))) for key, label, values in offered]
    return [(key, label, values) for key, label, values in unique if len(values) > 1]


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )


def _asset(name: str) -> str:
    return files(_PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Name a script or style by what is in it, as a content security policy does."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
