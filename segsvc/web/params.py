"""Query parameters: read strictly, with every problem reported at once."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from multidict import MultiMapping

from segsvc.domain.errors import InvalidParameters, Problem
from segsvc.domain.hints import did_you_mean
from segsvc.index.query import RELEVANCE, SORTS, Query
from segsvc.web.errors import echo

DEFAULT_PAGESIZE = 20
MAX_SEARCH = 128
MAX_NUMBER = 10**18 - 1
"""What a higher number counts as: it fits into 64 bits, and nothing there is lies beyond it."""

_MAX_DIGITS = 100  # nobody means a longer one
_MAX_UNKNOWN = 100  # a query string holds thousands, and to find a hint at what each was meant to be takes long


class ListRequest(NamedTuple):
    """The parameters of a list. ``search`` is as the caller gave it, even blank; the query's is None then."""

    query: Query
    search: str | None
    min_revision: int


class ItemRequest(NamedTuple):
    """The parameters of a read."""

    export: bool
    min_revision: int


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """The parameters of a write. ``id`` is for a create alone."""

    dry_run: bool
    id: str | None = None


def list_request(given: MultiMapping[str], *, max_pagesize: int) -> ListRequest:
    """Read the parameters of a list. Raises InvalidParameters."""
    reader = _Reader(given)
    offset = reader.number("offset", default=0)
    pagesize = reader.number("pagesize", default=min(DEFAULT_PAGESIZE, max_pagesize), lowest=1, highest=max_pagesize)
    search = reader.text("search")
    if search is not None and len(search) > MAX_SEARCH:
        reader.problem("search", f"must not be longer than {MAX_SEARCH} characters but has {len(search)}")
    wanted = search if search is not None and search.strip() else None
    sort = reader.one_of("sort", SORTS)
    if sort in RELEVANCE and wanted is None:
        reader.problem("sort", f"'{sort}' needs a 'search'")
    labels = tuple(dict.fromkeys(reader.texts("label")))
    min_revision = reader.number("minRevision", default=0)
    reader.finish()
    return ListRequest(
        Query(offset=offset, pagesize=pagesize, search=wanted, sort=sort, labels=labels), search, min_revision
    )


def item_request(given: MultiMapping[str]) -> ItemRequest:
    """Read the parameters of a read. Raises InvalidParameters."""
    reader = _Reader(given)
    request = ItemRequest(export=reader.flag("export"), min_revision=reader.number("minRevision", default=0))
    reader.finish()
    return request


def write_request(given: MultiMapping[str], *, creates: bool = False) -> WriteRequest:
    """Read the parameters of a write. Raises InvalidParameters."""
    reader = _Reader(given)
    request = WriteRequest(dry_run=reader.flag("dryRun"), id=reader.text("id") if creates else None)
    reader.finish()
    return request


def no_parameters(given: MultiMapping[str]) -> None:
    """Refuse all parameters but those that are ignored everywhere. Raises InvalidParameters."""
    _Reader(given).finish()


class _Reader:
    """Reads parameters, collects problems, and knows at the end which parameters nobody asked for."""

    def __init__(self, given: MultiMapping[str]) -> None:
        self._unread: dict[str, list[str]] = {}
        for name, value in given.items():
            self._unread.setdefault(name, []).append(value)
        self._unread.pop("action", None)  # stands in our own links; accepted and ignored
        self._known = ["action"]
        self._problems: list[Problem] = []

    def problem(self, name: str, reason: str) -> None:
        self._problems.append(Problem(name, reason))

    def texts(self, name: str) -> list[str]:
        self._known.append(name)
        return self._unread.pop(name, [])

    def text(self, name: str) -> str | None:
        values = self.texts(name)
        if len(values) > 1:
            self.problem(name, f"must be given once but is given {len(values)} times")
        return values[0] if values else None

    def number(self, name: str, *, default: int, lowest: int = 0, highest: int | None = None) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            self.problem(name, f"'{echo(text)}' could not be parsed to int")
            return default
        number = min(int(text), MAX_NUMBER)
        if number < lowest or (highest is not None and number > highest):
            upper = f" to {highest}" if highest is not None else " on"
            self.problem(name, f"must be from {lowest}{upper} but is {number}")
        return number

    def flag(self, name: str) -> bool:
        text = self.text(name)
        if text is not None and text.lower() not in ("true", "false"):
            self.problem(name, f"'{echo(text)}' is neither true nor false")
        return text is not None and text.lower() == "true"

    def one_of(self, name: str, choices: Collection[str]) -> str | None:
        text = self.text(name)
        if text is not None and text not in choices:
            hint = did_you_mean(text, choices)
            self.problem(name, f"'{echo(text)}' is none of {', '.join(choices)}{hint}")
        return text

    def finish(self) -> None:
        """Report what is wrong; of unknown names the first ones.

        Names that begin with ``_`` are for caches and gateways and none of our business.
        """
        unknown = (name for name in self._unread if not name.startswith("_"))
        for name in islice(unknown, _MAX_UNKNOWN):
            self.problem(echo(name), f"is unknown{did_you_mean(name, sorted(self._known))}")
        if self._problems:
            raise InvalidParameters(self._problems)
