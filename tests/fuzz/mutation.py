"""How inputs are changed: bytes, as any fuzzer does, and values of the JSON that stands in a line of its own.

Bytes changed at random seldom leave JSON behind, and so seldom come further than to its parser.
"""

from __future__ import annotations

from random import Random
from typing import Any

import atheris
import orjson

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 1e300),
    *("", " ", "x", "\n", "\0", '"', "}", "\u2028", "\ud7ff\ue000", "9" * 400, "[]", "{}", "null", "@daily"),
    *([], {}, [None], [[]], {"": None}),
]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change the bytes, or a value in one of the lines."""
    random = Random(seed)
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    try:
        document = orjson.loads(lines[place])
        if random.random() < 0.7 and _change(document, random):
            lines[place] = orjson.dumps(document)
            return b"\n".join(lines)[:max_size]
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    changed: bytes = atheris.Mutate(data, max_size)
    return changed


def _change(document: Any, random: Random) -> bool:
    """Replace, remove, move or add one member of an object or an array in the document, if there is any."""
    places = _places(document)
    if not places:
        return False
    holder, place = random.choice(places)
    match random.randrange(5):
        case 0:
            del holder[place]
        case 1:
            other, there = random.choice(places)
            holder[place] = orjson.loads(orjson.dumps(other[there]))
        case 2 if isinstance(holder, list):
            holder.insert(place, orjson.loads(orjson.dumps(holder[place])))
        case 2:
            _, name = random.choice(places)
            holder[str(name)] = holder[place]
        case _:
            holder[place] = random.choice(ODD_VALUES)
    return True


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every object and array, with each of its keys or indexes."""
    places: list[tuple[Any, Any]] = []
    holders = [document]
    while holders:
        holder = holders.pop()
        if isinstance(holder, dict | list):
            found = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            places += [(holder, place) for place in found]
            holders += [holder[place] for place in found]
    return places
