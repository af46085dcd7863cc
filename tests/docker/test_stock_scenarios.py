"""The stock scenarios on somebody's own compose file: a stock server with a small web service, and three lines of YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import Steps

from shaketable.run.campaign import Campaign, Finished, Request
from shaketable.run.prepare import judge_again, load_all

pytestmark = pytest.mark.usefixtures("engine")
STOCK = Path(__file__).parent / "stock"
FILES = {"postgresql": ["compose.yaml"], "mariadb": ["compose.yaml", "mariadb.yaml"]}
LIMITED = {"postgresql": "limited.yaml", "mariadb": "mariadb-limited.yaml"}
DATABASE = {"postgresql": "", "mariadb": ", db: shop"}


def prove(tmp_path: Path, text: str) -> Finished:
    """A user's scenario, one trial of each variant."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    scenarios = load_all([mine])
    return Campaign(
        Request(command="prove", scenarios=scenarios, out=tmp_path / "run", trials=1, seed=1), Steps()
    ).run()


@pytest.mark.parametrize("server", FILES)
def test_an_idle_transaction_is_judged_on_a_system_of_ones_own(server: str, tmp_path: Path) -> None:
    """With the server's own settings everybody waits for the table; with a limit on idle transactions nobody does for long."""
    files = ", ".join(FILES[server])
    finished = prove(
        tmp_path,
        f"""shaketable: 1
extends: idle-transaction
with: {{compose: {STOCK}, database: db, table: orders, url: "http://web:8080/orders"{DATABASE[server]}}}
variants:
  today: {{files: [{files}], expect: fail}}
  limited: {{files: [{files}, {LIMITED[server]}], expect: pass}}
""",
    )
    today, limited = finished.result.scenarios
    said = [f"{e.id}: {e.because}" for one in (today, limited) for t in one.trials for e in t.expectations]
    assert finished.result.proved, [*said, *(t.invalid_because for one in (today, limited) for t in one.trials)]
    failed = {e.id for e in today.trials[0].expectations if e.verdict == "fail"}
    assert {"nobody-waits-long", "transaction-is-ended", "served"} <= failed, said
    assert finished.result.residue == ()
    again = judge_again(tmp_path / "run")
    assert [one.verdict for one in again.scenarios] == ["fail", "pass"]


@pytest.mark.parametrize("server", FILES)
def test_a_deadlock_storm_is_judged_on_a_system_of_ones_own(server: str, tmp_path: Path) -> None:
    """Who only reads is not touched by it, and the server's own counter says that it was there."""
    finished = prove(
        tmp_path,
        f"""shaketable: 1
extends: deadlock-storm
with: {{compose: {STOCK}, database: db, table: orders, url: "http://web:8080/{{orders,list}}"{DATABASE[server]}, lasts: 4s}}
variants: {{today: {{files: [{", ".join(FILES[server])}]}}}}
""",
    )
    (today,) = finished.result.scenarios
    (trial,) = today.trials
    assert finished.result.proved, [*trial.invalid_because, *((e.id, e.because) for e in trial.expectations)]
    assert trial.faults[0].effective
    (growth,) = (e for e in trial.expectations if e.id == "no-more-deadlocks")
    assert growth.value is not None
    assert growth.value >= 1
