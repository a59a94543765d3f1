"""What a CronJob accepts as a schedule: each answer in the tables is that of robfig/cron v3.0.1, asked itself."""

from __future__ import annotations

import re
from time import process_time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.schedule import check_schedule

if TYPE_CHECKING:
    from collections.abc import Callable

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]

ACCEPTED = {
    "stars": "* * * * *",
    "question marks": "? ? ? ? ?",
    "numbers": "5 4 3 2 1",
    "the lowest of each": "0 0 1 1 0",
    "the highest of each": "59 23 31 12 6",
    "a date that never comes": "0 0 31 2 *",
    "ranges": "5-5 0-23 1-31 1-12 0-6",
    "steps": "*/5 ?/2 1-31/7 3/4 */1",
    "a step from a number on": "59/30 * * * *",
    "a step beyond the range": "*/61 * * * *",
    "the largest step": "*/9223372036854775807 * * * *",
    "lists": "1,5-7/2,3 * 1,15 * mon,wed,fri",
    "names in lower case": "* * * jan-dec sun-sat",
    "names in any case": "* * * JAN,Feb mOn",
    "a name with the dotted I that Go lowers to i": "* * * * FR\u0130",
    "a name and a number in one range": "* * * jan-3 *",
    "a name with a step": "* * * feb/2 *",
    "a needless comma": ",1,,2, * * * *",
    "commas alone": ", * * * *",
    "a star with anything behind a hyphen": "*-x-y * * * *",
    "a signed number": "+5 * * * *",
    "a signed step": "*/+2 * * * *",
    "leading zeros": "007 * * * *",
    "leading zeros beyond the length of an int64": "00000000000000000000000007 * * * *",
    "space around": " * * * * * \n",
    "tabs and newlines": "*\t*\n*\v*\f*",
    "Unicode's spaces": "*\u0085*\u00a0*\u2003*\u3000*",
    "yearly": "@yearly",
    "annually": "@annually",
    "monthly": "@monthly",
    "weekly": "@weekly",
    "daily": "@daily",
    "midnight": "@midnight",
    "hourly": "@hourly",
    "every five minutes": "@every 5m",
    "every unit": "@every 1h2m3s4ms5us6ns7\u00b5s8\u03bcs",
    "every fraction": "@every 1.5h.5m3.s",
    "every unit twice": "@every 1h1h",
    "every nothing": "@every 0",
    "every signed nothing": "@every -0",
    "every negative duration": "@every -1h",
    "every signed duration": "@every +1h",
    "every zero of a unit": "@every 0s",
    "every longest duration": "@every 2562047h47m16.854775807s",
    "every longest negative duration": "@every -9223372036854775808ns",
    "every pair of longest durations, which add up to 0": "@every 9223372036854775808ns9223372036854775808ns",
    "every long fraction": "@every 0." + "3" * 400 + "h",
    "every small fraction": "@every 0." + "0" * 400 + "1s",
    "every pair of longest durations and more": "@every 9223372036854775808ns9223372036854775808ns1h",
}

REFUSED = {
    "nothing": "",
    "space": "   ",
    "four fields": "* * * *",
    "six fields": "* * * * * *",
    "seconds": "0 0 12 * * *",
    "a space that Go does not know": "*\x1c* * * *",
    "a zero-width space": "*\u200b* * * *",
    "a minute too high": "60 * * * *",
    "an hour too high": "* 24 * * *",
    "a day too low": "* * 0 * *",
    "a day too high": "* * 32 * *",
    "a month too low": "* * * 0 *",
    "a month too high": "* * * 13 *",
    "a weekday too high": "* * * * 7",
    "a range that ends too high": "* * * * 5-7",
    "a range that begins too high": "60/5 * * * *",
    "a range that ends before it begins": "5-3 * * * *",
    "a range of names that ends before it begins": "* * * * sat-sun",
    "a letter": "5 j * * *",
    "a range to a letter": "2-x * * * *",
    "a range to a star": "2-* * * * *",
    "two hyphens": "5--5 * * * *",
    "a range of three": "1-2-3 * * * *",
    "an open range": "5- * * * *",
    "a negative number": "-5 * * * *",
    "a negative step": "*/-12 * * * *",
    "two slashes": "*//2 * * * *",
    "two steps": "*/2/2 * * * *",
    "no step": "*/ * * * *",
    "a step of nothing": "/5 * * * *",
    "a step of 0": "*/0 * * * *",
    "a step of -0": "*/-0 * * * *",
    "a named step": "* * * */feb *",
    "a step beyond an int64": "*/9223372036854775808 * * * *",
    "a number of more digits than Python converts": "9" * 5000 + " * * * *",
    "a sign alone": "+ * * * *",
    "two stars": "** * * * *",
    "an underscore": "1_0 * * * *",
    "a fraction": "1.5 * * * *",
    "Arabic digits": "\u0663 * * * *",
    "a superscript": "\u00b2 * * * *",
    "a month as a weekday": "* * * * jan",
    "a weekday as a month": "* * * mon *",
    "a name as a minute": "jan * * * *",
    "a long name": "* * * january *",
    "a name with a long s": "* * * * \u017fun",
    "the last day of a month": "* * L * *",
    "the nth weekday": "* * * * 1#2",
    "a time zone": "CRON_TZ=UTC 5 * * * *",
    "the short form of a time zone": "TZ=Asia/Tokyo 5 * * * *",
    "a time zone without a schedule": "TZ=",
    "a time zone where the parser does not look": "*-TZ * * * *",
    "a descriptor in upper case": "@Daily",
    "a descriptor with a space behind it": "@daily ",
    "a descriptor with a space before it": " @daily",
    "an unknown descriptor": "@unrecognized",
    "a descriptor of cron": "@reboot",
    "an at sign": "@",
    "every": "@every",
    "every and a space": "@every ",
    "every with two spaces": "@every  5m",
    "every with a tab": "@every\t5m",
    "every with a space behind it": "@every 5m ",
    "every with a space between": "@every 1h 5m",
    "every bad number": "@every Xm",
    "every number without a unit": "@every 5",
    "every double zero": "@every 00",
    "every unit without a number": "@every h",
    "every point": "@every .h",
    "every pair of points": "@every 1..5h",
    "every pair of signs": "@every --1h",
    "every sign alone": "@every +",
    "every inner sign": "@every 1h-1m",
    "every day": "@every 1d",
    "every unit in upper case": "@every 1H",
    "every duration in Arabic digits": "@every \u0661h",
    "every duration a nanosecond too long": "@every 2562047h47m16.854775808s",
    "every duration too long in nanoseconds": "@every 9223372036854775808ns",
    "every duration too long in hours": "@every 2562048h",
    "every sum that is too long": "@every 2562047h2562047h",
    "every sum that is too long before it ends": "@every 9223372036854775808ns1ns9223372036854775807ns",
    "every third part that is none": "@every 1h1h1",
    "every number of more digits than Python converts": "@every " + "9" * 5000 + "h",
    "a megabyte of zeros that is no number": "0" * 2**20 + "x * * * *",
    "a lone surrogate": "\ud800 * * * *",
}


@pytest.mark.parametrize("schedule", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts(schedule: str) -> None:
    assert check_schedule(schedule) is None


@pytest.mark.parametrize("schedule", REFUSED.values(), ids=REFUSED.keys())
def test_refuses(schedule: str) -> None:
    reason = check_schedule(schedule)
    assert reason is not None
    assert_phrase(reason)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "must not be empty"),
        (
            "* * * *",
            "must have 5 fields (minute, hour, day of month, month, day of week) or a descriptor, but has 4",
        ),
        ("61 * * * *", "has an invalid minute '61': it must be within 0 to 59"),
        ("* * * * mon,funday", "has an invalid day of week 'funday': 'funday' is not a number or name"),
        ("* 9-17/x * * *", "has an invalid hour '9-17/x': 'x' is not a number"),
        ("* * 9-3 * *", "has an invalid day of month '9-3': the range ends before it begins"),
        ("* * * */0 *", "has an invalid month '*/0': the step must be at least 1"),
        ("CRON_TZ=UTC * * * * *", "must not name a time zone (TZ): Kubernetes takes none in a schedule"),
        (
            "@every 1d",
            "has an invalid duration '1d': it must be numbers with units (h, m, s, ms, us, ns) such as 1h30m",
        ),
    ],
)
def test_says_why(schedule: str, reason: str) -> None:
    assert check_schedule(schedule) == reason


@pytest.mark.parametrize("schedule", ["x" * 10_000 + " * * * *", "@" + "x" * 10_000, "@every " + "x" * 10_000])
def test_quotes_long_text_shortened(schedule: str) -> None:
    reason = check_schedule(schedule)
    assert reason is not None
    assert "x" in reason
    assert len(reason) < 300


def test_quotes_what_no_response_could_carry_in_escaped_form() -> None:
    reason = check_schedule("\ud800\x00 * * * *")
    assert reason == r"has an invalid minute '\ud800\x00': '\ud800\x00' is not a number"


@st.composite
def items(draw: st.DrawFn, low: int, high: int) -> str:
    """Draw a member of a field's list that keeps within the field's bounds."""
    names = {(1, 12): MONTHS, (0, 6): WEEKDAYS}.get((low, high), [])

    def written(number: int) -> str:
        forms = [str(number), f"+{number}", f"{number:03}"]
        forms += [case(names[number - low]) for case in (str.lower, str.upper, str.title) if names]
        return draw(st.sampled_from(forms))

    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    span = draw(st.sampled_from(["*", "?", written(first), f"{written(first)}-{written(last)}"]))
    step = draw(st.none() | st.integers(1, 2**63 - 1))
    return span if step is None else f"{span}/{step}"


def lists(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(items(low, high), min_size=1, max_size=4).map(",".join)


spaces = st.text(" \t\n\u00a0\u3000", min_size=1, max_size=3)
crontabs = st.tuples(*(st.tuples(lists(*bounds), spaces) for bounds in FIELDS)).map(
    lambda parts: "".join(content + space for content, space in parts)
)
durations = st.lists(
    st.tuples(
        st.integers(0, 1000), st.sampled_from(["", ".", ".5", ".000001"]), st.sampled_from(["h", "m", "s", "ms"])
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: "@every " + "".join(f"{whole}{fraction}{unit}" for whole, fraction, unit in parts))


@given(crontabs | durations)
def test_accepts_whatever_follows_the_grammar(schedule: str) -> None:
    assert check_schedule(schedule) is None


@given(crontabs, st.sampled_from(FIELDS), st.integers(2, 9))
def test_repeating_the_members_of_a_list_changes_nothing(schedule: str, bounds: tuple[int, int], times: int) -> None:
    fields = schedule.split()
    fields[FIELDS.index(bounds)] = ",".join([fields[FIELDS.index(bounds)]] * times)
    assert check_schedule(" ".join(fields)) is None
    fields[FIELDS.index(bounds)] += ",99,x,99"
    reason = check_schedule(" ".join(fields))
    assert reason is not None
    assert " '99': it must be within " in reason, "the first that is refused is named"


@pytest.mark.parametrize(
    "schedule",
    [
        "1," * 500_000 + " * * * *",
        " ".join(["1-2,*/3," * 25_000] * 5),
        "@every " + "1h" * 500_000,
    ],
    ids=["one list", "five lists", "a duration"],
)
def test_a_megabyte_is_checked_hardly_slower_than_it_is_split(schedule: str) -> None:
    assert check_schedule(schedule) is None
    assert seconds(lambda: check_schedule(schedule)) < 5 * seconds(lambda: re.findall("[^,]", schedule))


def test_digits_that_do_not_count_take_no_time() -> None:
    schedule = "@every 1." + "0" * 1_000_000 + "h"
    assert check_schedule(schedule) is None
    assert seconds(lambda: check_schedule(schedule)) < seconds(lambda: re.findall("[^,]", schedule))


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, the best of three: others may run on it as well."""
    times = []
    for _ in range(3):
        begun = process_time()
        work()
        times.append(process_time() - begun)
    return min(times)


@given(st.sampled_from(FIELDS), st.data())
def test_refuses_a_number_beyond_a_fields_bounds_wherever_it_stands(
    bounds: tuple[int, int], data: st.DataObject
) -> None:
    low, high = bounds
    number = data.draw(st.integers(high + 1) if low == 0 else st.integers(high + 1) | st.integers(0, low - 1))
    fields = ["*"] * len(FIELDS)
    fields[FIELDS.index(bounds)] = data.draw(st.sampled_from(["{}", "*,{}", "{}/2", "{0}-{0}"])).format(number)
    assert check_schedule(" ".join(fields)) is not None


@given(
    st.text()
    | st.text(alphabet="*?,-/+ 0123456789")
    | st.text(alphabet="0123456789.+-hmsun\u00b5").map("@every ".__add__)
)
def test_takes_any_text_and_words_every_refusal_as_a_phrase(text: str) -> None:
    reason = check_schedule(text)
    if reason is not None:
        assert_phrase(reason)


def assert_phrase(reason: str) -> None:
    """It completes "Parameter 'data.cronjob.schedule' ..." and can be sent as JSON."""
    assert reason.startswith(("must ", "has "))
    assert not reason.endswith(".")
    assert reason.isprintable()
    reason.encode()
