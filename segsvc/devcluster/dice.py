"""Random draws, all made of one kind of roll, which is several times as fast as the methods of `random.Random`."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

_Item = TypeVar("_Item")


class Dice:
    """A sequence of draws that `seed` determines."""

    def __init__(self, seed: int) -> None:
        """Begin the sequence; `roll` gives a number from 0 up to, but not including, 1."""
        self.roll = Random(seed).random  # noqa: S311 (samples are no secrets)

    def chance(self, probability: float) -> bool:
        """Say yes with this probability."""
        return self.roll() < probability

    def below(self, limit: int) -> int:
        """Draw a whole number from 0 up to, but not including, `limit`."""
        return int(self.roll() * limit)

    def any(self, group: Sequence[_Item]) -> _Item:
        """Draw one of a group, each as likely as the others."""
        return group[int(self.roll() * len(group))]

    def common(self, group: Sequence[_Item]) -> _Item:
        """Draw one whose place in the group says how often: those at the beginning often, those at the end seldom."""
        return group[int(self.roll() ** 2 * len(group))]

    def neighbours(self, group: Sequence[_Item], count: int) -> Sequence[_Item]:
        """Draw `count` that stand beside each other."""
        start = self.below(len(group) - count + 1)
        return group[start : start + count]
