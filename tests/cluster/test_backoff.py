"""Pauses grow, stay within bounds, and differ from one replica to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segsvc.cluster.backoff import Backoff


@given(st.integers(1, 40))
def test_pauses_double_to_the_cap_and_lose_at_most_a_half_to_chance(count: int) -> None:
    shortest = Backoff(base=0.5, cap=30, uniform=lambda low, _: low)
    longest = Backoff(base=0.5, cap=30, uniform=lambda _, high: high)

    expected = [min(0.5 * 2**number, 30) for number in range(count)]
    assert [longest.next() for _ in range(count)] == expected
    assert [shortest.next() for _ in range(count)] == [pause / 2 for pause in expected]


def test_after_a_success_pauses_begin_small_again() -> None:
    backoff = Backoff(base=0.5, cap=30, uniform=lambda _, high: high)
    backoff.next()
    backoff.next()
    backoff.reset()

    assert backoff.next() == 0.5
