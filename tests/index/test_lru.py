"""The cache keeps what was used last, and never more than its budget."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from segsvc.index.lru import LruCache

BUDGET = 10

steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "get", "remove"]), st.sampled_from("abcdef"), st.integers(0, 12))
)


@settings(deadline=None)
@given(steps=steps)
def test_keeps_what_was_used_last_within_its_budget(steps: list[tuple[str, str, int]]) -> None:
    cache: LruCache[str, int] = LruCache(BUDGET, lambda value: value)
    kept: list[tuple[str, int]] = []  # least recently used first
    for step, key, value in steps:
        if step == "get":
            known = dict(kept).get(key)
            assert cache.get(key) == known
            if known is not None:
                kept = [item for item in kept if item[0] != key] + [(key, known)]
        else:
            kept = [item for item in kept if item[0] != key]
            if step == "remove":
                cache.remove(key)
            else:
                cache.put(key, value)
                if value <= BUDGET:
                    kept.append((key, value))
        while sum(weight for _, weight in kept) > BUDGET:
            kept.pop(0)
        assert list(cache.items()) == kept
    cache.clear()
    assert list(cache.items()) == []
    for key in "abcde":
        cache.put(key, 2)
    assert len(cache.items()) == 5, "nothing of what was forgotten may weigh"


def test_counts_values_unless_told_how_to_weigh_them() -> None:
    cache: LruCache[int, str] = LruCache(2)
    for number in range(3):
        cache.put(number, "x" * 1000)
    assert list(cache.items()) == [(1, "x" * 1000), (2, "x" * 1000)]


def test_one_value_above_the_budget_does_not_drive_out_all_others() -> None:
    cache: LruCache[str, int] = LruCache(BUDGET, lambda value: value)
    cache.put("a", 4)
    cache.put("b", 4)
    cache.put("huge", 11)
    assert dict(cache.items()) == {"a": 4, "b": 4}
    cache.put("a", 11)
    assert dict(cache.items()) == {"b": 4}
