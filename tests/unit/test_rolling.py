"""What may be changed next: never more validators than the chain can spare, and always something when all is fit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from muniment.operate.health import outages_tolerated
from muniment.operate.record import Part, Record
from muniment.operate.rolling import Seen, Units, announcement, at_once, following, lags_unseen
from muniment.spec.model import Consensus
from muniment.topology.model import Probe, Role


def part(name: str, role: Role, *, validator: bool = False) -> Part:
    return Part(name, name.partition("-")[0], role, Probe("http://127.0.0.1:1/"), {}, validator)


def record(validators: int, consensus: Consensus = Consensus.QBFT) -> Record:
    """A member with so many validators, each with its manager, and a gateway."""
    numbers = range(1, validators + 1)
    parts = (
        *(part(f"alpha-privacy-{number}", Role.PRIVACY) for number in numbers),
        *(part(f"alpha-{number}", Role.NODE, validator=True) for number in numbers),
        part("alpha-gateway", Role.GATEWAY),
    )
    return Record("demo", consensus, validators, ("alpha",), parts)


def names(found: Record) -> set[str]:
    return {one.name for one in found.parts}


def all_ready(found: Record, *but: str) -> Seen:
    return Seen(names(found), names(found) - set(but))


def alone(*workloads: str) -> Units:
    return {name: (name,) for name in workloads}


def pods(validators: int) -> Units:
    """As on Kubernetes: a node and its manager are one unit."""
    return {f"alpha-{n}": (f"alpha-privacy-{n}", f"alpha-{n}") for n in range(1, validators + 1)}


def missing(known: Record, serving: Collection[str], *changed: str) -> int:
    return len({one.name for one in known.parts if one.validator and one.name not in serving} | set(changed))


@given(st.integers(1, 13), st.sampled_from(list(Consensus)), st.data())
def test_the_chain_goes_on_whatever_is_out(validators: int, consensus: Consensus, data: st.DataObject) -> None:
    """Also when everything that runs makes blocks, whatever it is said to be."""
    known = record(validators, consensus)
    running = names(known) - data.draw(st.sets(st.sampled_from(sorted(names(known)))))
    ready = running - data.draw(st.sets(st.sampled_from(sorted(names(known)))))
    units, seen = pods(validators), Seen(running, ready)
    stopped = at_once(units, seen)
    assert not running & {workload for unit in stopped for workload in units[unit]}
    left = {unit: workloads for unit, workloads in units.items() if unit not in stopped}
    tolerated = outages_tolerated(consensus, validators)
    for unit in following(known, left, seen).units:
        assert missing(known, running, unit) <= tolerated or not tolerated
        if ready.issuperset(units[unit]):
            assert missing(known, ready, unit) <= tolerated or not tolerated


@given(st.integers(1, 13), st.sampled_from(list(Consensus)), st.data())
def test_what_runs_and_is_not_ready_may_always_be_mended(
    validators: int, consensus: Consensus, data: st.DataObject
) -> None:
    known = record(validators, consensus)
    unready = data.draw(st.sets(st.sampled_from(sorted(names(known) - {"alpha-gateway"})), min_size=1))
    units = pods(validators)
    (unit,) = following(known, units, Seen(names(known), names(known) - unready)).units
    assert unready & set(units[unit])


@given(st.integers(1, 13), st.sampled_from(list(Consensus)))
def test_a_consortium_that_is_fit_is_changed_to_the_end(validators: int, consensus: Consensus) -> None:
    known = record(validators, consensus)
    left = dict(pods(validators)) | alone("alpha-gateway")
    while left:
        found = following(known, left, all_ready(known))
        assert len(found.units) == 1
        del left[found.units[0]]


def test_what_does_not_run_is_changed_at_once() -> None:
    known = record(4)
    units = alone("alpha-1", "alpha-2", "alpha-new")
    assert at_once(units, Seen(names(known) - {"alpha-1"}, ())) == ("alpha-1", "alpha-new")


def test_nodes_whose_judge_is_away_are_not_changed_together() -> None:
    known = record(4)
    units = alone("alpha-1", "alpha-2", "alpha-3", "alpha-4")
    judged_by_nobody = Seen(names(known), names(known) - set(units))
    assert at_once(units, judged_by_nobody) == ()
    assert following(known, units, judged_by_nobody).units == ("alpha-1",)


def test_what_is_not_ready_is_changed_before_what_is() -> None:
    known = record(4)
    units = alone("alpha-1", "alpha-2")
    assert following(known, units, Seen(names(known), names(known) - {"alpha-2"})).units == ("alpha-2",)


def test_the_judge_is_changed_before_those_it_judges() -> None:
    known = record(4)
    judged = Record("demo", known.consensus, 4, ("alpha",), (*known.parts, part("alpha-agent", Role.AGENT)))
    units = alone("alpha-1", "alpha-agent")
    assert following(judged, units, Seen(names(judged), ())).units == ("alpha-agent",)


def test_an_unready_node_waits_while_too_few_others_run() -> None:
    known = record(4)
    found = following(known, alone("alpha-2"), Seen(names(known) - {"alpha-1"}, names(known) - {"alpha-1", "alpha-2"}))
    assert found.units == ()
    assert found.cause == "alpha-2 is not changed yet: 1 of 4 validators are missing already, and 1 may be"


def test_a_change_stops_where_something_of_the_same_kind_is_out() -> None:
    known = record(7)
    assert outages_tolerated(known.consensus, 7) == 2
    found = following(known, alone("alpha-2"), all_ready(known, "alpha-1"))
    assert found.units == ()
    assert found.cause == "alpha-2 is not changed yet: alpha-1 is not ready"


def test_what_is_of_another_kind_does_not_hold_it_up() -> None:
    known = record(4)
    assert following(known, alone("alpha-1"), all_ready(known, "alpha-gateway")).units == ("alpha-1",)


def test_a_chain_that_tolerates_nothing_is_changed_and_it_is_said() -> None:
    known = record(2)
    assert following(known, alone("alpha-1"), all_ready(known)).units == ("alpha-1",)
    assert "stands still while alpha-1 is changed" in announcement(known, alone("alpha-1"))
    assert announcement(record(4), alone("alpha-1")) == ""


def test_of_whom_nobody_sees_that_it_lags() -> None:
    lone = replace(record(3), parts=(*record(3).parts, part("beta-1", Role.NODE, validator=True)), validators=4)
    assert [name for name in sorted(names(lone)) if lags_unseen(lone, [name])] == ["beta-1"]
    assert lags_unseen(lone, ["beta-privacy-1", "beta-1"])
    assert not lags_unseen(record(1), ["alpha-1"])


def test_the_last_fit_node_behind_a_gateway_stays() -> None:
    known = Record(
        "demo",
        Consensus.QBFT,
        4,
        ("alpha", "beta"),
        (part("alpha-1", Role.NODE), part("alpha-2", Role.NODE), *record(4).parts[4:8]),
    )
    assert not following(known, alone("alpha-1"), all_ready(known, "alpha-2")).units
