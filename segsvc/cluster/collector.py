"""The garbage collector and the heap, for a process of many objects that stay.

A list of a hundred thousand segments makes some hundred thousand objects that stay, in no cycles. Left to itself, the
collector would look through all of them time and again while they come in, for as long as all other work of ours, and
later stop the process for tens of milliseconds each time that it looks for old garbage. The same goes for what is kept
for callers. And what a list's passing has taken of the heap stays with the process, unless it is given back.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_NEVER = 2**31 - 1
_AT_EASE = (2_000, 4, _NEVER)
"""How many new objects are looked through at once, and at times four times as many: that takes a millisecond."""
LOOK_SECONDS = 0.05
"""How often, at least, what came since the last look is looked through."""
LOOKS_PER_FULL = 12_000
"""How many of these looks there are to one at all there is: ten minutes' worth."""


def settle_collector() -> None:
    """Leave all that has been imported out of the collector's sight, and old garbage to `tend_collector`.

    Under load the caches turn over, and it would look for it many times a minute, though hardly any of ours gets old.
    """
    young, middle, _ = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, middle, _NEVER)


async def tend_collector() -> NoReturn:
    """Have what has come lately looked through often, while there is little of it, and all that there is seldom.

    By itself the collector goes by how many more objects were made than freed. Where caches are full one goes for each
    that comes. So what is kept piles up unseen, by ten thousands, and the look at it in the end stops the process for
    more than ten milliseconds.

    While a list is taken in, it is let be: what is then found alive would get out of sight in the end.
    """
    looks = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if gc.get_threshold() != _AT_EASE:
            looks += 1
            gc.collect(1 if looks % LOOKS_PER_FULL else 2)


@contextmanager
def collector_at_ease() -> Iterator[None]:
    """Have the collector look for young garbage only; in the end, leave all that there is out of its sight.

    Memory that is free then is given back to the system.

    Young garbage is what a long list makes beside the segments, and what callers leave meanwhile: it must not pile up,
    nor get out of sight. What becomes garbage, and in cycles, only after it has lived through two looks does: that is
    next to nothing, and to look for it would stop the process. What is out of sight is freed all the same when nothing
    refers to it any more, as the segments are when the next list takes their place.
    """
    thresholds = gc.get_threshold()
    gc.collect()  # old garbage would be out of sight, too
    gc.set_threshold(*_AT_EASE)
    try:
        yield
        gc.collect(1)
        gc.freeze()
        _trim()
    finally:
        gc.set_threshold(*thresholds)


def _trim() -> None:
    """Give back free memory, where the C library is one that can: malloc_trim(3); that takes a few milliseconds.

    By itself it gives back only what lies at the end of the heap, and a list leaves holes.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
