"""A small cache that forgets what was not used for longest."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, ItemsView, ValuesView
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class LruCache(Generic[_Key, _Value]):
    """Values whose weights add up to at most ``budget``; by default each weighs 1.

    Getting a value counts as use, looking through `items` or `values` does not.
    """

    def __init__(self, budget: int, weigh: Callable[[_Value], int] = lambda _: 1) -> None:
        self._budget = budget
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """Return the value kept under a key, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value, at the cost of those unused for longest where there is no room; never one above the budget."""
        self.remove(key)
        weight = self._weigh(value)
        if weight > self._budget:
            return
        self._values[key] = value
        self._weight += weight
        while self._weight > self._budget:
            _, oldest = self._values.popitem(last=False)
            self._weight -= self._weigh(oldest)

    def remove(self, key: _Key) -> None:
        """Forget a key, where it is known."""
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weigh(value)

    def items(self) -> ItemsView[_Key, _Value]:
        """Return all that is kept, least recently used first."""
        return self._values.items()

    def values(self) -> ValuesView[_Value]:
        """Return all values that are kept, least recently used first."""
        return self._values.values()

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._weight = 0
