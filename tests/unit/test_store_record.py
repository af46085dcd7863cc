"""The record of a run is complete and exactly what was judged, or it is refused: nothing is lost in silence."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from histories import BEGAN, ENDED, fault, history, scenario
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_result import sample

from shaketable.adapters.store import RunStore, read_histories
from shaketable.checks.judge import judge
from shaketable.checks.slices import slice_rows
from shaketable.model.errors import UsageError
from shaketable.model.history import LoadBeat, Look, LookBeat, Request, TrialHistory, Tripped, Witnessed

HOLDERS = ("registry", "haproxy", "back-office-1")


def live(trial: TrialHistory) -> TrialHistory:
    """The trial as the runner cuts it out of what its lane has recorded."""
    rows = slice_rows(
        trial.began,
        trial.ended,
        trial.heard,
        requests=trial.requests,
        load_beats=trial.load_beats,
        looks=trial.looks,
        look_beats=trial.look_beats,
    )
    return replace(trial, **rows)


def begin(folder: Path) -> RunStore:
    """An empty store."""
    return RunStore.create(folder, [(Path("crashed-host.yaml"), "shaketable: 1\n")])


def write_rows(store: RunStore, trial: TrialHistory) -> None:
    """A lane's rows, each kind in the order in which it is heard of."""
    for look in sorted(trial.looks, key=lambda row: row.at):
        store.look(trial.lane, look)
    for request in sorted(trial.requests, key=lambda row: row.ended):
        store.request(trial.lane, request)
    for beat in trial.look_beats:
        store.look_beat(trial.lane, beat)
    for load in trial.load_beats:
        store.load_beat(trial.lane, load)


def killed(folder: Path) -> TrialHistory:
    """A run with one trial that was never closed; the trial as it was judged."""
    store, trial = begin(folder), live(history())
    write_rows(store, trial)
    store.trial(trial)
    store.abandon()
    return trial


texts = st.text(st.characters(codec="utf-8"), max_size=8)
moments = st.floats(BEGAN - 8, ENDED + 2).map(lambda at: round(at, 6))
spans = st.floats(0, 6).map(lambda seconds: round(seconds, 6))
requests = st.builds(
    lambda due, wait, took, rest: Request(due, due + wait, due + took, *rest),
    moments,
    spans,
    spans,
    st.tuples(
        texts, st.booleans(), st.integers(0, 599), texts, texts, st.lists(texts, max_size=3).map(tuple), texts, texts
    ),
)
looks = st.builds(
    Look,
    moments,
    st.sampled_from(HOLDERS),
    st.sampled_from(["servers", "services"]),
    st.none() | st.lists(st.sampled_from(["host-1", "host-2", "host-2/billing", "é\u2028"]), max_size=4).map(tuple),
)
look_beats = st.builds(LookBeat, moments, st.sampled_from(HOLDERS), st.integers(0, 99), spans)
load_beats = st.builds(LoadBeat, moments, st.integers(0, 99), st.integers(0, 9))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.fixed_dictionaries(
        {
            "requests": st.lists(requests, max_size=25, unique_by=lambda row: (row.scheduled, row.ended)),
            "looks": st.lists(looks, max_size=25, unique_by=lambda row: row.at),
            "look_beats": st.lists(look_beats, max_size=25, unique_by=lambda row: (row.at, row.holder)),
            "load_beats": st.lists(load_beats, max_size=25, unique_by=lambda row: row.at),
        }
    ),
    notes=st.lists(texts, max_size=2).map(tuple),
    witnessed=st.none() | moments,
)
def test_any_trial_is_read_back_as_it_was_judged(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, Any], notes: tuple[str, ...], witnessed: float | None
) -> None:
    """Whatever the rows and words, the history is equal to the last digit, and so is its judgement."""
    folder = tmp_path_factory.mktemp("record") / "run"
    store, whole = begin(folder), history(faults=(fault(notes=notes, witness=Witnessed(witnessed, "a", "b")),), **rows)
    write_rows(store, whole)
    trial = live(whole)
    store.trial(trial)
    store.close(sample())
    assert read_histories(folder) == [trial]
    assert judge(read_histories(folder)[0], scenario()) == judge(trial, scenario())


def test_the_gate_that_stopped_a_rollout_is_on_record(tmp_path: Path) -> None:
    """What tripped is read back as it was; records from before there were roll-outs say nothing of it and are read."""
    folder = tmp_path / "run"
    store, whole = begin(folder), history(tripped=Tripped("storage-canary", BEGAN + 3.25, 2, 14))
    write_rows(store, whole)
    trial = live(whole)
    store.trial(trial)
    store.close(sample())
    assert read_histories(folder) == [trial]
    events = folder / "events.jsonl"
    old = re.sub(r',"tripped":\{[^}]*\}', "", events.read_text())
    assert old != events.read_text()
    events.write_text(old)
    assert read_histories(folder) == [replace(trial, tripped=None)]


def test_what_was_seen_of_an_earlier_topology_is_not_the_state_of_the_present_one(tmp_path: Path) -> None:
    """A lane that was built anew begins without knowing any list, also when it is read back."""
    store = begin(tmp_path / "run")
    for holder in HOLDERS:
        store.look(1, Look(BEGAN - 50, holder, "servers", ("host-9",)))
    unknown = [look for look in history().looks if (look.holder, look.list) != ("haproxy", "servers")]
    trial = live(history(looks=unknown))
    write_rows(store, trial)
    store.trial(trial)
    store.close(sample())
    assert read_histories(tmp_path / "run") == [trial]


def test_rows_that_came_after_the_judgement_are_not_in_it(tmp_path: Path) -> None:
    """An arrival that ended after the trial was judged is on record, and still no part of it."""
    store, trial = begin(tmp_path / "run"), live(history())
    write_rows(store, trial)
    store.trial(trial)
    due = ENDED - 0.1
    store.request(1, Request(due, due, due + 3.0, "overview", False, 0, "no answer", "", ()))
    store.look(1, Look(ENDED + 1, "haproxy", "servers", ()))
    store.close(sample())
    assert read_histories(tmp_path / "run") == [trial]


def test_a_run_from_before_there_were_cohorts_is_read(tmp_path: Path) -> None:
    """Its arrivals are of no cohort, whether its rows were still being appended or are columns already."""
    trial = killed(tmp_path / "run")
    path = tmp_path / "run" / "requests.jsonl"
    old = [json.loads(line) for line in path.read_text().splitlines()]
    for row in old:
        del row["cohort"]
    path.write_text("".join(json.dumps(row) + "\n" for row in old))
    assert read_histories(tmp_path / "run") == [trial]
    with duckdb.connect() as db:
        rows = f"SELECT * FROM read_json('{path}')"
        db.execute(f"COPY ({rows}) TO '{path.with_suffix('.parquet')}' (FORMAT parquet)")
    path.unlink()
    assert read_histories(tmp_path / "run") == [trial]


def test_a_cohort_is_taken_apart_as_it_was_put_together() -> None:
    """Pairs of key and value, and none where the user did not say."""
    row = history().requests[0]
    assert row.labels == {}
    assert replace(row, cohort="app=2.0,url=a=b").labels == {"app": "2.0", "url": "a=b"}


@pytest.mark.parametrize("torn", ["", '{"lane":1,"at":99', '{"kind":"trial","ver', '{"lane":1,"at":99.5,"holder":"a"'])
def test_a_line_that_a_kill_tore_is_left_out(tmp_path: Path, torn: str) -> None:
    """In any file, wherever it was torn."""
    trial = killed(tmp_path / "run")
    for path in (tmp_path / "run").glob("*.jsonl"):
        with path.open("a") as file:
            file.write(torn)
    assert read_histories(tmp_path / "run") == [trial]


def test_a_kill_during_the_conversion_loses_nothing(tmp_path: Path) -> None:
    """Columns take the place of the appended rows in one step."""
    trial = killed(tmp_path / "run")
    (tmp_path / "run" / "requests.parquet.new").write_bytes(b"PAR1")
    assert read_histories(tmp_path / "run") == [trial]


@pytest.mark.parametrize("name", ["events.jsonl", "requests.jsonl", "looks.jsonl", "beats.jsonl"])
def test_a_damaged_line_is_an_error(tmp_path: Path, name: str) -> None:
    """Only the last line can be torn by a kill; any other was damaged, and what it said is missing."""
    killed(tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_text("garbage\n" + path.read_text())
    with pytest.raises(UsageError, match="is damaged"):
        read_histories(tmp_path / "run")


def test_a_trial_whose_rows_are_incomplete_is_not_judged(tmp_path: Path) -> None:
    """With fewer rows it could come out otherwise: left out after a kill, an error in a run that was finished."""
    killed(tmp_path / "run")
    path = tmp_path / "run" / "requests.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-30]))
    assert read_histories(tmp_path / "run") == []
    (tmp_path / "run" / "result.json").write_text(sample().to_json())
    with pytest.raises(UsageError, match=r"rows of trial 0 \(fixed\) are missing"):
        read_histories(tmp_path / "run")


def test_columns_that_cannot_be_read_are_one_message(tmp_path: Path) -> None:
    """Not a traceback of the library that reads them."""
    killed(tmp_path / "run")
    (tmp_path / "run" / "looks.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"looks of .* cannot be read"):
        read_histories(tmp_path / "run")


def test_a_disk_that_is_full_when_a_trial_ends_does_not_stop_the_lane(tmp_path: Path) -> None:
    """Rows that were only buffered fail when they are flushed; that too is kept for `check`."""
    store = begin(tmp_path / "run")
    with Path("/dev/full").open("w") as full:
        store._files["looks"].close()
        store._files["looks"] = full
        store.look(1, history().looks[0])
        store.check()
        store.trial(live(history()))
        with pytest.raises(UsageError, match="No space left on device"):
            store.check()
        store.abandon()


def test_rows_of_threads_are_whole(tmp_path: Path) -> None:
    """Lanes write at the same time, and no line is mixed with another."""
    store, rows = begin(tmp_path / "run"), list(history().requests)

    def write(lane: int) -> None:
        for _ in range(5):
            for row in rows:
                store.request(lane, row)

    threads = [threading.Thread(target=write, args=(lane,)) for lane in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for lane in range(1, 5):
        store.trial(replace(live(history()), lane=lane, looks=(), look_beats=(), load_beats=(), requests=()))
    store.close(sample())
    assert [len(one.requests) for one in read_histories(tmp_path / "run")] == [5 * len(rows)] * 4
