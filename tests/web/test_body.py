"""What a body's bytes are read as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segsvc.domain.errors import InvalidParameters
from segsvc.domain.schema import parse_body
from segsvc.web.body import MAX_BODY, MAX_VALUES, parse
from tests.domain.strategies import property_test

if TYPE_CHECKING:
    from collections.abc import Iterator


class Members(NamedTuple):
    """An object as it is written, where a key may stand twice."""

    pairs: list[tuple[str, object]]

    def repeats(self) -> bool:
        return len(dict(self.pairs)) < len(self.pairs)


KEYS = st.sampled_from(["a", "b", "\\", '"', ":", '\\"', '":"', '\\\\":', "{", "é", "\u0000", "a,b", ""])
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(Members),
    max_leaves=12,
)


def written(value: object) -> str:
    if isinstance(value, Members):
        members = ", ".join(f"{json.dumps(key)} :{written(member)}" for key, member in value.pairs)
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    return json.dumps(value, ensure_ascii=False)


def objects(value: object) -> Iterator[Members]:
    if isinstance(value, Members):
        yield value
    inner = [member for _, member in value.pairs] if isinstance(value, Members) else value
    for member in inner if isinstance(inner, list) else ():
        yield from objects(member)


@property_test
@given(st.lists(st.tuples(KEYS, VALUES), max_size=3).map(Members))
@example(Members([("\\", 1), ('"', [Members([("a", 1), ("b", 2), ("a", 3)])])]))
def test_a_key_that_stands_twice_in_one_object_is_found_wherever_that_is(body: Members) -> None:
    text = written(body)
    if any(value.repeats() for value in objects(body)):
        with pytest.raises(InvalidParameters, match="twice in one object"):
            parse(text.encode())
    else:
        assert parse(text.encode()) == json.loads(text)


def test_whatever_fits_of_an_environment_is_taken() -> None:
    env = {f"V{number}": "" for number in range(60_000)}
    sent = json.dumps({"metadata": {"displayName": "Demo"}, "data": {"cronjob": {"schedule": "@daily"}, "env": env}})
    assert len(sent) < MAX_BODY
    assert parse_body(parse(sent.encode())).data["env"] == env


@pytest.mark.parametrize(("members", "taken"), [(MAX_VALUES - 1, True), (MAX_VALUES, False)])
def test_there_are_only_so_many_values(members: int, *, taken: bool) -> None:
    sent = b'{"a": [%s]}' % b",".join([b"1"] * members)
    if taken:
        assert len(parse(sent)["a"]) == members
    else:
        with pytest.raises(InvalidParameters, match=f"must not hold more than {MAX_VALUES} values"):
            parse(sent)
