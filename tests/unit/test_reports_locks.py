"""The lock graph in the reports: who blocked whom is drawn, listed and said as it was looked at, however many there were."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
import report_locks_sample
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, INJECTED
from lock_histories import MIGRATE, blocked, chat, waits

from shaketable.checks.locks import Session, chains
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.reports.functions_by_cell import functions_found
from shaketable.reports.html import report_html
from shaketable.reports.html_axis import Scale
from shaketable.reports.html_locks import LocksLane, lanes, locks_views
from shaketable.reports.html_timeline import timeline, to_script
from shaketable.reports.locks import Blocking, blocked_found, locks, sentence
from shaketable.reports.markdown import summary_markdown
from shaketable.reports.status_words import Line, lines

SCENARIO = report_locks_sample.scenario()
MANY, FEW = (report_locks_sample.history("incident", n, behind) for n, behind in ((0, 60), (1, 3)))
MS = Scale(INJECTED)
IDS = st.sampled_from([str(n) for n in range(1, 30)])


def first(history: TrialHistory, scenario: Scenario = SCENARIO) -> Blocking:
    """The blocker that cost the others the most time."""
    return locks(history, scenario)[0].blocking[0]


def lane(history: TrialHistory) -> LocksLane:
    """What is drawn of the shared database."""
    return lanes(locks(history, SCENARIO), history, SCENARIO, MS)[0]


def told(history: TrialHistory) -> list[Line]:
    """The sentences about locks."""
    return [
        one for one in lines(history, SCENARIO, (), locks(history, SCENARIO)) if one.name.endswith(("shared", "store"))
    ]


@pytest.fixture(scope="module")
def page() -> str:
    """The page of a run."""
    return report_html(*report_locks_sample.sample(2))


def words(page: str) -> str:
    """What a reader without JavaScript reads."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_blocker_has_its_span_and_those_behind_it_theirs() -> None:
    """Each on the fault's own axis, indented by how far back it stands, with what it waits for and its statement."""
    row = [waits(chat("11"), MIGRATE), waits(chat("12"), chat("11"), "transactionid")]
    drawn = lane(blocked((1.0, row[:1]), (1.5, row), (4.0, ())))
    (blocker,) = drawn["rows"]
    assert (blocker["name"], blocker["who"], blocker["bad"]) == ("7 migrate", "session 7 (migration/migrate)", True)
    assert (blocker["spans"], blocker["most"], blocker["lasted"]) == ([(1000, 4000)], 2, 3000)
    assert blocker["counts"] == [(1000, 1), (1500, 2), (4000, 0)]
    assert [(w["name"], w["depth"], w["by"]) for w in blocker["behind"]] == [
        ("11 chat", 1, "session 7"),
        ("12 chat", 2, "session 11"),
    ]
    said = [
        (a, b, drawn["words"][on], drawn["words"][what]) for w in blocker["behind"] for a, b, on, what in w["spans"]
    ]
    assert said == [
        (1000, 4000, "relation subscriptions", "UPDATE chats SET accepted = 11"),
        (1500, 4000, "transactionid", "UPDATE chats SET accepted = 12"),
    ]
    (turn,) = blocker["turns"]
    assert [drawn["words"][n] for n in turn[2:]] == [MIGRATE.state, MIGRATE.statement]


def test_sixty_are_a_dozen_and_forty_eight_more() -> None:
    """There is room for a dozen; the others are counted, with their times and what they wanted, and three are all there."""
    row = lane(MANY)["rows"][0]
    assert (len(row["behind"]), row["most"]) == (12, 60)
    assert row["rest"] is not None
    assert row["rest"]["count"] == 48
    assert sum(number for number, _ in row["rest"]["statements"]) == 48
    few = lane(FEW)["rows"][0]
    assert (len(few["behind"]), few["rest"]) == (3, None)


@given(st.lists(st.tuples(IDS, IDS).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=60))
def test_a_dozen_is_a_tree_whatever_waits_for_whom(edges: list[tuple[str, str]]) -> None:
    """Nobody is drawn twice or lost, and each is right below, one step further in than, the one that it waits for."""
    history = blocked((1.0, [waits(chat(a), chat(b)) for a, b in edges]), (2.0, ()))
    found = {c.blocker.id: c for c in chains(history)}
    for one in locks(history, SCENARIO)[0].blocking:
        ids = [behind.session.id for behind in (*one.behind, *one.rest)]
        assert sorted(ids) == sorted(w.session.id for w in found[one.blocker.id].behind)
        above = {0: one.blocker.id}
        for behind in one.behind:
            assert above[behind.depth - 1] == behind.waiting[0].by
            above = {depth: who for depth, who in above.items() if depth < behind.depth} | {
                behind.depth: behind.session.id
            }


def test_sessions_that_swap_places_are_drawn_once() -> None:
    """Two that were behind each other in turn, each for the longer time in one of them, are still a tree."""
    one = [waits(chat("11"), MIGRATE), waits(chat("12"), chat("11"))]
    other = [waits(chat("12"), MIGRATE), waits(chat("11"), chat("12"))]
    found = first(blocked((1.0, one), (2.0, other), (3.0, one), (4.0, ())))
    assert sorted(b.session.id for b in found.behind) == ["11", "12"]


def test_the_sentence_names_who_how_many_how_long_and_with_what() -> None:
    """As a person would put it; of a long statement the beginning, and how often if it was more than once."""
    fan = [waits(chat(str(n)), MIGRATE) for n in range(8, 25)]
    assert sentence(first(blocked((1.0, fan), (7.2, ())))) == (
        "session 7 (migration/migrate, idle in transaction) blocked up to 17 others for 6.2 s,"
        " with UPDATE subscriptions SET moved = true"
    )
    one = first(blocked((1.0, fan[:1]), (2.0, ()), (3.0, fan[:1]), (5.0, ())))
    assert "blocked 1 other 2 times, 3 s in all, with UPDATE" in sentence(one)
    long = Session("7", "", "", "SELECT " + "x" * 190)
    assert sentence(first(blocked((1.0, [waits(chat("8"), long)]), (2.0, ())))).endswith("x…")


def test_what_is_allowed_is_not_told_as_bad() -> None:
    """The claim's limit decides; where nobody waited, that is said, and many blockers share a sentence."""
    entry = [waits(chat("11"), MIGRATE)]
    assert [one.bad for one in told(blocked((1.0, entry), (2.9, ())))] == [False]
    assert [one.bad for one in told(blocked((1.0, entry), (3.1, ())))] == [True]
    assert [one.text for one in told(blocked((1.0, ())))] == ["nobody was seen to wait for a lock"]
    unclaimed = SCENARIO.model_copy(update={"expectations": SCENARIO.expectations[1:]})
    assert [first(blocked((1.0, entry), (end, ())), unclaimed).bad for end in (1.9, 2.1)] == [False, True]
    crowd = [waits(chat(str(n)), chat(str(n + 100))) for n in range(10, 30)]
    last = told(blocked((1.0, crowd), (1.5, ())))[-1]
    assert last.text == "16 more sessions blocked others, nobody for longer than 500 ms"
    assert lane(blocked((1.0, crowd), (1.5, ())))["more"].startswith("12 more sessions blocked others")


def test_the_page_lists_who_blocked_whom_without_a_script(page: str) -> None:
    """The blocker's statements, those behind it with theirs, and how many more there were."""
    text = words(page)
    assert text.count("Who blocked whom") == 4
    assert "! shared session 1234 (migration/migrate, idle in transaction) blocked up to 60 others for 6.2 s" in text
    assert report_locks_sample.MOVE in text
    assert "60 sessions were behind it" in text
    assert "3 sessions were behind it" in text
    assert re.search(
        r"session 1304 \(app/pod-17-ticket\) waited 6 s for transactionid, held by session 1300 INSERT INTO tickets",
        text,
    )
    assert re.search(r"48 more, the longest for [\d.]+ s: 16 with UPDATE chats", text)
    assert "canary-store nobody was seen to wait for a lock" in text


def test_the_page_draws_every_database_on_the_axis_of_the_faults(page: str) -> None:
    """Each timeline carries its lanes, one for each database, also where nobody waited, and no second row for the list."""
    drawn = [json.loads(one) for one in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)]
    assert all([one["holder"] for one in each["locks"]] == ["shared", "canary-store"] for each in drawn)
    assert all([one["holder"] for one in each["lanes"]] == ["haproxy"] for each in drawn)
    shared = drawn[0]["locks"][0]
    assert shared["rows"][0]["who"] == "session 1234 (migration/migrate)"
    assert 0 < shared["rows"][0]["spans"][0][0] < drawn[0]["down"][1]
    assert any(why == "could not be read" for _, _, why in shared["blind"])
    assert "drawLocks" in page


def test_a_statement_cannot_leave_its_place() -> None:
    """What a session ran ends no script and starts no element, and turns no reading direction."""
    evil = Session("7", "x/<b>", "active", "SELECT '</script><script>alert(1)</script>\u202e'")
    history = blocked((1.0, [waits(evil, MIGRATE), waits(chat("11"), evil)]), (2.0, ()))
    script = to_script(timeline(history, SCENARIO, (), 100, locks(history, SCENARIO)))
    assert "<" not in script
    assert "\u202e" not in script
    (view,) = locks_views(locks(history, SCENARIO))
    assert "\u202e" not in str(view)


def test_the_summary_says_who_held_others_up() -> None:
    """The worst of a cell, and in how many of its trials somebody was held up for too long."""
    result, histories, scenarios = report_locks_sample.sample(2)
    text = summary_markdown(result, functions_found(histories), blocked_found(histories, scenarios))
    assert (
        "- locks held others up in 2 of 2, for the longest in trial 0: shared: session 1234 (migration/migrate" in text
    )
    assert "locks held" not in summary_markdown(result, functions_found(histories))


def test_what_was_before_the_trial_is_not_drawn() -> None:
    """The axis begins with the trial."""
    entry = [waits(chat("11"), MIGRATE)]
    history = blocked((BEGAN - INJECTED - 4, entry), (1.0, ()))
    assert lane(history)["rows"][0]["spans"] == [(MS(BEGAN), 1000)]
