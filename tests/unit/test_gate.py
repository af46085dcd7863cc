"""What a person and CI are told by `shaketable gate`, on a prepared ledger and with builds that need no engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rollout_histories import GOOD

from shaketable.adapters.soak_file import SoakLedger
from shaketable.model.errors import ShakeError
from shaketable.model.result import Build
from shaketable.model.scenario import Compression
from shaketable.model.soak import Served, build_of
from shaketable.run import gate as gates
from shaketable.surface.cli import cli

NOW = build_of({"web": "sha256:b", "server-1/mailer": "sha256:m"})
BEFORE = build_of({"web": "sha256:a", "server-1/mailer": "sha256:m"})
FAST = Compression(times=1000, because="each run leaks 1,000 times as much")
VARIANTS = "variants:\n  incident: {expect: fail}\n  fixed: {soak: 12s}\n"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario and a state folder; the build is NOW."""
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))
    (tmp_path / "load.py").write_text("")
    (tmp_path / "compose.yaml").write_text("services: {web: {image: web}}\n")
    (tmp_path / "s.yaml").write_text(GOOD)
    monkeypatch.setattr(gates, "built_now", lambda *_: NOW)
    return tmp_path


def add(path: Path, *, outcome: str = "pass", seconds: float = 187.2, build: Build = NOW, minute: int = 0) -> None:
    """Count one trial."""
    SoakLedger(path).add(
        Served.model_validate(
            {
                "scenario": "short-soak",
                "variant": "fixed",
                "build": build,
                "cell": "",
                "run": "1126140200-ab",
                "trial": 3,
                "outcome": outcome,
                "seconds": seconds,
                "ended": f"2026-11-26T14:{minute:02}:09+00:00",
                "because": "tenant-b waited 3 s (limit 1 s)" if outcome == "fail" else "",
                "compression": FAST,
            }
        )
    )


def gate(table: Path, *words: str, require: str = "7d") -> Result:
    """Ask the gate, as on a command line."""
    return CliRunner().invoke(cli, ["gate", "--require-soak", require, "--scenario", str(table / "s.yaml"), *words])


def said(result: Result) -> str:
    """What was printed, spaces evened out."""
    return " ".join(result.stdout.split())


def test_a_build_that_never_ran_is_refused(table: Path) -> None:
    """With everything missing, and the builds it might be compared with named if there are any."""
    result = gate(table)
    assert result.exit_code == 1
    assert said(result) == (
        f"short-soak: refused: 0 s of 7 d served by build {NOW.digest[:12]}, of which no trial is on record; 7 d are missing"
    )


def test_it_says_what_is_missing_and_why_it_was_set_to_zero(table: Path) -> None:
    """Served, by how many trials, how much faster than life; missing; and the failure that set it to zero."""
    ledger = table / "state" / "soak.json"
    for minute, outcome in enumerate(["pass", "pass", "fail", "invalid", "pass"]):
        add(ledger, outcome=outcome, minute=minute)
    result = gate(table)
    assert result.exit_code == 1
    assert said(result) == (
        f"short-soak: refused: 2 d 4 h of 7 d served by build {NOW.digest[:12]} "
        "(3 min 7 s in 1 trial, 1,000 times real time declared: each run leaks 1,000 times as much); 4 d 20 h are missing; "
        "1 invalid trial counted for nothing; set to zero 2026-11-26 14:02 UTC after 4 d 8 h, "
        "as trial 3 of run 1126140200-ab failed: tenant-b waited 3 s (limit 1 s)"
    )


def test_it_passes_when_the_time_is_served(table: Path) -> None:
    """Exit 0, and what it rests on; an old failure is not held against it."""
    ledger = table / "elsewhere.json"
    add(ledger, outcome="fail")
    for minute in range(1, 5):
        add(ledger, minute=minute)
    result = gate(table, "--soak", str(ledger))
    assert result.exit_code == 0, result.output
    assert said(result).startswith(f"short-soak: pass: 7 d of 7 d served by build {NOW.digest[:12]}, 8 d 16 h in all (")
    assert "set to zero" not in said(result)
    assert gate(table, "--soak", str(ledger), require="9d").exit_code == 1


def test_a_new_build_begins_at_zero_and_says_what_changed(table: Path) -> None:
    """The one before had its time; it does not count for this one."""
    ledger = table / "state" / "soak.json"
    add(ledger, seconds=900.0, build=BEFORE)
    result = gate(table)
    assert result.exit_code == 1
    assert "0 s of 7 d served" in said(result)
    assert said(result).endswith(
        f"it began at zero, for it is another build than {BEFORE.digest[:12]}, which had served 10 d 10 h: "
        "the image of web changed"
    )
    assert gate(table, "--build", BEFORE.digest).exit_code == 0
    assert gate(table, "--build", f"sha256:{BEFORE.digest[:10]}").exit_code == 0
    assert gate(table, "--build", "0123456789").exit_code == 1


def test_the_same_as_json(table: Path) -> None:
    """With the numbers that the sentence was made of."""
    ledger = table / "state" / "soak.json"
    add(ledger)
    result = gate(table, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    (one,) = told["scenarios"]
    assert (told["schema"], told["passed"], one["build"]) == (1, False, NOW.digest)
    assert (one["served_s"], one["missing_s"], one["real_s"]) == (187_200.0, 417_600.0, 187.2)
    assert one["compression"] == [{"times": 1000.0, "because": "each run leaks 1,000 times as much"}]
    assert one["reset"] is None
    assert one["text"] in said(gate(table))


def test_every_variant_that_is_to_pass_is_asked(table: Path) -> None:
    """Each by its name; the gate passes when all of them do."""
    (table / "s.yaml").write_text(GOOD.replace(VARIANTS, f"{VARIANTS}  tuned: {{soak: 14s}}\n"))
    add(table / "state" / "soak.json", seconds=900.0)
    result = gate(table)
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == [
        "short-soak, fixed",
        "short-soak, tuned",
    ]
    assert result.exit_code == 1
    assert gate(table, "--variant", "fixed").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variant", "fixd"], "no scenario has a variant 'fixd'; did you mean 'fixed'?"),
        (["--variant", "incident"], "the variant 'incident' is expected to fail, so it cannot serve time"),
        (["--build", "latest"], "--build latest: is no digest of a build"),
    ],
)
def test_what_cannot_be_asked_says_so(table: Path, words: list[str], message: str) -> None:
    """One message for a person, with what is possible."""
    result = gate(table, *words)
    assert result.exit_code == 2
    named = dict(zip(words[::2], words[1::2], strict=True))
    variants = (named["--variant"],) if "--variant" in named else ()
    asked = gates.Asked([table / "s.yaml"], 1.0, table / "l.json", variants, named.get("--build", ""))
    with pytest.raises(ShakeError, match=re.escape(message)):
        gates.gate(asked, print)


def test_a_scenario_in_which_nothing_is_to_pass_serves_no_time(table: Path) -> None:
    """There is no corrected variant to release."""
    (table / "s.yaml").write_text(GOOD.replace("fixed: {soak: 12s}", "fixed: {soak: 12s, expect: fail}"))
    assert gate(table).exit_code == 2
    with pytest.raises(ShakeError, match="no variant of short-soak is expected to pass"):
        gates.gate(gates.Asked([table / "s.yaml"], 1.0, table / "l.json"), print)


@pytest.mark.parametrize("require", ["7", "0s", "a week", "-1d"])
def test_a_time_has_a_unit(table: Path, require: str) -> None:
    """And is more than nothing."""
    result = CliRunner().invoke(cli, ["gate", f"--require-soak={require}", "--scenario", str(table / "s.yaml")])
    assert result.exit_code == 2
    assert "Invalid value for '--require-soak'" in result.output


def test_a_ledger_that_is_none_is_an_error(table: Path) -> None:
    """Never an empty one: that would refuse a build for a wrong reason."""
    (table / "l.json").write_text("{}")
    assert gate(table, "--soak", str(table / "l.json")).exit_code == 2
