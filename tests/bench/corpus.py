"""What callers ask with: their roles, and searches as people type them. The same seed gives the same."""

import random
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import orjson

from segsvc.devcluster.samples import sample_segments
from segsvc.devcluster.vocabulary import TEAMS

JOB_ROLES = ("segment_job_view", "segment_job_edit")
DASHBOARD = (*JOB_ROLES, *(f"{team.lower().replace(' ', '_')}_view" for team in TEAMS[:8]))
"""The roles of the caller in all measurements that are not about roles: as many as make a token of about 1 kB."""
EDITOR = (*JOB_ROLES, *(f"{team.lower().replace(' ', '_')}_edit" for team in TEAMS))
"""The roles of a caller who may change every sample."""

_TEAM_ROLES = tuple(f"{team.lower().replace(' ', '_')}_{right}" for team in TEAMS for right in ("view", "edit"))
_DISPLAY_NAME = "segment.grnry.io/display-name"
_ROLES = "segment.grnry.io/roles"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ACCENTED = str.maketrans("aeioucn", "áéïöûçñ")


def role_sets(count: int, segments: int) -> list[tuple[str, ...]]:
    """Return sets of roles, no two of which see the same among that many samples; most see most of them."""
    readers = _readers(segments)
    dice = random.Random(1)
    found: dict[frozenset[int], tuple[str, ...]] = {}
    while len(found) < count:
        jobs = dice.choice((JOB_ROLES, JOB_ROLES[:1], JOB_ROLES[1:], JOB_ROLES, ()))
        roles = (*jobs, *dice.sample(_TEAM_ROLES, dice.randint(7, 9)))
        seen = frozenset(number for number, who in enumerate(readers) if not who.isdisjoint(roles))
        found.setdefault(seen, roles)
    return list(found.values())


def _readers(segments: int) -> list[frozenset[str]]:
    """Return the distinct sets of roles that the samples are readable with; samples without are read by default."""
    found: dict[str, frozenset[str]] = {}
    for resource in sample_segments(segments, namespace=""):
        text = resource["metadata"]["annotations"].get(_ROLES, "")
        if text not in found:
            roles: dict[str, Any] = orjson.loads(text) if text else {}
            found[text] = frozenset((*roles.get("editor", JOB_ROLES[1:]), *roles.get("viewer", JOB_ROLES[:1])))
    return list(dict.fromkeys(found.values()))


def names(segments: int) -> list[str]:
    """Return the display names of that many samples."""
    samples = sample_segments(segments, namespace="")
    return [str(resource["metadata"]["annotations"].get(_DISPLAY_NAME, "")) for resource in samples]


def searches(known: Sequence[str], count: int, *, seed: int) -> list[str]:
    """Return searches, all different, as people type them who have some of these names in mind; few find nothing."""
    return list(islice(_searches(known, random.Random(seed)), count))


def _searches(known: Sequence[str], dice: random.Random) -> Iterator[str]:
    typed: set[str] = set()
    while True:
        text = _nonsense(dice) if dice.random() < 0.03 else _search(dice.choice(known), dice)
        key = unicodedata.normalize("NFC", text).casefold().strip()
        if len(key) > 1 and len(text) <= 128 and key not in typed:
            typed.add(key)
            yield text


def _search(name: str, dice: random.Random) -> str:
    words = name.split()
    first = dice.randrange(len(words))
    words = words[first : first + dice.choices((1, 2, 3, 4), (25, 40, 25, 10))[0]]
    if dice.random() < 0.2:
        dice.shuffle(words)
    words = [_typed(word, dice) for word in words]
    if len(words) > 1 and dice.random() < 0.08:
        words[:2] = [words[0] + words[1]]
    elif len(words[0]) > 5 and dice.random() < 0.06:
        cut = dice.randrange(3, len(words[0]) - 1)
        words[:1] = [words[0][:cut], words[0][cut:]]
    text = " ".join(words)
    return text.lower() if dice.random() < 0.7 else text


def _typed(word: str, dice: random.Random) -> str:
    """Return a word as somebody may type it."""
    match dice.choices(("right", "begun", "typo", "inner", "accents", "plain"), (45, 20, 20, 6, 5, 4))[0]:
        case "begun" if len(word) > 3:
            return word[: dice.randrange(2, len(word))]
        case "typo" if len(word) > 3:
            return _misspelled(word, dice)
        case "inner" if len(word) > 5:
            first = dice.randrange(1, len(word) - 3)
            return word[first : first + dice.randint(3, 5)]
        case "accents":
            return word.translate(_ACCENTED)
        case "plain":
            return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
        case _:
            return word


def _misspelled(word: str, dice: random.Random) -> str:
    place, letter = dice.randrange(len(word) - 1), dice.choice(_LETTERS)
    match dice.randrange(4):
        case 0:
            return word[:place] + letter + word[place:]
        case 1:
            return word[:place] + word[place + 1 :]
        case 2:
            return word[:place] + letter + word[place + 1 :]
        case _:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _nonsense(dice: random.Random) -> str:
    return " ".join("".join(dice.choices(_LETTERS, k=dice.randint(4, 10))) for _ in range(dice.randint(1, 2)))
