"""What docs/search.md promises, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.index.named import Names

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


def tables() -> list[list[list[str]]]:
    """Return the page's tables: rows of cells, titles first, without the line below them."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in table if "---" not in row[0] or "`" in row[0]] for table in rows]


def quoted(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


FINDS = [row for titles, *rows in tables() if titles[0] == "search" for row in rows]
POINTS = [row for titles, *rows in tables() if titles[0] == "points" for row in rows]


def test_every_table_is_known() -> None:
    assert len(tables()) == 9
    assert all(titles[0] in {"search", "points"} for titles, *_ in tables())
    assert len(FINDS) >= 30
    assert len(POINTS) == 7


@pytest.mark.parametrize("row", FINDS, ids=lambda row: row[0])
def test_a_search_finds_what_the_page_says(row: list[str]) -> None:
    [search], found, not_found = map(quoted, row[:3])
    assert not_found, "an example must have an end"
    assert Names({name: name for name in found + not_found}).search(search).keys() == set(found)


@pytest.mark.parametrize(("points", "way", "search", "name"), POINTS)
def test_a_name_has_the_points_that_the_page_says(points: str, way: str, search: str, name: str) -> None:
    assert Names({"demo": quoted(name)[0]}).search(*quoted(search)) == {"demo": int(points)}, way
