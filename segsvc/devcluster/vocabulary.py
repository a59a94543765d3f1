"""The words of vocabulary.toml, and those made from them; in each group the commoner ones first."""

import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import product

Words = tuple[str, ...]


def _read() -> dict[str, Words]:
    """Read the groups; an underscore holds words together that make one entry, such as São_Paulo."""
    groups = tomllib.loads(files("segsvc.devcluster").joinpath("vocabulary.toml").read_text(encoding="utf-8"))
    return {name: tuple(entry.replace("_", " ") for entry in text.split()) for name, text in groups.items()}


def _once(words: Iterable[str]) -> Words:
    return tuple(dict.fromkeys(words))


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith("lf"):
        return f"{noun[:-1]}ves"
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun if noun.endswith("ies") else f"{noun}es"
    return f"{noun}s"


def _joined(heads: Words, tails: Words) -> Iterator[str]:
    """Yield words such as Eventstore and Clickstream; the sooner, the sooner both halves stand in their groups."""
    pairs = product(enumerate(heads, 1), enumerate(tails, 1))
    for (_, head), (_, tail) in sorted(pairs, key=lambda pair: pair[0][0] * pair[1][0]):
        yield head + tail


_GROUPS = _read()
_ACTS = _GROUPS["acts"]
_BRANCHES = _GROUPS["branches"]
_COMMON_BRANCHES = 20

LIFECYCLE = _once((*_GROUPS["lifecycle"], *(stem + ending for stem in _ACTS for ending in ("ed", "ing"))))
AUDIENCES = _once((*_GROUPS["audiences"], *(f"{stem}ers" for stem in _ACTS)))
PRODUCTS = _once((*_BRANCHES[:_COMMON_BRANCHES], *_GROUPS["goods"], *_BRANCHES[_COMMON_BRANCHES:]))
GOODS = _once(map(_plural, _GROUPS["goods"]))
CHANNELS = _GROUPS["channels"]
EVENTS = _GROUPS["events"]
MEASURES = _GROUPS["measures"]
PURPOSES = _GROUPS["purposes"]
TIMES = (*_GROUPS["times"], *(f"KW{week:02}" for week in range(1, 53)))
PLACES = _GROUPS["places"]
JOINED = tuple(_joined(_GROUPS["heads"], _GROUPS["tails"]))
TEAMS = _GROUPS["teams"]
LABELS = _GROUPS["labels"]
PATHS = _GROUPS["paths"]
