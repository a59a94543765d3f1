"""docs/api.md, executed: each request is sent, and the answer must hold what the page shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import EDITOR, VIEWER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.api.conftest import Deployment

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
ANYTHING = "..."


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer as the page writes it."""

    start: str
    headers: Mapping[str, str]
    body: str


def messages() -> list[Message]:
    found = []
    for block in re.findall(r"^```http\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        head, _, body = block.partition("\n\n")
        start, *lines = head.strip().splitlines()
        found.append(Message(start, dict(line.split(": ", 1) for line in lines), body.strip()))
    return found


def holds(actual: Any, shown: Any) -> bool:
    """Tell whether what came is what is shown; ``...`` stands for anything, as a key for any further members."""
    if isinstance(shown, dict) and isinstance(actual, dict):
        members = {name: value for name, value in shown.items() if name != ANYTHING}
        complete = ANYTHING in shown or actual.keys() == members.keys()
        return complete and all(name in actual and holds(actual[name], value) for name, value in members.items())
    if isinstance(shown, list) and isinstance(actual, list):
        return len(shown) == len(actual) and all(map(holds, actual, shown))
    if isinstance(shown, str) and ANYTHING in shown:
        pattern = ".*".join(map(re.escape, shown.split(ANYTHING)))
        return isinstance(actual, str) and re.fullmatch(pattern, actual, re.DOTALL) is not None
    return bool(actual == shown)


@pytest.mark.parametrize(
    ("actual", "shown", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "...": "..."}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": "http://host/x"}, {"a": ".../x"}, True),
        ({"a": "http://host/y"}, {"a": ".../x"}, False),
        ([1, 2], [1], False),
    ],
)
def test_the_comparison_tells_what_is_shown_from_what_is_not(actual: Any, shown: Any, expected: bool) -> None:
    assert holds(actual, shown) is expected


async def test_every_example_does_what_the_page_says(alone: Deployment) -> None:
    tokens = {"EDITOR": alone.issuer.issue(roles=[EDITOR, VIEWER]), "VIEWER": alone.issuer.issue(roles=[VIEWER])}
    found = messages()
    assert len(found) >= 20
    assert all(answer.start.startswith("HTTP/1.1 ") for answer in found[1::2])
    for request, answer in list(pairwise(found))[::2]:
        method, path = request.start.split()
        headers = dict(request.headers)
        headers["Authorization"] = f"Bearer {tokens[headers['Authorization'].removeprefix('Bearer ')]}"
        data = request.body or None
        async with alone.http.request(method, alone.url + path, data=data, headers=headers) as response:
            text = await response.text()
            assert f"HTTP/1.1 {response.status}" == answer.start, (request.start, text)
            for name, value in answer.headers.items():
                assert holds(response.headers.get(name), value), (request.start, name)
            assert holds(json.loads(text or "null"), json.loads(answer.body or "null")), (request.start, text)
