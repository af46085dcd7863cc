"""pytest plugin: run scenarios from a test.

    def test_a_crashed_host_leaves_every_list(shake):
        shake("scenarios/crashed-host.yaml", variant="fixed", trials=3)

The test fails with the sentences of the failed expectations, and with the reasons when the verdict is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shaketable.model.result import Result, Trial

Shake = Callable[..., "Result"]


class _Quiet:
    """Steps go to the captured output, so that a failed test shows them."""

    def say(self, text: str) -> None:
        print(text)  # noqa: T201

    def begin(self, total: int) -> None:
        print(f"{total} trials")  # noqa: T201

    def trial(self, variant: str, trial: Trial) -> None:
        print(f"{trial.outcome} {variant} {' '.join(trial.axis.values())} #{trial.index}")  # noqa: T201


@pytest.fixture
def shake(tmp_path: Path) -> Shake:
    """Run a scenario file and fail the test unless its verdict is `pass`. Returns the Result."""

    def run(scenario: str | Path, *, variant: str = "", trials: int = 1, seed: int = 1, lanes: int = 1) -> Result:
        from shaketable.run.campaign import Campaign, Request  # noqa: PLC0415  (only tests that use it pay for it)
        from shaketable.run.prepare import load_all  # noqa: PLC0415

        request = Request(
            command="run",
            scenarios=load_all([Path(scenario)]),
            out=tmp_path / "run",
            trials=trials,
            seed=seed,
            lanes=lanes,
            variants=(variant,) if variant else (),
        )
        result = Campaign(request, _Quiet()).run().result
        if result.verdict != "pass":
            trials_of_all = [trial for part in result.scenarios for trial in part.trials]
            because = [f.because for t in trials_of_all for f in t.expectations if f.verdict == "fail"]
            because += [reason for t in trials_of_all for reason in t.invalid_because]
            pytest.fail(f"{scenario}: {result.verdict}\n" + "\n".join(dict.fromkeys(because)), pytrace=False)
        return result

    return run
