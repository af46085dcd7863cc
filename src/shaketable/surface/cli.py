"""The `shaketable` command. Every error is one message for a person and an exit code; never a traceback."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from rich.console import Console

from shaketable import __version__
from shaketable.adapters.engine_client import adopt_context
from shaketable.model.errors import Exit, ShakeError, UsageError
from shaketable.surface.gate import gate_command
from shaketable.surface.progress import TerminalProgress

if TYPE_CHECKING:
    from shaketable.run.loader import LoadedScenario

P = ParamSpec("P")
T = TypeVar("T")
_err = Console(stderr=True)
_scenarios = click.argument("scenario", nargs=-1, required=True, type=click.Path(path_type=Path))
_soak = click.option(
    "--soak", type=click.Path(path_type=Path), default=None, metavar="FILE", help="The soak ledger that counts trials."
)


class Main(click.Group):
    """Turns our errors into a message and an exit code, whichever command raised them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ShakeError as error:
            _err.print(f"[bold red]error[/]: {_plain(str(error))}", highlight=False, soft_wrap=True)
            raise SystemExit(int(error.exit_code)) from error


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _console() -> Console:
    """80 columns where the width is not known, so that logs in CI read well."""
    return Console() if sys.stdout.isatty() else Console(width=int(os.environ.get("COLUMNS", "80")))


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shaketable")
def cli() -> None:
    """Put a compose topology on the table, replay an incident, read the verdict and its evidence."""


cli.add_command(gate_command)


@cli.group()
def engine() -> None:
    """The Docker engine: use the one that answers, or install and start one."""


@engine.command("up")
def engine_up_command() -> None:
    """Make sure that an engine with compose v2 answers."""
    from shaketable.adapters.host_engine import engine_up  # noqa: PLC0415  (start-up time)

    engine_up(click.echo)


@engine.command("down")
def engine_down_command() -> None:
    """Stop the engine if `engine up` started it."""
    from shaketable.adapters.host_engine import engine_down  # noqa: PLC0415

    engine_down(click.echo)


@cli.command()
@click.argument("topology", nargs=-1, type=click.Path(path_type=Path))
def images(topology: tuple[Path, ...]) -> None:
    """Build the helper image, and the images of these scenarios' topologies, where they are missing."""
    from shaketable.run.prepare import prepare_images  # noqa: PLC0415

    prepare_images(topology, TerminalProgress(_console()).say)


@cli.command()
def doctor() -> None:
    """What works here, and what to do about what does not."""
    from shaketable.surface.doctor import diagnose, render  # noqa: PLC0415

    findings = diagnose()
    render(findings, _console())
    raise SystemExit(int(Exit.PASS if all(f.ok for f in findings) else Exit.INCONCLUSIVE))


@cli.command()
@_scenarios
def lint(scenario: tuple[Path, ...]) -> None:
    """Check scenario and compose files; every problem at once, as file:line:col."""
    from shaketable.run.prepare import load_all  # noqa: PLC0415

    for loaded in load_all(scenario, check_compose=True):
        click.echo(f"{loaded.path}: ok")


@cli.command()
@_scenarios
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--trials", type=click.IntRange(1), default=1, show_default=True)
def plan(scenario: tuple[Path, ...], seed: int, trials: int) -> None:
    """What would be done: targets, moments, steps and undo. Touches nothing."""
    from shaketable.run.prepare import load_all, plan_lines  # noqa: PLC0415

    for loaded in load_all(scenario, check_compose=True):
        for line in plan_lines(loaded, seed, trials):
            click.echo(line)


def _campaign_options(command: Callable[P, T]) -> Callable[P, T]:
    @click.option("--variant", multiple=True, help="Only this variant.")
    @click.option("--only", multiple=True, metavar="AXIS=VALUE", help="Only cells with this value, e.g. mode=kill.")
    @click.option("--trials", type=click.IntRange(1), default=1, show_default=True, help="Trials for each cell.")
    @click.option("--seed", type=int, default=1, show_default=True, help="What victims and moments are drawn from.")
    @click.option("--lanes", type=click.IntRange(1, 32), default=2, show_default=True, help="Topologies side by side.")
    @click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder for the record and reports.")
    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return command(*args, **kwargs)

    return wrapper


@cli.command()
@_scenarios
@_campaign_options
@_soak
def run(scenario: tuple[Path, ...], soak: Path | None, **options: Any) -> None:
    """Run trials and judge them. Exit 0 pass, 1 fail, 3 inconclusive."""
    _campaign("run", _loaded(scenario), soak=_ledger(soak), **options)


@cli.command()
@_scenarios
@_campaign_options
@_soak
def prove(scenario: tuple[Path, ...], soak: Path | None, **options: Any) -> None:
    """Run every variant; exit 0 when each gave its expected verdict: a check that cannot fail proves nothing."""
    _campaign("prove", _loaded(scenario), soak=_ledger(soak), **options)


def _ledger(named: Path | None) -> Path:
    from shaketable.adapters.soak_file import default_ledger  # noqa: PLC0415

    return named or default_ledger()


def _loaded(paths: tuple[Path, ...]) -> list[LoadedScenario]:
    from shaketable.run.prepare import load_all  # noqa: PLC0415

    return load_all(paths)


def _campaign(
    command: Any,
    scenarios: list[LoadedScenario],
    *,
    variant: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    trials: int,
    seed: int,
    lanes: int,
    out: Path | None,
    indices: tuple[int, ...] = (),
    soak: Path | None = None,
) -> None:
    from shaketable.run.campaign import Campaign, Request  # noqa: PLC0415
    from shaketable.run.prepare import check_choices, run_folder  # noqa: PLC0415
    from shaketable.surface.output import present  # noqa: PLC0415

    cells = check_choices(scenarios, variant, only)
    console = _console()
    progress = TerminalProgress(console)
    request = Request(
        command=command,
        scenarios=scenarios,
        out=out or run_folder(scenarios),
        trials=trials,
        seed=seed,
        lanes=lanes,
        variants=variant,
        cells=cells,
        only=indices,
        choices=only,
        soak=soak,
    )
    campaign = Campaign(request, progress)
    _heal_on_interrupt(campaign)
    try:
        finished = campaign.run()
    finally:
        progress.end()
    raise SystemExit(int(present(finished, scenarios, console)))


def _heal_on_interrupt(campaign: Any) -> None:
    """First Ctrl-C: heal and report. Second: say how to heal by hand and leave; the guard cleans up."""

    def interrupted(*_: object) -> None:
        if campaign.stop.is_set():
            _err.print(
                f"\nleaving now; what is left is being undone. To be sure: shaketable heal --run {campaign.run_id}"
            )
            os._exit(int(Exit.INTERRUPTED))
        _err.print("\ninterrupted: healing, taking down and reporting (again to leave at once)")
        campaign.stop.set()

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)


_run_folder = click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))


@cli.command()
@_run_folder
@click.option("--trial", "trials", type=int, multiple=True, help="Only this trial (its number in the report).")
@click.option("--out", type=click.Path(path_type=Path), default=None)
def replay(folder: Path, trials: tuple[int, ...], out: Path | None) -> None:
    """Run the stored schedule of an earlier run again: same scenario, victims and moments."""
    from shaketable.run.prepare import stored_request  # noqa: PLC0415

    stored, scenarios = stored_request(folder)
    request = stored.result.request
    _campaign(
        "replay",
        scenarios,
        variant=request.variants,
        only=request.only,
        trials=request.trials,
        seed=stored.result.seed,
        lanes=stored.result.lanes,
        out=out,
        indices=trials,
    )


@cli.command()
@_run_folder
def check(folder: Path) -> None:
    """Judge a stored run again, without Docker; the same record gives the same verdict."""
    from shaketable.run.prepare import judge_again  # noqa: PLC0415
    from shaketable.surface.output import exit_code, show_matrix  # noqa: PLC0415

    result = judge_again(folder)
    show_matrix(result, _console())
    raise SystemExit(int(exit_code(result)))


@cli.command()
@_run_folder
@click.option("--status", is_flag=True, help="Print what happened as a status page tells an incident; writes nothing.")
@click.option("--trial", type=int, default=None, help="With --status: this trial, not the one its variant stands for.")
@click.option("--markdown", is_flag=True, help="With --status: as Markdown.")
def report(folder: Path, *, status: bool, trial: int | None, markdown: bool) -> None:
    """Write report.html, junit.xml and summary.md of a stored run again, or print its status report.

    The status report tells one trial of each scenario and variant: the first that failed, else the first.
    """
    from shaketable.run.prepare import judge_again, read_run  # noqa: PLC0415
    from shaketable.surface.output import status_reports, write_reports  # noqa: PLC0415

    if status:
        click.echo(status_reports(folder, trial, markdown=markdown), nl=False)
        return
    if trial is not None or markdown:
        raise UsageError("--trial and --markdown are about the status report", hint="add --status")
    stored = read_run(folder)
    path = write_reports(folder, judge_again(folder), stored.histories, stored.scenarios)
    click.echo(f"report: {path}")


@cli.command()
@click.option("--run", "run_id", default=None, help="Only this run, even if it was started elsewhere.")
def heal(run_id: str | None) -> None:
    """Undo whatever runs that are gone have left behind."""
    from shaketable.run.heal import heal as heal_runs  # noqa: PLC0415

    results = heal_runs(run_id)
    for healed in results:
        if healed.alive and healed.left:
            click.echo(f"run {healed.run}: not touched, {healed.left[0].hint}")
        elif healed.alive:
            click.echo(f"run {healed.run}: at work, left alone")
        else:
            click.echo(f"run {healed.run}: {', '.join(healed.undone) or 'nothing was left'}")
    if not results:
        click.echo("nothing to heal")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def faults(*, as_json: bool) -> None:
    """The fault catalogue: parameters with their units, what a peer and a disk see, and how each is witnessed."""
    from shaketable.surface.catalogue import catalogue_json, show_catalogue  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(catalogue_json(), indent=1))
    else:
        show_catalogue(_console())


@cli.command()
@click.argument("kind", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout; progress goes to stderr.")
def conform(kind: tuple[str, ...], *, as_json: bool) -> None:
    """Try faults on a canary topology: effective as declared, bystanders untouched, clean afterwards."""
    from shaketable.surface.catalogue import conform_all  # noqa: PLC0415

    raise SystemExit(int(conform_all(kind, _console(), as_json=as_json)))


@cli.command()
@click.argument("topology", type=click.Path(path_type=Path))
@click.option(
    "--file", "files", multiple=True, metavar="FILE", help="A compose file of the folder, as variants name them."
)
@click.option("--rule", "rules", multiple=True, metavar="RULE", help="Only this rule.")
@click.option("--except", "without", multiple=True, metavar="RULE", help="Without this rule.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def audit(
    topology: Path, *, files: tuple[str, ...], rules: tuple[str, ...], without: tuple[str, ...], as_json: bool
) -> None:
    """What in a topology would not survive a restart of its engine, and what else to object to. Starts nothing.

    TOPOLOGY is a folder with a compose file, or a compose file. Exit 0 when nothing is found, 1 with findings.
    """
    import shaketable.surface.audit as audits  # noqa: PLC0415

    audited = audits.audit(topology, files, rules, without)
    if as_json:
        click.echo(json.dumps(audits.audit_json(audited), indent=1))
    else:
        audits.show_audit(audited, _console())
    raise SystemExit(int(Exit.FAIL if audited.findings else Exit.PASS))


@cli.command()
def schema() -> None:
    """The JSON Schema of a scenario file, for editors."""
    from shaketable.run.loader import scenario_schema  # noqa: PLC0415

    click.echo(json.dumps(scenario_schema(), indent=1))


@cli.command()
@click.argument("topology", type=click.Path(path_type=Path))
def up(topology: Path) -> None:
    """Bring a topology up and leave it up, to look at it."""
    from shaketable.run.prepare import topology_up  # noqa: PLC0415

    click.echo(topology_up(topology, TerminalProgress(_console()).say))


@cli.command()
@click.argument("topology", type=click.Path(path_type=Path))
def down(topology: Path) -> None:
    """Take down what `up` brought up."""
    from shaketable.run.prepare import topology_down  # noqa: PLC0415

    topology_down(topology, TerminalProgress(_console()).say)


def main() -> None:
    """Entry point."""
    try:
        adopt_context()
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(int(Exit.INTERRUPTED)) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(int(Exit.USAGE)) from None
    except BrokenPipeError:
        raise SystemExit(int(Exit.PASS)) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        problem = UsageError(f"{error.strerror or error}{where}", hint="check free space and permissions")
        _err.print(f"[bold red]error[/]: {_plain(str(problem))}", highlight=False)
        raise SystemExit(int(problem.exit_code)) from None


if __name__ == "__main__":
    main()
