"""The judgement of nodes: a table of cases, and the invariant under any sequence of samples."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.agent.fitness import (
    MEMORY,
    Fitness,
    History,
    Limits,
    Memory,
    Sample,
    Shown,
    judge,
    lacking_since,
    remember,
)

LIMITS = Limits(max_lag_blocks=2, max_lag_seconds=3.0)
T0 = 1_700_000_000.0


def at(head: int, *, pause: float = 1.0, **more: object) -> Sample:
    """A healthy node at this head, on a chain with a block every `pause` seconds."""
    return replace(Sample(head=head, head_time=T0 + head * pause, peers=3), **more)  # type: ignore[arg-type]


def judged(
    samples: dict[str, Sample], *, history: History = (), now: float = 100.0, maintenance: frozenset[str] = frozenset()
) -> dict[str, Fitness]:
    """Of nodes that answered before, too."""
    memory = Memory(history, dict.fromkeys(samples, 0))
    return judge(samples, dict.fromkeys(samples, 1), maintenance, remember(memory, samples, now), LIMITS, now)


DEAD = Sample(cause="does not answer")
# The best head rose to 11 at second 90; a node at 10 has lacked a block for 10 s at second 100.
LONG_AGO = (Shown(10, 80.0), Shown(11, 90.0))
JUST_NOW = (Shown(10, 80.0), Shown(11, 99.5))


@pytest.mark.parametrize(
    ("own", "sibling", "history", "cause"),
    [
        pytest.param(at(10), at(10), (), "", id="level"),
        pytest.param(at(10), at(10), LONG_AGO, "", id="a higher head that nobody shows any more is forgotten"),
        pytest.param(at(10), at(11), JUST_NOW, "", id="polled a moment apart"),
        pytest.param(at(10), at(11), LONG_AGO, "1 block behind b for 10.0 s", id="one block, but for too long"),
        pytest.param(at(10, pause=30), at(11, pause=30), JUST_NOW, "", id="one block of 30 s, for a moment"),
        pytest.param(
            at(10, pause=30), at(11, pause=30), LONG_AGO, "1 block behind b for 10.0 s", id="and for too long"
        ),
        pytest.param(at(10), at(13), (), "", id="three blocks in three seconds, first seen now"),
        pytest.param(at(10), at(14), (), "4 blocks behind b", id="four blocks in four seconds, first seen now"),
        pytest.param(at(10, pause=30), at(12, pause=30), (), "", id="two blocks in a minute, first seen now"),
        pytest.param(at(10, pause=30), at(13, pause=30), (), "3 blocks behind b", id="three blocks in 90 s"),
        pytest.param(at(100, pause=0.05), at(130, pause=0.05), (), "", id="raft: thirty blocks in 1.5 s"),
        pytest.param(at(10), DEAD, LONG_AGO, "", id="the sibling that was ahead is dead"),
        pytest.param(at(10, syncing=True), at(10), (), "syncing", id="syncing"),
        pytest.param(at(10, peers=0), at(10), (), "has 0 peers, needs 1", id="alone"),
        pytest.param(at(10, privacy="no database"), at(10), (), "no database", id="privacy manager down"),
        pytest.param(DEAD, at(10), (), "does not answer", id="dead"),
    ],
)
def test_cases(own: Sample, sibling: Sample, history: History, cause: str) -> None:
    fitness = judged({"a": own, "b": sibling}, history=history)["a"]
    assert (fitness.ready, fitness.cause) == (not cause, cause)
    assert fitness.live == (own is not DEAD)


def test_maintenance_is_not_ready_and_still_live() -> None:
    fitness = judged({"a": at(10), "b": at(10)}, maintenance=frozenset({"a"}))
    assert (fitness["a"].ready, fitness["a"].live, fitness["a"].cause) == (False, True, "in maintenance")
    assert fitness["b"].ready


def test_a_node_in_maintenance_is_still_a_sibling_to_compare_with() -> None:
    fitness = judged({"a": at(10), "b": at(20)}, maintenance=frozenset({"b"}))
    assert fitness["a"].cause == "10 blocks behind b"


def test_the_numbers_are_reported() -> None:
    fitness = judged({"a": at(10), "b": at(11)}, history=LONG_AGO)["a"]
    assert (fitness.head, fitness.lag_blocks, fitness.lag_seconds, fitness.peers) == (10, 1, 10.0, 3)
    assert judged({"a": DEAD})["a"] == Fitness(ready=False, live=False, cause="does not answer")


def test_the_only_node_of_a_consortium_needs_no_peer() -> None:
    samples = {"a": at(10, peers=0)}
    assert judge(samples, {"a": 0}, (), Memory(), LIMITS, 1.0)["a"].ready


def test_a_chain_that_stands_still_leaves_all_fit() -> None:
    samples = {name: at(10) for name in "abc"}
    history = remember(Memory(), samples, 0.0).history
    assert all(fitness.ready for fitness in judged(samples, history=history, now=86_400.0).values())


def test_when_nobody_answers_the_memory_stays() -> None:
    assert remember(Memory(LONG_AGO), {"a": DEAD}, 100.0).history == LONG_AGO


def test_a_chain_begun_anew_forgets_the_old_one() -> None:
    samples = {"a": at(0), "b": at(1)}
    memory = remember(Memory(LONG_AGO, {"a": 11, "b": 11}), samples, 100.0)
    assert memory == Memory((Shown(1, 100.0),), {"a": 1, "b": 1})
    assert all(fitness.ready for fitness in judged(samples, history=LONG_AGO).values())


def test_the_memory_is_bounded() -> None:
    memory = Memory()
    for head in range(MEMORY + 10):
        memory = remember(memory, {"a": at(head)}, float(head))
    assert len(memory.history) == MEMORY
    assert lacking_since(0, memory.history) == 10.0


def test_a_node_that_comes_back_behind_is_unfit_until_it_has_what_was_there() -> None:
    """One block and no time behind: it is so small that lag alone would not tell."""
    memory, causes = Memory(), []
    steps = [(DEAD, 10), (at(10), 11), (at(10), 12), (at(11), 12), (DEAD, 13)]
    for number, (own, sibling) in enumerate(steps):
        now = number / 2
        samples = {"a": own, "b": at(sibling)}
        memory = remember(memory, samples, now)
        causes.append(judge(samples, {}, (), memory, LIMITS, now)["a"].cause)
    due = [f"{blocks} behind b since it answers again" for blocks in ("1 block", "2 blocks")]
    assert causes == ["does not answer", *due, "", "does not answer"]
    assert "a" not in memory.due


def test_an_agent_that_begins_knows_of_nobody_what_is_missing() -> None:
    samples = {"a": at(10), "b": at(11)}
    fitness = judge(samples, {}, (), remember(Memory(), samples, 0.0), LIMITS, 0.0)
    assert {name: one.ready for name, one in fitness.items()} == {"a": False, "b": True}


HEADS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0.01, 5)), min_size=1, max_size=30)


@given(HEADS)
def test_the_node_with_the_best_head_is_always_fit(steps: list[tuple[int, int, float]]) -> None:
    memory = Memory()
    now = 0.0
    for a, b, passed in steps:
        now += passed
        samples = {"a": at(a), "b": at(b)}
        memory = remember(memory, samples, now)
        fitness = judge(samples, {}, (), memory, LIMITS, now)
        assert fitness["a" if a >= b else "b"].ready


@given(HEADS)
def test_a_node_in_sync_shows_all_that_its_siblings_showed_longer_ago_than_the_limit(
    steps: list[tuple[int, int, float]],
) -> None:
    """The invariant's first half, against a plain record of all that was shown; heads only rise here."""
    memory = Memory()
    shown: list[tuple[float, int]] = []
    now, a, b = 0.0, 0, 0
    for rise_a, rise_b, passed in steps:
        now, a, b = now + passed, a + rise_a % 4, b + rise_b % 4
        shown.append((now, max(a, b)))
        samples = {"a": at(a), "b": at(b)}
        memory = remember(memory, samples, now)
        for fitness in judge(samples, {}, (), memory, LIMITS, now).values():
            due = max((head for when, head in shown if now - when > LIMITS.max_lag_seconds), default=0)
            assert fitness.head is not None
            assert not fitness.ready or fitness.head >= due


@given(HEADS, st.integers(1, 1000))
def test_only_differences_count(steps: list[tuple[int, int, float]], shift: int) -> None:
    def run(offset: int) -> list[dict[str, bool]]:
        memory = Memory()
        now = 0.0
        verdicts = []
        for a, b, passed in steps:
            now += passed
            samples = {"a": at(a + offset), "b": at(b + offset)}
            memory = remember(memory, samples, now)
            verdicts.append({name: f.ready for name, f in judge(samples, {}, (), memory, LIMITS, now).items()})
        return verdicts

    assert run(0) == run(shift)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 20))
def test_a_higher_head_never_makes_a_node_unfit(head: int, sibling: int, since: float) -> None:
    history = (Shown(0, 0.0), Shown(max(1, sibling), 100.0 - since))
    lower = judged({"a": at(head), "b": at(sibling)}, history=history)["a"].ready
    higher = judged({"a": at(head + 1), "b": at(sibling)}, history=history)["a"].ready
    assert higher or not lower
