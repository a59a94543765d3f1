"""What has been picked from views is kept where it is worth it, and no longer than it is right."""

from __future__ import annotations

import numpy as np

from segsvc.index.picks import LEAST_BYTES, UNKNOWN, Picks


def asked(picks: Picks, key: str, seal: object, count: int = 3, *, times: int) -> None:
    for _ in range(times):
        assert picks.get(key, seal, count) is None


def test_what_is_picked_is_kept_once_pages_have_been_asked_for_often_enough() -> None:
    picks = Picks(worth=1)
    asked(picks, "view", "seal", times=3)
    picked = picks.get("view", "seal", 3)
    assert picked is not None
    assert picked.tolist() == [UNKNOWN] * 3
    picked[1:] = np.array([7, 5])
    kept = picks.get("view", "seal", 3)
    assert kept is not None
    assert kept.tolist() == [UNKNOWN, 7, 5]
    asked(picks, "other", "seal", times=1)


def test_a_change_makes_it_useless() -> None:
    picks = Picks(worth=1)
    asked(picks, "view", "before", times=3)
    assert picks.get("view", "before", 3) is not None
    asked(picks, "view", "after", 4, times=4)
    picked = picks.get("view", "after", 4)
    assert picked is not None
    assert picked.tolist() == [UNKNOWN] * 4
    asked(picks, "view", "before", times=3)


def test_what_was_not_asked_for_for_longest_makes_room() -> None:
    picks = Picks(2 * (LEAST_BYTES + 3 * 4), worth=4)
    assert picks.get("one", "seal", 3) is not None
    other = picks.get("other", "seal", 3)
    assert other is not None
    other[:] = 1
    first = picks.get("one", "seal", 3)
    assert first is not None
    first[:] = 1
    assert picks.get("third", "seal", 3) is not None
    kept = picks.get("one", "seal", 3)
    assert kept is not None
    assert kept.tolist() == [1, 1, 1]
    anew = picks.get("other", "seal", 3)
    assert anew is not None
    assert anew.tolist() == [UNKNOWN] * 3
