"""A small cache that forgets what was not used for longest."""

from collections import OrderedDict
from collections.abc import Hashable, ItemsView
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class LruCache(Generic[_Key, _Value]):
    """At most ``size`` values; getting one counts as use, looking through `items` does not."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """Return the value kept under a key, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value, at the cost of the one unused for longest where there is no room."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def remove(self, key: _Key) -> None:
        """Forget a key, where it is known."""
        self._values.pop(key, None)

    def items(self) -> ItemsView[_Key, _Value]:
        """Return all that is kept, least recently used first."""
        return self._values.items()

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
