"""Figures of neighbours: what a host that spins costs whoever is on another host of the same machine.

The busy loops of the fault `spin` run on `server-1` of compose/mail, which has 0.7 of a CPU of its own. The p99 latency
of what users of `server-2` ask for is taken with and without them in turn, in one trial; each pair is compared by itself,
so that what else the machine does falls on both.

In the first trial nobody asks anything of `server-1`: what is felt then is the loops' own. In the second its users are
there, too, and come through the same entry and from the same process as those of `server-2`: what is felt then is also
that their answers come late, and several at once. Beside it the same of the spinning host itself, so that it is seen that
it was hit.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import ROOT, Log, quantile

from shaketable.model.history import Request, TrialHistory
from shaketable.run.campaign import Campaign
from shaketable.run.campaign import Request as Asked
from shaketable.run.prepare import load_all

TURNS = int(os.environ.get("BENCH_TURNS", "16"))
SECONDS = 8
WORKERS = 2
RATE = 30
"""Arrivals a second for each server that has users."""
SPINNING, OUTSIDE = "server-1", "server-2"
_SCENARIO = f"""
shaketable: 1
name: neighbours
topology: {{compose: {ROOT}/compose/mail, lanes: 1}}
variants: {{fixed: {{}}}}
load: {{locustfile: load.py, target: "http://entry:8080", rate: RATE /s, timeout: 3s, max_not_started: 10 %}}
observers:
  every: 50ms
  max_gap: 2s
  holders:
    entry: {{kind: haproxy, at: "entry:9999", lists: {{tenants: "{{host}}:{{service}}/web"}}, every: 200ms}}
steady: {{lists: {{tenants: 6}}, hold: {SECONDS}s, within: 60s}}
faults:
  - id: spin
    kind: spin
    target: {{host: {SPINNING}}}
    with: {{workers: {WORKERS}}}
    lasts: {SECONDS}s
    repeat: {{times: {TURNS}, every: {SECONDS}s}}
expectations:
  - {{id: steady-again, kind: recovers, within: 30s}}
"""


def figures(log: Log) -> dict[str, Any]:
    """The p99 with and without, and the ratio of each pair, of the other host and of the spinning one; or why not."""
    try:
        alone, shared = trial_of(log, OUTSIDE), trial_of(log, OUTSIDE, SPINNING)
    except RuntimeError as error:  # the figures of everything else are not lost for it
        return {"invalid": str(error)}
    return {
        "turns": TURNS,
        "seconds_each": SECONDS,
        "outside": compared(alone, OUTSIDE),
        "outside_beside_users_of_the_spinning_host": compared(shared, OUTSIDE),
        "spinning_host": compared(shared, SPINNING),
    }


def trial_of(log: Log, *asked: str) -> TrialHistory:
    """One trial, in which these servers have users. Raises RuntimeError when it is not valid."""
    load = (ROOT / "scenarios" / "mail" / "load.py").read_text()
    everybody = f'SERVERS = ("{SPINNING}", "{OUTSIDE}")'
    if everybody not in load:
        raise RuntimeError(f"scenarios/mail/load.py has no line {everybody}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "neighbours.yaml").write_text(_SCENARIO.replace("RATE", str(RATE * len(asked))))
        (folder / "load.py").write_text(load.replace(everybody, f"SERVERS = {asked!r}"))
        scenarios = load_all([folder / "neighbours.yaml"])
        finished = Campaign(Asked(command="run", scenarios=scenarios, out=folder / "run", seed=7), log).run()
    trial, history = finished.result.scenarios[0].trials[0], finished.histories[0]
    if trial.outcome == "invalid":
        raise RuntimeError(f"the trial with users of {', '.join(asked)} is invalid: {'; '.join(trial.invalid_because)}")
    return history


def compared(history: TrialHistory, server: str) -> dict[str, Any]:
    """Compare each time of the fault with the time before it: p99 of a server's users, milliseconds, and the ratios."""
    mine = [r for r in history.requests if f"server={server}" in r.cohort.split(",")]
    healed = [history.faults[0].sent - SECONDS, *(f.healed for f in history.faults)]
    calm = [p99(mine, before, fault.sent) for before, fault in zip(healed, history.faults, strict=False)]
    spun = [p99(mine, fault.injected, fault.heal_began) for fault in history.faults]
    # also against the calm time after it, so that a drift of the machine does not look like the fault
    around = [statistics.fmean(pair) for pair in pairwise([*calm, p99(mine, healed[-1], history.ended)])]
    ratios = [with_it / without for with_it, without in zip(spun, around, strict=True)]
    logs = [math.log(ratio) for ratio in ratios]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return {
        "arrivals": len(mine),
        "p99_without_ms": quantile((ms * 1e3 for ms in calm), 0.5),
        "p99_with_ms": quantile((ms * 1e3 for ms in spun), 0.5),
        "ratio": round(math.exp(statistics.fmean(logs)), 3),
        "ratio_interval95": [round(math.exp(statistics.fmean(logs) + side * 1.96 * error), 3) for side in (-1, 1)],
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def p99(requests: Iterable[Request], start: float, end: float) -> float:
    """Of the latency of what was due in a stretch, seconds. Raises RuntimeError when nothing was."""
    found = quantile((r.latency for r in requests if start <= r.scheduled < end), 0.99)
    if found is None:
        raise RuntimeError(f"nothing was asked for between {start:.1f} and {end:.1f}")
    return found
