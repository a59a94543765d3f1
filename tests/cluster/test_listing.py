"""A list decoded as it comes in is the list that a parser of the whole finds, or no list."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.cluster.errors import UnexpectedAnswer
from segsvc.cluster.listing import ListDecoder
from segsvc.devcluster.samples import sample_segments
from tests.domain.strategies import json_values, property_test, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hypothesis.strategies import DrawFn

    Styles = Callable[[Any], str]

SEAM = '},{"apiVersion":"segment.grnry.io/v1alpha1","kind":"Segment","metadata":{'
HEAD = '{"apiVersion":"segment.grnry.io/v1alpha1","items":['

STYLES: dict[str, Styles] = {
    "as the API server": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "ASCII": lambda value: json.dumps(value, separators=(",", ":")),
    "spaced": json.dumps,
    "indented": lambda value: json.dumps(value, indent=1),
    "sorted": lambda value: json.dumps(value, separators=(",", ":"), sort_keys=True),
}

hostile_texts = texts | st.lists(
    st.sampled_from([SEAM, SEAM[1:], SEAM[:-1], HEAD, '"', "\\", "}", "]}", "{", "[", ",", "é", "\U0001f600"]),
    max_size=4,
).map("".join)
small_values = json_values(hostile_texts) | hostile_texts


def fits(value: Any) -> bool:
    """Whether the number is one that orjson reads as it was written."""
    if isinstance(value, dict):
        return all(map(fits, value.values()))
    if isinstance(value, list):
        return all(map(fits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


values = small_values.filter(fits)


def objects_like_ours(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda metadata, spec: {
            "apiVersion": "segment.grnry.io/v1alpha1",
            "kind": "Segment",
            "metadata": metadata,
            "spec": spec,
        },
        st.dictionaries(hostile_texts, inner, max_size=2),
        inner,
    )


items = objects_like_ours(
    values | st.lists(objects_like_ours(values), max_size=3) | st.lists(st.lists(objects_like_ours(values), max_size=2))
)


@st.composite
def documents(draw: DrawFn) -> dict[str, Any]:
    """Lists of any kind, nearly always of Segments, with the properties in any order, nearly always the usual one."""
    document = {
        "apiVersion": draw(st.just("segment.grnry.io/v1alpha1") | hostile_texts),
        "items": draw(st.lists(items, max_size=6) | st.lists(items | values, max_size=4)),
        "kind": "SegmentList",
        "metadata": {
            "continue": draw(st.sampled_from(["", "token"]) | hostile_texts),
            "resourceVersion": str(draw(st.integers(0, 10**12))),
            "more": draw(st.lists(items, max_size=2)),
        },
    }
    order = draw(st.just(list(document)) | st.permutations(list(document)))
    return {name: document[name] for name in order}


written = st.sampled_from(sorted(STYLES)).map(STYLES.__getitem__)


def cut_up(body: bytes, places: Iterable[int]) -> list[bytes]:
    cuts = sorted({min(place, len(body)) for place in places} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(cuts)]


def decoded(chunks: Iterable[bytes], piece: int) -> tuple[list[Any], int, str | None]:
    decoder = ListDecoder(piece)
    found: list[Any] = [item for chunk in chunks for item in decoder.feed(chunk)]
    rest = decoder.finish()
    return found + rest.items, rest.revision, rest.continue_token


def expected(document: dict[str, Any]) -> tuple[list[Any], int, str | None]:
    metadata = document["metadata"]
    return document["items"], int(metadata["resourceVersion"]), metadata.get("continue") or None


places = st.lists(st.integers(0, 3000), max_size=8)
pieces = st.sampled_from([1, 7, 50, 200, 1000])


@property_test
@given(document=documents(), style=written, places=places, piece=pieces)
def test_any_list_is_read_however_it_is_written_and_cut_up(
    document: dict[str, Any], style: Styles, places: list[int], piece: int
) -> None:
    body = style(document).encode() + b"\n"

    assert decoded(cut_up(body, places), piece) == expected(orjson.loads(body))


@property_test
@given(document=documents(), style=written, places=places, piece=pieces, data=st.data())
def test_a_list_that_breaks_off_is_none_and_what_came_before_is_what_was_in_it(
    document: dict[str, Any], style: Styles, places: list[int], piece: int, data: st.DataObject
) -> None:
    body = style(document).encode()
    short = body[: data.draw(st.integers(0, len(body) - 1))]
    decoder = ListDecoder(piece)

    found = [item for chunk in cut_up(short, places) for item in decoder.feed(chunk)]

    assert found == orjson.loads(body)["items"][: len(found)]
    with pytest.raises(UnexpectedAnswer):
        decoder.finish()


@property_test
@given(document=documents(), places=places, piece=pieces, data=st.data())
def test_a_damaged_list_is_read_as_a_parser_of_the_whole_reads_it(
    document: dict[str, Any], places: list[int], piece: int, data: st.DataObject
) -> None:
    body = STYLES["as the API server"](document).encode()
    place = data.draw(st.integers(0, len(body)))
    removed, added = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([b"", *map(bytes, zip(b'"\\{}[],:x0'))]))
    body = body[:place] + added + body[place + removed :]
    try:
        wanted = expected(orjson.loads(body))
        assert isinstance(wanted[0], list)
        assert isinstance(wanted[2], str | None)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
        with pytest.raises(UnexpectedAnswer):
            decoded(cut_up(body, places), piece)
    else:
        assert decoded(cut_up(body, places), piece) == wanted


def list_of(*found: Any) -> bytes:
    metadata = {"continue": "", "resourceVersion": "7"}
    document = {"apiVersion": "segment.grnry.io/v1alpha1", "items": found, "kind": "SegmentList", "metadata": metadata}
    return orjson.dumps(document) + b"\n"


def test_items_come_while_the_list_is_under_way() -> None:
    samples = [orjson.loads(orjson.dumps(sample)) for sample in sample_segments(1000, namespace="test")]
    body = list_of(*samples)
    decoder = ListDecoder()

    counts = [sum(1 for _ in decoder.feed(chunk)) for chunk in cut_up(body, range(0, len(body), 10_000))]

    assert sum(counts) >= 900
    assert sum(counts) + len(decoder.finish().items) == 1000
    assert max(counts) < 200, "what was decoded is not kept back"


@pytest.mark.parametrize("where", ["spec", "list"])
def test_what_only_looks_like_items_costs_no_more_than_it_must(where: str) -> None:
    fake = {"apiVersion": "segment.grnry.io/v1alpha1", "kind": "Segment", "metadata": {}}
    nested = {**fake, "spec": [fake] * 40_000}
    body = (
        list_of(nested, fake) if where == "spec" else STYLES["spaced"](orjson.loads(list_of(*[fake] * 40_000))).encode()
    )

    # were all that is pending parsed at each of its 40,000 seams, this would take hours
    found, revision, token = decoded(cut_up(body, range(0, len(body), 97)), 64)

    assert len(found) == (2 if where == "spec" else 40_000)
    assert (revision, token) == (7, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"items":[]}',
        b'{"items":[],"metadata":{}}',
        b'{"items":[],"metadata":[]}',
        b'{"items":{},"metadata":{"resourceVersion":"1"}}',
        b'{"metadata":{"resourceVersion":"1"}}',
        b'{"items":[],"metadata":{"resourceVersion":"one"}}',
        list_of({}) + b"{}",
    ],
)
def test_what_is_no_list_is_an_unexpected_answer(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        decoded([body], 10)
