"""`make bench`: figures of one run on one machine, as JSON on stdout; compare the ratios, not the digits.

- valid trials per minute of the corrected back office by number of lanes, and the bound that the scenario's own times set
- the same verdict obtained without shaketable (naive_crash.py), in the same run, and the ratio
- sent-to-effective delay and skew by mode, largest gap between two looks, CPU of the observer
- nested hosts: how soon an engine answers, and a project brought up in one against the same on the engine itself
- the database observer: transactions per second with and without it, and what a look costs by open sessions
- neighbours: p99 of those on another host while one host spins, against the time without, in turn
- every fault by itself: sent-to-effective and heal, on 1 and 20 targets, beside other ways of doing it (faults.py)
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from shaketable.model.result import Trial
from shaketable.run.campaign import Campaign, Finished, Request
from shaketable.run.prepare import load_all, prepare_images

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "backoffice" / "crashed-host.yaml"
LANES = tuple(int(n) for n in os.environ.get("BENCH_LANES", "1,3,4,5").split(","))
HOLD = 0.3
"""Seconds that steady state has to hold, before the fault and after heal."""
NAIVE_TRIALS = int(os.environ.get("NAIVE_TRIALS", "3"))


class Log:
    """Progress goes to stderr, so that stdout is JSON alone."""

    def say(self, text: str) -> None:
        """A step."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def begin(self, total: int) -> None:
        """Trials start."""
        self.say(f"{total} trials")

    def trial(self, variant: str, trial: Trial) -> None:
        """A trial ended."""
        self.say(f"  {trial.outcome} {variant} {trial.axis} {trial.seconds:.1f} s {' '.join(trial.invalid_because)}")


def quantile(values: Iterable[float], q: float) -> float | None:
    """The ceil(q n)-th smallest value."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(q * len(ordered)) - 1)], 6) if ordered else None


def observer_cpu(folder: Path) -> float | None:
    """Mean CPU of an observer, cores, over all lanes and lives."""
    seen: dict[int, list[tuple[float, float]]] = {}
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event.get("kind") == "cpu" and event.get("tool") == "observer":
            seen.setdefault(event["lane"], []).append((event["at"], event["seconds"]))
    shares = [(b[1] - a[1]) / (b[0] - a[0]) for rows in seen.values() for a, b in pairwise(rows) if b[1] >= a[1]]
    return round(sum(shares) / len(shares), 4) if shares else None


def campaign(lanes: int, trials: int, folder: Path) -> Finished:
    """Run the corrected variant."""
    request = Request(
        command="run",
        scenarios=load_all([SCENARIO]),
        out=folder,
        trials=trials,
        seed=7,
        lanes=lanes,
        variants=("fixed",),
    )
    return Campaign(request, Log()).run()


def by_lanes(finished: Finished, lanes: int) -> dict[str, Any]:
    """Rate while all lanes work, and the bound: what the lanes would do if only the scenario's own times passed."""
    trials = finished.result.scenarios[0].trials
    valid = [t for t in trials if t.outcome != "invalid"]
    span = max(h.ended for h in finished.histories) - min(h.began for h in finished.histories)
    own = [h.faults[0].heal_began - h.steady for h in finished.histories if h.faults and h.steady]
    own = [seconds + 2 * HOLD for seconds in own]
    return {
        "lanes": lanes,
        "trials": len(trials),
        "valid": len(valid),
        "failed": sum(t.outcome == "fail" for t in trials),
        "valid_per_minute": round(60 * len(valid) / span, 2),
        "seconds_a_trial_p50": quantile((t.seconds for t in trials), 0.5),
        "bound_per_minute": round(60 * lanes / (sum(own) / len(own)), 2),
        "largest_look_gap_ms": {
            "p50_of_trials": (quantile((max(w.max_gap_s for w in t.watch) for t in trials), 0.5) or 0) * 1e3,
            "max": (quantile((max(w.max_gap_s for w in t.watch) for t in trials), 1.0) or 0) * 1e3,
        },
        "observer_cpu_cores": observer_cpu(finished.folder),
    }


def by_mode(trials: list[Trial]) -> dict[str, Any]:
    """Delay from request to effect and skew within a host, milliseconds."""
    figures = {}
    for mode in sorted({t.axis["mode"] for t in trials}):
        faults = [f for t in trials if t.axis["mode"] == mode for f in t.faults]
        delays = [f.injected_s - f.sent_s for f in faults]
        figures[mode] = {
            "n": len(faults),
            "sent_to_effective_ms": {q: (quantile(delays, p) or 0) * 1e3 for q, p in (("p50", 0.5), ("p95", 0.95))},
            "skew_ms": {
                "p50": (quantile((f.skew_s for f in faults), 0.5) or 0) * 1e3,
                "max": (quantile((f.skew_s for f in faults), 1.0) or 0) * 1e3,
            },
        }
    return figures


def naive(folder: Path) -> dict[str, Any]:
    """Trials per minute of the script one would write without us."""
    override = folder / "publish.yaml"
    ports = {f"back-office-{n}": {"ports": ["127.0.0.1::8081"]} for n in (1, 2)}
    open_network = {"default": {"internal": False}}  # nothing is published from an internal one
    override.write_text(json.dumps({"services": ports, "networks": open_network}))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:locust", str(Path(__file__).parent / "naive_crash.py")],
        env={
            **os.environ,
            "NAIVE_OVERRIDE": str(override),
            "NAIVE_TRIALS": str(NAIVE_TRIALS),
            "TESTCONTAINERS_RYUK_DISABLED": "true",
        },
        stdout=sys.stderr,
        cwd=ROOT,
        check=False,
    )
    seconds = time.monotonic() - began
    return {
        "trials": NAIVE_TRIALS,
        "passed": done.returncode == 0,
        "trials_per_minute": round(60 * NAIVE_TRIALS / seconds, 2),
    }


def main() -> None:
    """Run everything and print JSON."""
    prepare_images([SCENARIO], Log().say)
    with tempfile.TemporaryDirectory() as scratch:
        runs = [(lanes, campaign(lanes, 2 if lanes < 4 else 4, Path(scratch) / f"lanes-{lanes}")) for lanes in LANES]
        lanes = [by_lanes(finished, n) for n, finished in runs]
        without = naive(Path(scratch))
    import databases  # noqa: PLC0415  (they use what is defined here)
    import faults  # noqa: PLC0415
    import neighbours  # noqa: PLC0415
    import nested  # noqa: PLC0415

    best = max(lanes, key=lambda row: row["valid_per_minute"])
    print(  # noqa: T201
        json.dumps(
            {
                "machine": {"cpus": os.cpu_count(), "kernel": os.uname().release},
                "fixed_by_lanes": lanes,
                "without_shaketable": without,
                "ratio": round(best["valid_per_minute"] / without["trials_per_minute"], 2)
                if without["passed"]
                else None,
                "faults": faults.figures(Log()),
                "nested_hosts": nested.figures(Log()),
                "neighbours": neighbours.figures(Log()),
                "database_observer": databases.figures(Log()),
                "modes": by_mode([t for _, f in runs for t in f.result.scenarios[0].trials]),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
