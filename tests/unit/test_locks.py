"""The lock graph over time: chains as somebody would draw them by hand from the looks."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, ENDED, INJECTED, trial
from lock_histories import MIGRATE, ON, blocked, chat, looked, waits

from shaketable.checks.locks import Chain, Session, Turn, Waiting, chains, graph
from shaketable.model.history import Look, TrialHistory


def at(stretch: Chain | Waiting | Turn) -> tuple[float, float]:
    """When it was, in seconds after the fault's effect."""
    return round(stretch.start - INJECTED, 6), round(stretch.end - INJECTED, 6)


def stands(chain: Chain) -> list[tuple[str, int, str, tuple[float, float]]]:
    """Who was behind a chain's root: id, depth, whom it waits for itself, and when."""
    return [(w.session.id, w.depth, w.by, at(w)) for w in chain.behind]


def test_a_chain_has_one_root_and_its_depths() -> None:
    """Three wait for each other in a row: one root, and each stands one step further back."""
    row = [waits(chat("11"), MIGRATE), waits(chat("12"), chat("11"), "transactionid"), waits(chat("13"), chat("12"))]
    (chain,) = chains(blocked((1.0, row[:1]), (1.5, row[:2]), (2.0, row), (4.0, ())))
    assert (chain.holder, chain.list, chain.blocker, at(chain)) == ("shared", "waits", MIGRATE, (1.0, 4.0))
    assert stands(chain) == [("11", 1, "7", (1, 4)), ("12", 2, "11", (1.5, 4)), ("13", 3, "12", (2, 4))]
    assert [w.on for w in chain.behind] == [ON, "transactionid", ON]
    assert [w.session for w in chain.behind] == [chat("11"), chat("12"), chat("13")]
    assert chain.most == 3


def test_a_fan_stands_side_by_side() -> None:
    """Seventeen wait for one: all at depth 1, by the number of their id where they began together."""
    fan = [waits(chat(str(n)), MIGRATE) for n in range(8, 25)]
    (chain,) = chains(blocked((0.5, fan), (3.0, fan[:1]), (3.5, ())))
    assert [(w.session.id, w.depth) for w in chain.behind] == [(str(n), 1) for n in range(8, 25)]
    assert [at(w) for w in chain.behind] == [(0.5, 3.5), *[(0.5, 3.0)] * 16]
    assert chain.most == 17


def test_two_roots_are_two_chains() -> None:
    """Each root has those behind it, over its own time; who waits for both stands where it is fewer steps away."""
    other = Session("9", "app/report", "active", "SELECT count(*) FROM chats FOR UPDATE")
    first, second, third = waits(chat("11"), MIGRATE), waits(chat("12"), chat("11")), waits(chat("12"), other)
    one, two = chains(blocked((1.0, [first, second]), (2.0, [first, second, third]), (3.0, [third]), (4.0, ())))
    assert (one.blocker, at(one), stands(one)) == (MIGRATE, (1, 3), [("11", 1, "7", (1, 3)), ("12", 2, "11", (1, 2))])
    assert (two.blocker, at(two), stands(two)) == (other, (2, 4), [("12", 1, "9", (2, 4))])


def test_who_waits_for_several_that_wait_for_nobody_says_so() -> None:
    """It is in one chain only, that of the smaller id, and names the others it needs to let go."""
    reader = Session("9", "app/report", "active", "SELECT 1")
    (chain,) = chains(blocked((1.0, [waits(chat("11"), MIGRATE), waits(chat("11"), reader)]), (2.0, ())))
    assert (chain.blocker, [(w.by, w.also) for w in chain.behind]) == (MIGRATE, [("7", ("9",))])


def test_a_cycle_has_its_smallest_id_as_root() -> None:
    """Two that wait for each other are one chain, and who waits for one of them is behind both."""
    a, b = chat("100"), chat("99")
    cycle = [waits(a, b), waits(b, a), waits(chat("7"), a)]
    (chain,) = chains(blocked((1.0, cycle), (2.0, ())))
    assert (chain.blocker.id, at(chain)) == ("99", (1, 2))
    assert stands(chain) == [("100", 1, "99", (1, 2)), ("7", 2, "100", (1, 2))]


def test_a_blocker_that_changes_its_statement_blocks_on() -> None:
    """One stretch with its turns; the blocker is shown as it was for the longest time."""
    busy = Session("7", "migration/migrate", "active", "DELETE FROM subscriptions")
    (chain,) = chains(blocked((1.0, [waits(chat("11"), busy)]), (1.5, [waits(chat("11"), MIGRATE)]), (4.0, ())))
    assert [(t.session, at(t)) for t in chain.turns] == [(busy, (1, 1.5)), (MIGRATE, (1.5, 4))]
    assert (chain.blocker, at(chain), stands(chain)) == (MIGRATE, (1, 4), [("11", 1, "7", (1, 4))])


def test_a_holder_that_goes_dark_and_comes_back_ends_nothing() -> None:
    """What is there before and after is one stretch; what is gone afterwards was last seen before."""
    both = [waits(chat("11"), MIGRATE), waits(chat("12"), MIGRATE)]
    (chain,) = chains(blocked((1.0, both), (2.0, None), (2.5, None), (5.0, both[:1]), (6.0, ())))
    assert (at(chain), stands(chain)) == ((1, 6), [("11", 1, "7", (1, 6)), ("12", 1, "7", (1, 2))])
    (gone,) = chains(blocked((1.0, both), (2.0, None), (5.0, ())))
    assert at(gone) == (1, 2)


def test_a_blocker_that_comes_again_is_another_chain() -> None:
    """Whom it blocked in between was seen to go on."""
    again = [waits(chat("11"), MIGRATE)]
    assert [at(c) for c in chains(blocked((1.0, again), (2.0, ()), (3.0, again), (4.0, ())))] == [(1, 2), (3, 4)]


def test_the_next_in_the_queue_becomes_the_root() -> None:
    """When the root lets go, the one it blocked blocks those behind, in a chain of its own."""
    row = [waits(chat("11"), MIGRATE), waits(chat("12"), chat("11"))]
    first, second = chains(blocked((1.0, row), (2.0, row[1:]), (3.0, ())))
    assert (first.blocker.id, at(first), stands(first)[1]) == ("7", (1, 2), ("12", 2, "11", (1, 2)))
    assert (second.blocker.id, at(second), stands(second)) == ("11", (2, 3), [("12", 1, "11", (2, 3))])


def test_chains_stay_within_the_trial_and_their_holder() -> None:
    """What was before the trial is not part of it, and the same id at another database is another session."""
    entry = waits(chat("11"), MIGRATE)
    looks = [*looked(first=[entry]), *looked((1.0, [entry]), holder="pod-17")]
    one, two = chains(trial(looks=looks), "waits")
    assert (one.holder, one.start, one.end) == ("shared", BEGAN, ENDED)
    assert (two.holder, two.start, two.end) == ("pod-17", INJECTED + 1.0, ENDED)


def test_only_lists_of_lock_waits_are_read() -> None:
    """Without a name all lists of that kind are; text, numbers, other objects and oneself are nobody's wait."""
    entry = waits(chat("11"), MIGRATE)
    strange = ["host-1/web", "{", "[1]", "{}", entry.replace('"for"', '"four"'), entry.replace('"7"', "7")]
    strange += [waits(chat("11"), chat("11")), "{" * 100_000]
    looks = [
        *looked((1.0, [*strange, entry])),
        *looked((1.0, strange[:4]), name="ledger"),
        *looked((1.0, ["3"]), name="n"),
    ]
    (chain,) = chains(trial(looks=looks))
    assert (chain.list, stands(chain)) == ("waits", [("11", 1, "7", (1, 80))])
    assert chains(trial(looks=looks), "ledger") == ()


IDS = st.sampled_from([str(n) for n in range(1, 8)])
EDGES = st.lists(st.tuples(IDS, IDS).filter(lambda pair: pair[0] != pair[1]), max_size=12)
LOOKS = st.lists(st.one_of(st.none(), EDGES), min_size=1, max_size=6)


def entries(edges: Sequence[tuple[str, str]]) -> list[str]:
    """Each (waiter, blocker) as an entry."""
    return [waits(chat(waiter), chat(blocker)) for waiter, blocker in edges]


@given(EDGES)
def test_every_waiter_of_a_look_is_in_exactly_one_chain(edges: list[tuple[str, str]]) -> None:
    """Behind one root, or the root of a cycle itself; and a root waits for nobody unless it is in a cycle."""
    found = graph(entries(edges))
    behind = [waiter for _, places in found.values() for waiter in places]
    assert len(behind) == len(set(behind))
    waiters = {waiter for waiter, _ in edges}
    assert waiters <= {*behind, *found}
    also = {one for _, places in found.values() for place in places.values() for one in place.also}
    assert {*behind, *found, *also} == {node for edge in edges for node in edge}
    for root, (_, places) in found.items():
        assert places
        assert root not in behind
        if root in waiters:  # it stands for a cycle
            assert all(blocker in {*places, root} for waiter, blocker in edges if waiter == root)
        for waiter, place in places.items():
            assert (waiter, place.by) in edges
            assert place.depth == (1 if place.by == root else places[place.by].depth + 1)


@given(LOOKS)
def test_at_every_time_the_chains_are_those_of_the_look(states: list[list[tuple[str, str]] | None]) -> None:
    """Over time as in each look: at any moment that was seen each waiter is in exactly one chain."""
    history = blocked(*[(float(n), None if edges is None else entries(edges)) for n, edges in enumerate(states)])
    found = chains(history)
    for n, edges in enumerate(states):
        if edges is None:
            continue
        moment = INJECTED + n + 0.5
        now = [c for c in found if c.start <= moment < c.end]
        behind = [w.session.id for c in now for w in c.behind if w.start <= moment < w.end]
        assert len(behind) == len(set(behind))
        roots = [c.blocker.id for c in now]
        assert len(roots) == len(set(roots))
        assert {w for w, _ in edges} <= {*behind, *roots}


@given(LOOKS)
def test_the_order_in_which_entries_are_listed_is_nothing(states: list[list[tuple[str, str]] | None]) -> None:
    """A list is a set: the same graph comes of it in any order."""

    def turned(edges: list[tuple[str, str]] | None) -> list[str] | None:
        return None if edges is None else entries(edges[::-1])

    forth = blocked(*[(float(n), None if e is None else entries(e)) for n, e in enumerate(states)])
    back = blocked(*[(float(n), turned(e)) for n, e in enumerate(states)])
    assert chains(forth) == chains(back)


def test_a_trial_without_looks_has_no_chains() -> None:
    """Nor has one whose holders were never read."""
    assert chains(trial()) == ()
    assert chains(trial(looks=[Look(INJECTED, "shared", "waits", None)]), "waits") == ()


def test_a_thousand_sessions_are_no_matter() -> None:
    """A queue of a thousand in a row, and each of them for the root as well, is looked at in a moment."""
    sessions = [chat(str(n)) for n in range(100, 1100)]
    row = [waits(b, a) for a, b in zip([MIGRATE, *sessions], sessions, strict=False)]
    history: TrialHistory = blocked(*[(n / 10, row[: 900 + n]) for n in range(100)])
    (chain,) = chains(history)
    assert max(w.depth for w in chain.behind) == chain.most == 999
