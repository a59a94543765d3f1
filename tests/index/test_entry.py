"""What the index keeps of a segment stands for all that the API shows of it, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from segsvc.domain.segment import Roles, Segment
from segsvc.index.entry import CLOSING, DIGEST_SIZE, OPENING, Version, digest, entry, rendered
from tests.domain.documents import document
from tests.domain.strategies import property_test, segment_test, segments, texts

FIRST = Version("uid", 1)
SEGMENT = Segment("demo", "Demo", "", Roles(), (), {}, created_at="2020-03-18T18:08:31.850")


@segment_test
@given(segment=segments)
def test_holds_the_whole_document(segment: Segment) -> None:
    held = entry(segment, FIRST)
    assert held.document() == document(segment)
    linked = orjson.loads(OPENING + b"/" + held.body + CLOSING)
    assert linked == document(segment) | {"links": {"self": f"/{segment.id}?action=self"}}
    assert list(linked) == ["links", *document(segment)]
    assert held.display_name == segment.display_name
    assert (held.created_at, held.modified_at) == (segment.created_at, segment.modified_at)
    assert len(held.digest) == DIGEST_SIZE


@segment_test
@given(segment=segments)
def test_the_bytes_are_those_of_the_document_written_at_once(segment: Segment) -> None:
    written = document(segment) | {
        "data": orjson.Fragment(orjson.dumps(segment.data, option=orjson.OPT_SORT_KEYS)),
    }
    assert rendered(segment) == orjson.dumps(written)
    linked = segment.id.encode() + b'?action=self"},' + rendered(segment)[1:]
    assert entry(segment, FIRST).body + CLOSING == linked
    assert entry(segment, FIRST).digest == digest(rendered(segment))


@segment_test
@given(segment=segments, text=texts)
@example(segment=SEGMENT, text=',"createdAt":"never","modifiedAt":"never"')
@example(segment=SEGMENT, text='\\","createdAt":"never')
@example(segment=SEGMENT, text='"displayName":"","description":"')
def test_no_text_is_taken_for_another(segment: Segment, text: str) -> None:
    segment = replace(segment, display_name="x" + text, description=text)
    held = entry(segment, FIRST)
    assert held.display_name == segment.display_name
    assert (held.created_at, held.modified_at) == (segment.created_at, segment.modified_at)


@segment_test
@given(
    segment=segments,
    name=st.none() | texts.map("x{}".format),
    description=st.none() | texts,
    times=st.none() | st.sampled_from([("", ""), ("2020-03-18T18:08:31.850", ""), ("", "2020-03-18T18:08:31.850")]),
)
@example(segment=SEGMENT, name='Demo","description":"', description=None, times=None)
@example(segment=SEGMENT, name=None, description=',"createdAt":"","modifiedAt":""', times=None)
@example(segment=SEGMENT, name="Demos", description=None, times=None)
def test_sorts_as_another_exactly_if_name_and_times_are_the_same(
    segment: Segment, name: str | None, description: str | None, times: tuple[str, str] | None
) -> None:
    created_at, modified_at = (segment.created_at, segment.modified_at) if times is None else times
    other = replace(
        segment,
        display_name=segment.display_name if name is None else name,
        description=segment.description if description is None else description,
        created_at=created_at,
        modified_at=modified_at,
    )
    is_alike = other.display_name == segment.display_name and (created_at, modified_at) == (
        segment.created_at,
        segment.modified_at,
    )
    assert entry(segment, FIRST).sorts_as(entry(other, FIRST)) is is_alike
    assert entry(other, FIRST).sorts_as(entry(segment, FIRST)) is is_alike


@property_test
@given(uid=texts | st.uuids().map(str), revision=st.integers())
@example(uid="74648F8F-f594-411b-8866-4ad701bd90de", revision=1)
@example(uid="74648f8ff594411b88664ad701bd90de", revision=1)
@example(uid="74648f8f-f594-411b-8866-4ad701bd90de\n", revision=1)
def test_a_version_is_what_it_was_made_of(uid: str, revision: int) -> None:
    version = Version(uid, revision)
    assert (version.uid, version.revision) == (uid, revision)
    assert version == Version(uid, revision)
    assert version != Version(uid, revision + 1)
    assert version != Version(uid + "x", revision)


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
