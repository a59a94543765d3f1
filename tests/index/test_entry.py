"""What the index keeps of a segment stands for all that the API shows of it, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given

from segsvc.domain.segment import Segment, document
from segsvc.index.entry import DIGEST_SIZE, Version, entry
from tests.domain.strategies import segment_test, segments

FIRST = Version("uid", 1)


@segment_test
@given(segment=segments)
def test_holds_the_whole_document(segment: Segment) -> None:
    held = entry(segment, FIRST)
    assert held.document() == document(segment)
    assert orjson.loads(held.body + b',"links":{}}') == document(segment) | {"links": {}}
    assert len(held.digest) == DIGEST_SIZE


@segment_test
@given(segment=segments)
def test_neither_version_nor_the_order_of_properties_shows(segment: Segment) -> None:
    held = entry(segment, FIRST)
    turned = entry(replace(segment, data=_turned(segment.data)), Version("other", 2))
    assert (turned.body, turned.digest) == (held.body, held.digest)


@segment_test
@given(segment=segments)
def test_each_thing_that_shows_makes_another_digest(segment: Segment) -> None:
    held = entry(segment, FIRST).digest
    changed = [
        replace(segment, display_name=segment.display_name + "x"),
        replace(segment, description=segment.description + "x"),
        replace(segment, labels=(*segment.labels, "x")),
        replace(segment, roles=replace(segment.roles, viewer=(*segment.roles.viewer, "x"))),
        replace(segment, modified_at="2100-01-01T00:00:00.000"),
        replace(segment, created_by=replace(segment.created_by, email=segment.created_by.email + "x")),
        replace(segment, data={**segment.data, "env": {**segment.data.get("env", {}), "NEW_ONE_HERE": "x"}}),
    ]
    digests = {held, *(entry(other, FIRST).digest for other in changed)}
    assert len(digests) == len(changed) + 1


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return value
