"""The lease of those that share a database: one holder, an end by one clock, a term that fences off who lost it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel.errors import InputError
from muniment.notary.leasing import LEASE_MS, Lease, granted
from muniment.notary.replica import ALONE, NAME_FILE, replica_name

NOW = 1_800_000_000_000

times = st.integers(0, 2**53)
leases = st.none() | st.builds(Lease, st.sampled_from("ab"), st.integers(1, 99), times)


@given(leases, st.sampled_from("ab"), st.integers(0, 100), times)
def test_rules_of_every_grant(lease: Lease | None, holder: str, term: int, now: int) -> None:
    after = granted(lease, holder, term, now)
    if after is None:
        assert lease is not None
        assert lease.holder != holder
        assert now < lease.until
        return
    assert (after.holder, after.until) == (holder, now + LEASE_MS)
    before = lease.term if lease else 0
    renews = lease is not None and (lease.holder, lease.term) == (holder, term)
    assert after.term == (before if renews else before + 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, LEASE_MS)), max_size=60))
def test_of_several_one_at_a_time_has_it_and_no_term_is_had_twice(asks: list[tuple[str, int]]) -> None:
    lease: Lease | None = None
    terms = dict.fromkeys("abc", 0)
    holders: dict[int, str] = {}
    until = now = NOW
    for who, pause in asks:
        now += pause
        after = granted(lease, who, terms[who], now)
        if after is None:
            continue
        if lease is not None and after.holder != lease.holder:
            assert now >= until
        assert holders.setdefault(after.term, who) == who
        lease, terms[who], until = after, after.term, after.until


def test_a_lease_that_was_not_renewed_passes_on() -> None:
    held = granted(None, "a", 0, NOW)
    assert held is not None
    assert granted(held, "b", 0, NOW + LEASE_MS - 1) is None
    assert granted(held, "b", 0, NOW + LEASE_MS) == Lease("b", 2, NOW + 2 * LEASE_MS)


def test_after_a_break_in_which_nobody_took_it_the_term_goes_on() -> None:
    assert granted(Lease("a", 4, NOW), "a", 4, NOW + 99_999) == Lease("a", 4, NOW + 99_999 + LEASE_MS)


def test_a_process_started_anew_begins_a_term_at_once() -> None:
    assert granted(Lease("a", 4, NOW + 5000), "a", 0, NOW) == Lease("a", 5, NOW + LEASE_MS)


def test_a_database_whose_clock_was_set_back_holds_nobody_up() -> None:
    assert granted(Lease("a", 4, NOW + 3_600_000), "b", 0, NOW) == Lease("b", 5, NOW + LEASE_MS)


def test_a_name_belongs_to_its_volume(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    assert replica_name(first, shared=False) == ALONE
    assert not first.exists()
    names = [replica_name(place, shared=True) for place in (first, second, first)]
    assert names[0] == names[2] != names[1]
    # The other one is gone, and its files are still found by the name.
    assert replica_name(first, shared=False) == names[0]
    (first / NAME_FILE).write_text("\n")
    with pytest.raises(InputError, match="damaged"):
        replica_name(first, shared=True)
