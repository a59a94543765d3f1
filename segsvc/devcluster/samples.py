"""Sample segments: custom resources as data teams in retail, insurance and media would have them.

The first dozen are picked by hand (showcase.yaml), all others drawn at random. The same seed gives the same
segments, and more of them begin with fewer. Ids are unique however many there are. Nothing here knows what the service
makes of a segment: annotations and ids are spelled out anew.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import count as count_up
from itertools import islice
from typing import Any

import orjson
import yaml

from segsvc.devcluster.dice import Dice
from segsvc.devcluster.samplespecs import sample_spec
from segsvc.devcluster.vocabulary import (
    AUDIENCES,
    CHANNELS,
    EVENTS,
    GOODS,
    JOINED,
    LABELS,
    LIFECYCLE,
    MEASURES,
    PLACES,
    PRODUCTS,
    PURPOSES,
    TEAMS,
    TIMES,
)

_DISPLAY_NAME = "segment.grnry.io/display-name"
_DESCRIPTION = "segment.grnry.io/description"
_ROLES = "segment.grnry.io/roles"
_LABELS = "segment.grnry.io/labels"
_CREATED_AT = "segment.grnry.io/created-at"
_CREATED_BY = "segment.grnry.io/created-by"
_MODIFIED_AT = "segment.grnry.io/modified-at"
_MODIFIED_BY = "segment.grnry.io/modified-by"

_NOT_IN_ID = re.compile(r"[^a-z0-9\s-]")
_NO_IDENTIFIER = re.compile(r"\W+")

_NAMES = (
    (LIFECYCLE, AUDIENCES),
    (PRODUCTS, AUDIENCES, PLACES),
    (LIFECYCLE, PRODUCTS, AUDIENCES),
    (LIFECYCLE, AUDIENCES, PLACES),
    (PRODUCTS, EVENTS, TIMES),
    (PLACES, PRODUCTS, EVENTS),
    (CHANNELS, EVENTS, PLACES, TIMES),
    (CHANNELS, AUDIENCES, PURPOSES),
    (PURPOSES, LIFECYCLE, AUDIENCES, PLACES),
    (PRODUCTS, MEASURES, PLACES, TIMES),
    (AUDIENCES, MEASURES, TIMES),
    (PURPOSES, GOODS, TIMES),
    (PLACES, CHANNELS, GOODS),
    (JOINED, EVENTS, TIMES),
    (JOINED, PLACES),
    (JOINED, PRODUCTS, PURPOSES),
)

_DESCRIPTIONS = (
    "",
    "For the {team}.",
    "Requested by the {team}, feeds the {word} dashboard.",
    "Profiles from {word} for the campaigns of the {team}; rebuilt when the job runs.",
    "Owned by the {team}. Tell them before you change the conditions.",
    "Used by {word} and two reports. Questions to the {team}.",
    "Copy of an older segment, kept until {word} has moved to the new columns.",
)
_FIRST_DAY = datetime(2020, 1, 6, tzinfo=UTC)
_DAYS = 5 * 365

_SUFFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_SUFFIX_LENGTH = 5
_SUFFIXES = len(_SUFFIX_ALPHABET) ** _SUFFIX_LENGTH
_SUFFIX_STEP = 37_370_149  # has no divisor in common with the number of suffixes, so none comes twice


def sample_segments(count: int, *, namespace: str, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield `count` Segment resources for `namespace`, one by one; each belongs to the caller."""
    yield from islice(_endless(namespace, seed), count)


def _endless(namespace: str, seed: int) -> Iterator[dict[str, Any]]:
    text = files("segsvc.devcluster").joinpath("showcase.yaml").read_text(encoding="utf-8")
    for resource in yaml.safe_load_all(text):
        resource["metadata"]["namespace"] = namespace
        yield resource
    dice = Dice(seed)
    for number in count_up():
        yield _drawn(dice, namespace, _suffix(number, seed))


def _drawn(dice: Dice, namespace: str, suffix: str) -> dict[str, Any]:
    display_name = " ".join([dice.common(group) for group in dice.any(_NAMES)])
    return {
        "apiVersion": "segment.grnry.io/v1alpha1",
        "kind": "Segment",
        "metadata": {
            "name": _id(display_name, suffix),
            "namespace": namespace,
            "annotations": _annotations(dice, display_name),
        },
        "spec": sample_spec(dice, _NO_IDENTIFIER.sub("_", display_name.lower())),
    }


def _id(display_name: str, suffix: str) -> str:
    """Derive an id as the platform does: of the name's letters, only those that DNS takes remain."""
    kept = _NOT_IN_ID.sub("", display_name.lower()).split()
    return "-".join([*(kept or ["segment"]), suffix])


def _suffix(number: int, seed: int) -> str:
    """Return the suffix of the id with this number: all are different, and none looks like the next."""
    rest = ((number + 1) * _SUFFIX_STEP + seed) % _SUFFIXES
    letters = []
    for _ in range(_SUFFIX_LENGTH):
        rest, place = divmod(rest, len(_SUFFIX_ALPHABET))
        letters.append(_SUFFIX_ALPHABET[place])
    return "".join(letters)


# --- annotations


def _annotations(dice: Dice, display_name: str) -> dict[str, str]:
    annotations = {_DISPLAY_NAME: display_name}
    if dice.chance(0.02):  # written with kubectl
        return annotations
    team = dice.common(TEAMS)
    age = dice.roll() * _DAYS
    description = dice.any(_DESCRIPTIONS)
    if description:
        annotations[_DESCRIPTION] = description.format(team=team, word=dice.common(JOINED))
    labels = {dice.common(LABELS) for _ in range(dice.below(5))}
    annotations |= {
        _ROLES: _roles(dice, team),
        _LABELS: _json(sorted(labels)),
        _CREATED_AT: _timestamp(_DAYS - age),
        _CREATED_BY: _author(team),
    }
    if dice.chance(0.8):
        annotations[_MODIFIED_AT] = _timestamp(_DAYS - age * dice.roll())
        annotations[_MODIFIED_BY] = _author(team if dice.chance(0.7) else dice.common(TEAMS))
    return annotations


def _roles(dice: Dice, team: str) -> str:
    kind, own = dice.roll(), team.lower().replace(" ", "_")
    if kind < 0.75:
        return _DEFAULT_ROLES
    if kind < 0.85:
        return _json({"editor": ["segment_job_edit", f"{own}_edit"], "viewer": ["segment_job_view", f"{own}_view"]})
    if kind < 0.95:
        return _json({"editor": [f"{own}_edit"], "viewer": ["segment_job_view"]})
    return _json({"editor": [f"{own}_edit"], "viewer": [f"{own}_view"]})


def _timestamp(day: float) -> str:
    return (_FIRST_DAY + timedelta(day)).isoformat(timespec="milliseconds").removesuffix("+00:00")


@cache
def _author(team: str) -> str:
    return _json({"name": team, "email": f"{team.lower().replace(' ', '.')}@example.com"})


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


_DEFAULT_ROLES = _json({"editor": ["segment_job_edit"], "viewer": ["segment_job_view"]})
