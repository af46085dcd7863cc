"""The rules of the soak ledger: clean time adds up, a failure sets it to zero, another build begins anew."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_histories import GOOD

from shaketable.adapters.soak_file import SoakLedger, default_ledger, read_ledger
from shaketable.checks.soak import accumulate, as_served, cells_that_must_pass, changes, entry, judge_soak
from shaketable.model.errors import UsageError
from shaketable.model.result import Finding, Outcome, Trial
from shaketable.model.scenario import Compression, Scenario
from shaketable.model.soak import Ledger, Served, build_of
from shaketable.model.spans import show_parts
from shaketable.run.loader import parse_scenario

FAST = Compression(times=1000, because="each run leaks 1,000 times as much")
OLD, NEW = build_of({"web": "sha256:a", "db": "sha256:d"}), build_of({"web": "sha256:b", "db": "sha256:d"})
START = datetime(2026, 11, 26, 14, 2, tzinfo=UTC)


def scenario(axes: str = "", cells: str = "{expect: pass}") -> Scenario:
    """A scenario whose variant `fixed` is expected to pass."""
    return parse_scenario(
        GOOD.replace("fixed: {soak: 12s}", f"fixed: {cells}").replace("load:", f"{axes}load:", 1), file="f"
    )


PLAIN = scenario()


def trial(
    outcome: Outcome = "pass", seconds: float = 10.0, number: int = 0, build=OLD, compression=FAST, cell: str = ""
) -> Served:
    """One trial; the number makes it later than the ones before."""
    return Served(
        scenario=PLAIN.name,
        variant="fixed",
        build=build,
        cell=cell,
        run="1126-ab",
        trial=number,
        outcome=outcome,
        seconds=seconds,
        ended=(START + timedelta(minutes=number)).isoformat(),
        because="tenant-b waited 3 s (limit 1 s)" if outcome == "fail" else "",
        compression=compression,
    )


def after(trials: Sequence[Served]) -> Ledger:
    """The ledger after these trials."""
    ledger = Ledger(soak=1)
    for one in trials:
        ledger = accumulate(ledger, one)
    return ledger


def served(ledger: Ledger, build=OLD) -> tuple[float, float]:
    """Real seconds and those of life that a build has."""
    found = entry(ledger, PLAIN.name, "fixed", build.digest)
    return (0.0, 0.0) if found is None else (found.real_s, found.life_s)


def test_clean_time_adds_up_and_is_compressed_as_declared() -> None:
    """Real seconds as they were, and what they stand for; without a declaration they stand for themselves."""
    assert served(after([trial(), trial(seconds=2.5, number=1)])) == (12.5, 12_500.0)
    assert served(after([trial(compression=None)])) == (10.0, 10.0)


def test_a_failure_sets_the_build_to_zero_and_says_why() -> None:
    """With the run, the trial, the sentence and the time of day; what comes after counts anew."""
    ledger = after([trial(), trial("fail", number=3), trial(seconds=4.0, number=4)])
    found = entry(ledger, PLAIN.name, "fixed", OLD.digest)
    assert found is not None
    assert found.reset is not None
    assert (found.real_s, found.resets, dict(found.passed)) == (4.0, 1, {"": 1})
    assert (found.reset.run, found.reset.trial, found.reset.lost_s) == ("1126-ab", 3, 10_000.0)
    assert found.reset.because == "tenant-b waited 3 s (limit 1 s)"
    assert found.reset.at == "2026-11-26T14:05:00+00:00"


def test_an_invalid_trial_is_counted_and_changes_nothing() -> None:
    """It proves nothing: neither time nor a failure comes of it."""
    ledger = after([trial(), trial("invalid", number=1)])
    found = entry(ledger, PLAIN.name, "fixed", OLD.digest)
    assert found is not None
    assert (found.life_s, found.invalid, found.reset) == (10_000.0, 1, None)


def test_another_build_begins_at_zero_and_says_what_changed() -> None:
    """The build before keeps what it had, for it may come back."""
    ledger = after([trial(seconds=900.0), trial(number=1, build=NEW)])
    new = judge_soak(ledger, PLAIN, "fixed", NEW.digest, 604_800.0)
    assert new.served is not None
    assert new.before is not None
    assert (new.served.life_s, new.before.build, new.changed) == (10_000.0, OLD.digest, ("the image of web changed",))
    assert judge_soak(ledger, PLAIN, "fixed", OLD.digest, 604_800.0).passed
    assert judge_soak(ledger, PLAIN, "fixed", OLD.digest, 604_800.0).before is None, "it was the first"


def test_what_changed_is_told_service_by_service() -> None:
    """Images, services that came and services that went; nothing of a build that nobody knows."""
    assert changes({"a": "1", "b": "2", "c": "3"}, {"a": "9", "b": "8", "d": "3"}) == (
        "the image of a and b changed",
        "d is new",
        "c is gone",
    )
    assert changes(None, {"a": "1"}) == ()
    many = dict.fromkeys("abcdef", "1")
    assert changes(many, dict.fromkeys(many, "2")) == ("the image of a, b, c and 3 more changed",)


def test_every_service_and_its_place_makes_the_build() -> None:
    """The same images in other places are another build; the order in which they were looked up does not matter."""
    assert build_of({"a": "1", "b": "2"}) == build_of({"b": "2", "a": "1"})
    different = [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1"}, {"a": "1", "h/b": "2"}]
    assert len({build_of(images).digest for images in different}) == 4


def test_time_is_served_only_where_a_pass_is_expected() -> None:
    """A cell that is to fail, or may, says nothing about a build, and neither does the incident."""
    told = scenario("axes: {loop: [cpu, fork, leak]}\n", "{expect: pass, cells: {cpu: pass, fork: fail}}")
    assert cells_that_must_pass(told, "fixed") == ["loop=cpu"]
    ended = Trial(index=1, lane=0, outcome="fail", axis={"loop": "cpu"}, seed="s", seconds=9.0, clean_s=8.0, ended="x")
    found = as_served(told, "fixed", OLD, "r", ended)
    assert found is not None
    assert (found.cell, found.seconds, found.because) == ("loop=cpu", 8.0, "")
    assert as_served(told, "fixed", OLD, "r", ended.model_copy(update={"axis": {"loop": "fork"}})) is None
    assert as_served(told, "incident", OLD, "r", ended) is None


def test_each_cell_must_have_served() -> None:
    """Nobody releases what was never tried with one of the loops, however long it was with the others."""
    told = scenario("axes: {loop: [cpu, fork]}\n")
    ledger = after([trial(seconds=900.0, cell="loop=cpu")])
    judged = judge_soak(ledger, told, "fixed", OLD.digest, 604_800.0)
    assert (judged.missing, judged.untried, judged.passed) == (0.0, ("loop=fork",), False)
    ledger = accumulate(ledger, trial(seconds=1.0, cell="loop=fork", number=1))
    assert judge_soak(ledger, told, "fixed", OLD.digest, 604_800.0).passed


def test_the_sentence_of_the_first_failure_is_kept() -> None:
    """That of the first expectation that did not hold."""
    findings = tuple(
        Finding(id=v, kind="k", verdict=v, value=None, limit=None, unit="", because=f"it is {v}")  # type: ignore[arg-type]
        for v in ("pass", "unknown", "fail")
    )
    ended = Trial(index=1, lane=0, outcome="fail", axis={}, seed="s", seconds=9.0, expectations=findings)
    found = as_served(PLAIN, "fixed", OLD, "r", ended)
    assert found is not None
    assert found.because == "it is fail"


TRIALS = st.lists(
    st.tuples(st.sampled_from(["pass", "fail", "invalid"]), st.floats(0, 1e4), st.sampled_from([OLD, NEW])),
    max_size=30,
)


@given(TRIALS)
def test_never_more_time_than_trials_gave(given: list[tuple[Outcome, float, object]]) -> None:
    """A build has exactly the time of its passes since its last failure, whatever other builds did in between."""
    trials = [trial(o, s, n, b) for n, (o, s, b) in enumerate(given)]
    ledger = after(trials)
    for build in (OLD, NEW):
        own = [one for one in trials if one.build == build]
        last = max((n for n, one in enumerate(own) if one.outcome == "fail"), default=-1)
        clean = [one for one in own[last + 1 :] if one.outcome == "pass"]
        real, life = served(ledger, build)
        assert real == pytest.approx(sum(one.seconds for one in clean), abs=0.001 * len(clean) + 1e-9)
        assert life == pytest.approx(1000 * sum(one.seconds for one in clean), abs=0.001 * len(clean) + 1e-6)
        found = entry(ledger, PLAIN.name, "fixed", build.digest)
        assert (found is None) == (not own)
        if found is not None:
            assert (found.reset is None) == (last == -1)
            assert found.resets == sum(one.outcome == "fail" for one in own)
            assert sum(found.passed.values()) == len(clean)
            assert found.invalid == sum(one.outcome == "invalid" for one in own[last + 1 :])
    assert set(ledger.builds) == {one.build.digest for one in trials}


@given(TRIALS)
def test_the_file_says_what_the_ledger_does(given: list[tuple[Outcome, float, object]]) -> None:
    """Written and read again it is the same."""
    ledger = after([trial(o, s, n, b) for n, (o, s, b) in enumerate(given)])
    assert Ledger.model_validate_json(ledger.model_dump_json(by_alias=True)) == ledger


def test_the_file_stays_small() -> None:
    """Of many builds the latest are kept."""
    ledger = after([trial(number=n, build=build_of({"web": f"sha256:{n}"})) for n in range(60)])
    assert len(ledger.served) == len(ledger.builds) == 50
    assert entry(ledger, PLAIN.name, "fixed", build_of({"web": "sha256:59"}).digest) is not None
    assert entry(ledger, PLAIN.name, "fixed", build_of({"web": "sha256:9"}).digest) is None


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    """Whoever adds a trial waits for the other, in this process as in another."""
    path = tmp_path / "deep" / "soak.json"
    threads = [
        threading.Thread(target=lambda n=n: [SoakLedger(path).add(trial(seconds=1.0, number=n)) for _ in range(10)])
        for n in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert served(read_ledger(path)) == (40.0, 40_000.0)
    assert sorted(p.name for p in path.parent.iterdir()) == ["soak.json", "soak.json.lock"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"shaketable-soak": 1, "builds": {', "is not a soak ledger of this version: Invalid JSON"),
        ("", "is not a soak ledger of this version"),
        ("{}", "shaketable-soak: Field required"),
        ('{"shaketable-soak": 2}', "shaketable-soak: Input should be 1"),
        ('{"shaketable-soak": 1, "more": 1}', "more: Extra inputs are not permitted"),
        ("[]", "is not a soak ledger"),
        ('{"schema": 1, "verdict": "pass"}', "is not a soak ledger"),
    ],
    ids=["torn", "empty", "no version", "newer", "foreign key", "list", "a result"],
)
def test_what_is_no_ledger_is_left_as_it_is(tmp_path: Path, text: str, expected: str) -> None:
    """A torn or foreign file is an error for people that says what to do, and nobody writes over it."""
    path = tmp_path / "soak.json"
    path.write_text(text)
    for work in (SoakLedger(path).check, lambda: SoakLedger(path).add(trial()), lambda: read_ledger(path)):
        with pytest.raises(UsageError) as caught:
            work()
        assert expected in str(caught.value)
        assert "--soak" in str(caught.value)
    assert path.read_text() == text


def test_a_ledger_that_cannot_be_written_is_told_before_any_trial(tmp_path: Path) -> None:
    """A folder in its place, or a file in its folder's."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path, why in ((tmp_path / "folder", "cannot be read"), (tmp_path / "file" / "soak.json", "cannot be written")):
        with pytest.raises(UsageError, match=why):
            SoakLedger(path).check()


def test_the_ledger_is_where_journals_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless told, it is in the state folder; and it is there, empty, once it was checked."""
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))
    assert default_ledger() == tmp_path / "state" / "soak.json"
    assert read_ledger(default_ledger()) == Ledger(soak=1)
    SoakLedger(default_ledger()).check()
    assert json.loads(default_ledger().read_text()) == {"shaketable-soak": 1, "builds": {}, "served": []}


@pytest.mark.parametrize(
    ("seconds", "down", "up"),
    [
        (0.0, "0 s", "0 s"),
        (3.2, "3.2 s", "3.2 s"),
        (60.0, "1 min", "1 min"),
        (187.4, "3 min 7 s", "3 min 8 s"),
        (3599.9, "59 min 59 s", "1 h"),
        (187_200.0, "2 d 4 h", "2 d 4 h"),
        (187_201.0, "2 d 4 h", "2 d 5 h"),
        (86_399.0, "23 h 59 min", "1 d"),
        (604_799.0, "6 d 23 h", "7 d"),
        (604_800.0, "7 d", "7 d"),
    ],
)
def test_times_are_never_told_longer_than_they_were(seconds: float, down: str, up: str) -> None:
    """What was served is rounded down, what is missing up: the two never hide a rest."""
    assert (show_parts(seconds), show_parts(seconds, up=True)) == (down, up)
