"""What a list's resources are to this service: each what it would be alone, whatever stands beside it."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.cluster.observed import Nameless, Observed, Shown, observed, observed_list
from segsvc.domain.codec import encode
from segsvc.index.entry import Version
from tests.domain.strategies import property_test, segment_test, segments

STATES = st.builds(
    lambda segment, uid, revision: encode(
        segment, {"metadata": {"uid": str(uid), "resourceVersion": str(revision), "creationTimestamp": None}}
    ),
    segments,
    st.uuids(),
    st.integers(1, 2**63),
)
DEMO = {
    "metadata": {
        "name": "demo",
        "uid": "3f1e",
        "resourceVersion": "12",
        "annotations": {"segment.grnry.io/display-name": "Demo"},
    },
    "spec": {"cronjob": {"schedule": "@daily"}},
}
ABSENT = object()
NESTED: list[Any] = functools.reduce(lambda inner, _: [inner], range(3000), [])
OTHERWISE: dict[tuple[str, ...], list[Any]] = {
    ("metadata", "name"): [ABSENT, None, 5, NESTED, "", "..", "a/b", "Demo", "demo\n", "a" * 254],
    ("metadata", "uid"): [ABSENT, None, 5, NESTED],
    ("metadata", "resourceVersion"): [ABSENT, None, 12, "", "x", "1.5", [], "9" * 5000],
    ("metadata", "deletionTimestamp"): [ABSENT, None, "2020-03-18T18:08:31Z"],
    ("metadata", "annotations"): [ABSENT, None, 5, [], {}],
    ("metadata", "annotations", "segment.grnry.io/display-name"): [" ", 5],
    ("metadata", "annotations", "segment.grnry.io/created-at"): ["never", "", 5, []],
    ("metadata", "annotations", "segment.grnry.io/roles"): ["[]", 5, []],
    ("spec",): [ABSENT, None, {}, 5],
    ("metadata",): [ABSENT, None, 5, [], {}],
}
STRANGE = [(path, value) for path, values in OTHERWISE.items() for value in values]


def strange(path: tuple[str, ...], value: object, of: dict[str, Any] = DEMO) -> dict[str, Any]:
    """Return a resource with one thing changed, or left out."""
    resource = copy.deepcopy(of)
    held = resource
    for member in path[:-1]:
        held = held[member]
    if value is ABSENT:
        held.pop(path[-1], None)
    else:
        held[path[-1]] = value
    return resource


def told(resources: list[dict[str, Any]]) -> list[object]:
    """Return of each of a list's resources what is to be known of it."""
    seen: list[object] = []
    for found in observed_list(iter(resources)):
        match found:
            case Shown():
                seen += zip(map(shown, found.entries), found.segments, strict=True)
            case Observed():
                assert found.entry is None
                seen.append((found.id, found.version, found.problem))
            case Nameless():
                seen.append(str(found))
    return seen


def told_alone(resource: dict[str, Any]) -> object:
    """Return the same of a resource that comes alone."""
    try:
        found = observed(resource)
    except Nameless as error:
        return str(error)
    if found.entry is None:
        return found.id, found.version, found.problem
    return shown(found.entry), found.segment


def shown(entry: Any) -> tuple[object, ...]:
    return entry.id, entry.version, entry.roles, entry.labels, entry.body


@pytest.mark.parametrize(("path", "value"), STRANGE)
def test_a_strange_resource_is_the_only_one_in_a_list(path: tuple[str, ...], value: object) -> None:
    resources = [DEMO, strange(path, value), DEMO]
    assert told(resources) == list(map(told_alone, resources))


@segment_test
@given(resources=st.lists(STATES | st.sampled_from([strange(*change) for change in STRANGE]), max_size=5))
def test_a_resource_in_a_list_is_what_it_is_alone(resources: list[dict[str, Any]]) -> None:
    assert told(resources) == list(map(told_alone, resources))


@property_test
@given(changes=st.lists(st.none() | st.sampled_from(STRANGE), min_size=60, max_size=140))
def test_no_resource_changes_another_in_however_long_a_list(changes: list[tuple[tuple[str, ...], Any] | None]) -> None:
    resources = [DEMO if change is None else strange(*change) for change in changes]
    assert told(resources) == list(map(told_alone, resources))


@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_resources_that_are_shown_come_in_rows(count: int) -> None:
    resources = [strange(("metadata", "name"), f"demo-{number}") for number in range(count)]
    rows = list(observed_list(resources))
    assert all(isinstance(row, Shown) and 1 <= len(row.entries) <= 64 for row in rows)
    assert len(rows) == -(-count // 64)
    assert told(resources) == list(map(told_alone, resources))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("metadata", "name"), "a/b"), (("metadata", "uid"), ABSENT), (("metadata", "resourceVersion"), "x")],
)
def test_one_without_a_name_says_what_it_lacks(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(Nameless, match="metadata with"):
        observed(strange(path, value))


def test_a_version_tells_both_of_its_parts() -> None:
    assert observed(DEMO).version == Version("3f1e", 12)
