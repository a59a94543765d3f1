"""Which schedules a Kubernetes CronJob accepts.

The segment operator copies a segment's schedule into a CronJob, so a schedule is accepted here exactly when the API
server takes it as `spec.schedule` of a new CronJob: when robfig/cron v3.0.1's `ParseStandard` does, and it does not
contain "TZ" (`validateScheduleFormat` in kubernetes/pkg/apis/batch/validation). That includes what looks like an
oversight there: a field of commas alone, `*-anything`, a signed number, `@every -1h`. Refusing them would make
segments that were written with kubectl incompatible although the operator runs them.

This module must not judge whether a schedule is sensible, nor compute when it fires.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

_INT64_LIMIT = 1 << 63
_UINT64_MASK = (1 << 64) - 1
_LONGEST_CACHED = 128  # real schedules are short; what is longer must be quick to check, for a megabyte may come
_MAX_CACHED = 16384  # 10 MB at most, with reasons
_LONGEST_FIELD = 32
_MAX_FIELDS = 1024
_LONGEST_QUOTED = 40
_LONGEST_FRACTION = 400  # what is left behind as many zeros is nothing, and behind anything else does not count

# unicode.IsSpace of Go; str.split() would take U+001C to U+001F as well
_SPACE = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_INTEGER = re.compile(r"([+-]?)([0-9]+)")
# digits, a point, digits and a unit, any of which may be missing: any text but an empty one is a row of such parts
_DURATION_PART = re.compile(r"(?!\Z)[0-9]*+(?:\.[0-9]*+)?+[^.0-9]*+")
_DURATION_PIECES = re.compile(r"([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = "@every "
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


@dataclass(frozen=True, slots=True)
class _Field:
    title: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    right: set[str] = field(default_factory=set)
    """Contents that were found right: schedules are many, made of few."""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    _Field("day of week", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


class _Refused(Exception):
    """The reason, as a phrase."""


def check_schedule(text: str) -> str | None:
    """Return None for a schedule that a CronJob accepts, else why not.

    The reason is a phrase that completes "Parameter 'NAME' ...", without a full stop; it quotes the offending part,
    shortened and escaped. Takes any text and raises nothing.
    """
    return _cached_reason(text) if len(text) <= _LONGEST_CACHED else _reason(text)


def _reason(text: str) -> str | None:
    try:
        _parse(text)
    except _Refused as refused:
        return str(refused)
    return None


_cached_reason = lru_cache(maxsize=_MAX_CACHED)(_reason)


def _parse(text: str) -> None:
    if not text:
        raise _Refused("must not be empty")
    if "TZ" in text:
        raise _Refused("must not name a time zone (TZ): Kubernetes takes none in a schedule")
    if text.startswith("@"):
        _parse_descriptor(text)
        return
    fields = [part for part in _SPACE.split(text) if part]
    if len(fields) != len(_FIELDS):
        raise _Refused(
            "must have 5 fields (minute, hour, day of month, month, day of week) or a descriptor,"
            f" but has {len(fields)}"
        )
    for kind, content in zip(_FIELDS, fields, strict=True):
        if content in kind.right:
            continue
        # a list may repeat a member half a million times; the first one that is refused is named all the same
        for item in dict.fromkeys(filter(None, content.split(","))):
            try:
                _parse_item(item, kind)
            except _Refused as refused:
                raise _Refused(f"has an invalid {kind.title} {_quoted(item)}: {refused}") from None
        if len(content) <= _LONGEST_FIELD:
            if len(kind.right) >= _MAX_FIELDS:
                kind.right.clear()
            kind.right.add(content)


def _parse_item(item: str, kind: _Field) -> None:
    """Check one member of a list: `*`, `?`, a number, a name, or a range of them, each with or without `/step`."""
    span, *steps = item.split("/")
    first, *last = span.split("-")
    if first in {"*", "?"}:
        start, end = kind.low, kind.high  # robfig does not look at what follows the hyphen here
    else:
        if len(last) > 1:
            raise _Refused("it has too many hyphens")
        start = _number_or_name(first, kind)
        open_end = kind.high if steps else start
        end = _number_or_name(last[0], kind) if last else open_end
    if len(steps) > 1:
        raise _Refused("it has too many slashes")
    if start < kind.low or start > kind.high or end > kind.high:
        raise _Refused(f"it must be within {kind.low} to {kind.high}")
    if start > end:
        raise _Refused("the range ends before it begins")
    if steps and _number(steps[0]) == 0:
        raise _Refused("the step must be at least 1")


def _number_or_name(text: str, kind: _Field) -> int:
    # Go's ToLower maps the dotted capital I to a plain i, where Python adds a combining dot.
    number = kind.names.get(text.replace("\u0130", "i").lower())
    return _number(text, "number or name" if kind.names else "number") if number is None else number


def _number(text: str, expected: str = "number") -> int:
    """Return the value of what Go's `strconv.Atoi` takes for a number that is not negative."""
    if len(text) < 19 and text.isascii() and text.isdigit():  # nearly every one
        return int(text)
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise _Refused(f"{_quoted(text)} is not a {expected}")
    sign, digits = match[1], match[2].lstrip("0")
    if len(digits) > 19 or (number := int(digits or 0)) >= _INT64_LIMIT:
        raise _Refused("a number is too large")
    if sign == "-" and number:
        raise _Refused("a number is negative")
    return number


def _parse_descriptor(text: str) -> None:
    if text.startswith(_EVERY):
        _parse_duration(text.removeprefix(_EVERY))
    elif text not in _DESCRIPTORS:
        known = ", ".join(sorted(_DESCRIPTORS))
        raise _Refused(f"has the unknown descriptor {_quoted(text)}: known are {known} and '@every DURATION'")


def _parse_duration(text: str) -> None:
    """Check what follows `@every` as Go's `time.ParseDuration` does, its arithmetic on uint64 included."""
    negative = text.startswith("-")
    rest = text[1:] if text.startswith(("-", "+")) else text
    if rest == "0":
        return
    total = 0
    known: dict[str, int] = {}  # half a million parts may be the same few
    for part in _DURATION_PART.findall(rest) or [""]:
        nanoseconds = known.get(part)
        if nanoseconds is None:
            nanoseconds = known[part] = _nanoseconds(part, text)
        total = (total + nanoseconds) & _UINT64_MASK
        if total > _INT64_LIMIT:
            raise _too_long(text)
    if total == _INT64_LIMIT and not negative:
        raise _too_long(text)


def _nanoseconds(part: str, duration: str) -> int:
    """Return how long a part of a duration is, a number and its unit: 2**63 ns at most."""
    pieces = cast("re.Match[str]", _DURATION_PIECES.fullmatch(part))  # it matches nothing, too
    whole, fraction, unit = pieces[1], pieces[2] or "", pieces[3]
    if not (whole or fraction) or unit not in _NANOSECONDS:
        raise _Refused(
            f"has an invalid duration {_quoted(duration)}: it must be numbers with units (h, m, s, ms, us, ns)"
            " such as 1h30m"
        )
    significant = whole.lstrip("0")
    if len(significant) > 19:
        raise _too_long(duration)
    nanoseconds = int(significant or 0) * _NANOSECONDS[unit]
    if fraction:
        nanoseconds += _fraction(fraction, _NANOSECONDS[unit])
    if nanoseconds > _INT64_LIMIT:
        raise _too_long(duration)
    return nanoseconds


def _too_long(duration: str) -> _Refused:
    return _Refused(f"has the duration {_quoted(duration)}, which is too long")


def _fraction(digits: str, nanoseconds: int) -> int:
    """Return the part of a unit that the digits after a point stand for; those beyond 63 bits do not count."""
    value, scale = 0, 1.0
    for digit in digits[:_LONGEST_FRACTION]:
        longer = value * 10 + int(digit)
        if longer > _INT64_LIMIT:
            break
        value, scale = longer, scale * 10
    return int(value * (nanoseconds / scale))


def _quoted(text: str) -> str:
    """Quote a caller's text for a message: bounded, on one line, and without lone surrogates."""
    return repr(text if len(text) <= _LONGEST_QUOTED else text[: _LONGEST_QUOTED - 1] + "…")
