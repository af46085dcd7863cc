"""The run folder: what is read back is what was judged, and a killed run leaves a usable prefix."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from histories import history, scenario
from sample_result import sample

from shaketable.adapters.store import RunStore, read_histories, read_result
from shaketable.checks.judge import judge
from shaketable.model.errors import UsageError
from shaketable.model.history import Look, TrialHistory

TEXT = "shaketable: 1\n"


def recorded(folder: Path, *histories: TrialHistory) -> RunStore:
    """A store with these trials and their rows, still open."""
    store = RunStore.create(folder, [(Path("crashed-host.yaml"), TEXT)])
    for one in histories:
        for request in one.requests:
            store.request(one.lane, request)
        for look in one.looks:
            store.look(one.lane, look)
        for beat in one.look_beats:
            store.look_beat(one.lane, beat)
        for load in one.load_beats:
            store.load_beat(one.lane, load)
        store.trial(one)
    return store


def test_what_is_read_back_is_judged_the_same(tmp_path: Path) -> None:
    """A closed run is Parquet, and its histories and judgements are exactly the live ones."""
    one, two = history(), history(lane=2, index=1, variant="incident", recovered=None)
    recorded(tmp_path / "run", one, two).close(sample())
    assert {p.name for p in (tmp_path / "run").glob("*.parquet")} == {
        "requests.parquet",
        "looks.parquet",
        "beats.parquet",
    }
    back = read_histories(tmp_path / "run")
    assert [judge(h, scenario()) for h in back] == [judge(h, scenario()) for h in (one, two)]
    assert read_result(tmp_path / "run") == sample()


def test_a_killed_run_is_a_usable_prefix(tmp_path: Path) -> None:
    """Without a clean end, with a line torn in the middle, every trial that was over can be judged again."""
    folder = tmp_path / "run"
    store = recorded(folder, history())
    with (folder / "requests.jsonl").open("a") as rows, (folder / "events.jsonl").open("a") as events:
        rows.write('{"lane":1,"scheduled":106.1,"sta')
        events.write('{"kind":"injec')
    (back,) = read_histories(folder)
    assert judge(back, scenario()) == judge(history(), scenario())
    store.abandon()


def test_lanes_do_not_mix(tmp_path: Path) -> None:
    """Rows of another lane at the same moments are not part of a trial."""
    other = history(lane=2)
    stray = Look(other.began + 1, "registry", "servers", ())
    recorded(tmp_path / "run", history(), replace(other, looks=[*other.looks, stray])).close(sample())
    back = {h.lane: h for h in read_histories(tmp_path / "run")}
    assert stray not in back[1].looks
    assert stray in back[2].looks


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    """A run is never mixed with another one."""
    (tmp_path / "old").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        RunStore.create(tmp_path, [])


def test_an_unwritable_folder_is_one_clear_message() -> None:
    """The message names the folder, the reason and what to do."""
    with pytest.raises(UsageError, match=r"cannot be written to /proc/nowhere/run.*\n.*--out"):
        RunStore.create(Path("/proc/nowhere/run"), [])


class FullFile:
    """A file on a full disk."""

    closed = False

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        self.closed = True


def test_a_full_disk_is_reported_by_check(tmp_path: Path) -> None:
    """Threads that record cannot raise; whoever asks afterwards is told, and no verdict is written."""
    store = recorded(tmp_path / "run")
    store._files["requests"] = FullFile()  # type: ignore[assignment]
    store.request(1, history().requests[0])
    with pytest.raises(UsageError, match="No space left on device"):
        store.check()
    with pytest.raises(UsageError, match="No space left on device"):
        store.close(sample())
    assert not (tmp_path / "run" / "result.json").exists()
