"""Reads: lists and single segments, from a request to bytes that are ready to be sent.

Polls come by the thousand and ask for the same. So each step is done once and its result kept: a path's parameters, the
addresses that callers use, a rendered page or segment, compressed where that is wanted. A page is kept with the stamp
of the view that it shows a part of. Once anything in the view has changed its segments are selected anew, and only if
those are others, or other versions, is it rendered anew. All that is kept is bounded in bytes.

`at_once` answers what needs no waiting: ordinary reads by callers whose token has been verified. It gives no other
answers than the handlers do, and never an error: whatever is the matter, the handlers tell.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TypeAlias

from aiohttp import web
from yarl import URL

from segsvc.auth.principal import Principal
from segsvc.domain.errors import AccessDenied, InvalidParameters, SegmentNotFound
from segsvc.index.entry import Entry
from segsvc.index.lru import LruCache
from segsvc.index.query import Query, Selection, page_digest
from segsvc.index.slots import UNMADE
from segsvc.index.views import View
from segsvc.service import existing
from segsvc.web import render
from segsvc.web.api import PATIENCE, Api
from segsvc.web.askers import Asker
from segsvc.web.credentials import authenticated
from segsvc.web.links import Addresses, page_links
from segsvc.web.params import ItemRequest, ListRequest, item_request, list_request
from segsvc.web.prepared import Common, Prepared
from segsvc.web.representation import Representation, accepts_gzip
from segsvc.web.server import Steps
from segsvc.web.surroundings import ITEM, LIST, Shown, Surroundings, shown
from segsvc.web.turns import FairLock

ANSWERS_BUDGET = 64 * 2**20
"""How many bytes of rendered pages are kept; as many of single segments."""
ASKED_ONCE = 1 << 14
"""Of how many pages at most that are not kept it is known that they were asked for. One is kept when asked for again:
else whoever walks through all pages would push out those that are polled, and fill memory that is in no cache."""
MAX_PATHS = 4096
"""How many paths are kept with their parameters, of up to `MAX_PATH` characters each. Longer ones are read each time,
and so are rendered pages of as long labels: callers make them up at will."""
MAX_PATH = 1024
MAX_RENDERED_AT_ONCE, MAX_COMPRESSED_AT_ONCE = 100, 20
"""How many segments a page may have that is rendered, or compressed too, while others wait for their answers."""
MAX_BYTES_RENDERED_AT_ONCE, MAX_BYTES_COMPRESSED_AT_ONCE = 2**20, 64 * 2**10
"""How many bytes they may have together, and any segment by itself: each takes about a millisecond."""

_COMPRESSING = 16
"""To compress a body takes at least so many times as long as to put it together."""

_ITEM = re.compile(r"/segments/([a-z0-9.-]+)", re.ASCII)
_PAGE_LINK = re.compile(r"/segments\?offset=([0-9]{1,9})&pagesize=([0-9]{1,4})", re.ASCII)


@dataclass(slots=True)
class _Page:
    """A rendered page, and the stamp of the view that it was last held against."""

    stamp: object
    answer: Prepared


@dataclass(frozen=True, slots=True)
class _Item:
    """A rendered segment, and the state of it that was rendered."""

    entry: Entry
    answer: Prepared

    @property
    def size(self) -> int:
        return self.answer.size + len(self.entry.body)


_Target: TypeAlias = tuple[Shown, ListRequest | ItemRequest, str]
"""What a path with its query stands for: a list, or a segment, whose id comes last."""

_Found: TypeAlias = tuple[int, Callable[[], Prepared | None]]
"""How much there is to make, as `segsvc.web.server.AtOnce` has it, and what makes it, unless that takes long."""


class Reads:
    """Answers GET and HEAD of segments. ``common`` is what every answer to one carries."""

    def __init__(self, api: Api, addresses: Addresses, surroundings: Surroundings, common: Common) -> None:
        self._api = api
        self._service = api.service
        self._surroundings = surroundings
        self._common = common
        self.addresses = addresses
        self._targets: LruCache[str, _Target] = LruCache(MAX_PATHS)
        self._pages: LruCache[object, _Page] = LruCache(ANSWERS_BUDGET, lambda page: page.answer.size)
        self._asked_once = [0] * ASKED_ONCE  # hashes, each in the place that its last bits say
        self._items: LruCache[object, _Item] = LruCache(ANSWERS_BUDGET, lambda item: item.size)
        self._searching, self._rendering = FairLock(), FairLock()
        self._compressor = ThreadPoolExecutor(1, "compressor", initializer=_give_way)
        self._fresh = (-1, -1, b"")

    async def close(self, _: web.Application) -> None:
        """End what runs beside the event loop."""
        self._compressor.shutdown()

    # --- the handlers

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /segments."""
        principal = await authenticated(request.headers, self._api.verifier)
        asked = list_request(request.query, max_pagesize=self._api.max_pagesize)
        base = self.addresses.base(request)
        await self._service.reach(asked.min_revision, patience=PATIENCE)
        gzip = accepts_gzip(request.headers)
        view = self._service.view(principal, asked.query.labels)
        key = _page_key(view, asked, base=base, gzip=gzip)
        page = self._kept(key, view)
        if page is not None:
            return self.respond(request, page)
        if not self._service.at_hand(view, asked.query):
            view = await self._searched(principal, asked)
            key = _page_key(view, asked, base=base, gzip=gzip)
        if not _is_large(asked, gzip=gzip):
            page = self._page(key, view, asked, self._service.select(view, asked.query), base=base, gzip=gzip)
        if page is None:
            return await self._large_page(request, principal, asked, base=base, gzip=gzip)
        return self.respond(request, page)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET /segments/{id}."""
        principal = await authenticated(request.headers, self._api.verifier)
        asked = item_request(request.query)
        base = self.addresses.base(request)
        segment_id = existing(request.match_info["id"])
        await self._service.reach(asked.min_revision, patience=PATIENCE)
        entry, revision = self._service.read(principal, segment_id), self._service.revision
        gzip = accepts_gzip(request.headers)
        item = self._item(entry, asked, base=base, gzip=gzip)
        if item is None:
            item = await self._large_item(principal, entry, asked, base=base, gzip=gzip)
        return self.respond(request, item, revision=revision)

    async def stored(self, principal: Principal, entry: Entry, *, base: str, gzip: bool) -> Representation:
        """Render a segment that a caller has written."""
        if not _is_large_item(entry, gzip=gzip, export=False):
            return render.item(entry, base, gzip=gzip)
        async with self._rendering.held_by(principal):
            return await self._beside(lambda: render.item(entry, base, gzip=gzip))

    def prepared(self, form: Representation) -> Prepared:
        """Write an answer out, with what every read's answer carries."""
        return Prepared(form, self._common)

    def respond(self, request: web.BaseRequest, answer: Prepared, *, revision: int | None = None) -> web.StreamResponse:
        """Answer in aiohttp's way; ``revision``: how far the index was, if the answer was made some time ago."""
        age = int(self._api.reflection.age())
        reached = self._service.revision if revision is None else revision
        return answer.response(request, {"X-Revision": str(reached), "X-Index-Age": str(age)})

    async def _searched(self, principal: Principal, asked: ListRequest) -> View:
        """Search anew, and return the caller's view as it is then.

        Searches wait for each other, callers take turns, and all who need none have theirs in between. Whoever waited
        for one that asked for the same finds its result.
        """
        async with self._searching.held_by(principal):
            await asyncio.sleep(0)
            view = self._service.view(principal, asked.query.labels)
            self._service.select(view, asked.query)
            return view

    async def _large_page(
        self, request: web.Request, principal: Principal, asked: ListRequest, *, base: str, gzip: bool
    ) -> web.StreamResponse:
        """Answer with a page that takes long to make: one at a time, callers take turns, all others go on meanwhile."""
        async with self._rendering.held_by(principal):
            await asyncio.sleep(0)
            view, revision = self._service.view(principal, asked.query.labels), self._service.revision
            key = _page_key(view, asked, base=base, gzip=gzip)
            page = self._kept(key, view)
            if page is None:
                stamp, selection = view.stamp, self._service.select(view, asked.query)
                digest = await self._digest_in_turns(selection)
                page = self._unchanged(key, digest, stamp)
                if page is None:
                    links = page_links(base, asked, selection.total)
                    rendered = partial(render.page, selection, links, base=base, gzip=gzip, digest=digest)
                    takes_long = gzip or selection.size > MAX_BYTES_RENDERED_AT_ONCE
                    form = await self._beside(lambda: rendered().whole()) if takes_long else rendered()
                    page = self._keep(key, asked, stamp, form)
        return self.respond(request, page, revision=revision)

    def _digest(self, selection: Selection) -> bytes:
        """Return what stands for what a page shows."""
        digests = selection.digests
        if UNMADE in digests:
            digests = b"".join(self._service.make_digests(selection))
        return page_digest(selection, digests)

    async def _digest_in_turns(self, selection: Selection) -> bytes:
        """Return the same, with others served while digests are made."""
        digests, size = selection.digests, 0
        if UNMADE in digests:
            made = []
            for body, digest in zip(selection.bodies, self._service.make_digests(selection), strict=True):
                made.append(digest)
                size += len(body)
                if size > MAX_BYTES_RENDERED_AT_ONCE:
                    size = 0
                    await asyncio.sleep(0)
            digests = b"".join(made)
        return page_digest(selection, digests)

    async def _large_item(
        self, principal: Principal, entry: Entry, asked: ItemRequest, *, base: str, gzip: bool
    ) -> Prepared:
        """Return a segment or its export that takes long to render: in turns with large pages."""
        async with self._rendering.held_by(principal):
            key = _item_key(entry, asked, base=base, gzip=gzip)
            item = self._kept_item(key, entry)
            if item is None:
                form = await self._beside(lambda: _rendered(entry, asked, base=base, gzip=gzip))
                item = self._keep_item(key, entry, form)
        return item

    async def _beside(self, work: Callable[[], Representation]) -> Representation:
        """Have something done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._compressor, work)

    # --- without waiting

    def at_once(self, method: str, target: str, asker: Asker, remote: str | None) -> Steps:
        """Answer a read in the steps of `segsvc.web.server.AtOnce`."""
        began = perf_counter()
        if len(target) > MAX_PATH:
            return
        try:
            where, asked, segment_id = self._target(target)
            if not self._service.has_reached(asked.min_revision):
                return
            found = self._at_hand(asked, segment_id, asker)
        except (InvalidParameters, SegmentNotFound, AccessDenied):
            return
        if found is None:
            return
        size, make = found
        spent = perf_counter() - began
        yield size
        began = perf_counter() - spent  # in between, others of the row were found
        answer = make()
        if answer is None:
            return
        trace, lines = self._surroundings.begin(asker)
        status, written = answer.written(method, asker.tags, self._freshness() + lines)
        seconds = perf_counter() - began
        yield written
        self._surroundings.leave_behind(
            method,
            where,
            status=status,
            seconds=seconds,
            caller=asker.caller.name,
            remote=remote,
            trace=trace,
        )

    def _at_hand(self, asked: ListRequest | ItemRequest, segment_id: str, asker: Asker) -> _Found | None:
        principal, base, gzip = asker.caller, asker.base, asker.gzip
        if isinstance(asked, ItemRequest):
            entry = self._service.read(principal, segment_id)
            item = self._kept_item(_item_key(entry, asked, base=base, gzip=gzip), entry)
            if item is not None:
                return 0, lambda: item
            size = len(entry.body) * _toil(gzip=gzip)
            # which looks once more: another of the row may have made it by then
            return size, partial(self._item, entry, asked, base=base, gzip=gzip)
        query = asked.query
        view = self._service.view(principal, query.labels)
        key = _page_key(view, asked, base=base, gzip=gzip)
        page = self._kept(key, view)
        if page is not None:
            return 0, lambda: page
        if _is_large(asked, gzip=gzip) or not self._service.at_hand(view, query):
            return None
        selection = self._service.select(view, query)
        size = selection.size * _toil(gzip=gzip)
        return size, partial(self._page, key, view, asked, selection, base=base, gzip=gzip)

    def _target(self, target: str) -> _Target:
        """Find out what a path with its query stands for. Raises InvalidParameters, and SegmentNotFound for no path."""
        page = _PAGE_LINK.fullmatch(target)
        if page is not None:  # as our own links have it: most of all, and as quick to read as to look up
            offset, pagesize = page.groups()
            wanted = Query(int(offset), int(pagesize))
            if 0 < wanted.pagesize <= self._api.max_pagesize:
                where = Shown(LIST, LIST, {"offset": offset, "pagesize": pagesize})
                return where, ListRequest(wanted, None, 0), ""
        known = self._targets.get(target)
        if known is not None:
            return known
        path, _, query_string = target.partition("?")
        query = URL.build(query_string=query_string.partition("#")[0], encoded=True).query
        if path == LIST:
            means: _Target = shown(LIST, path, query), list_request(query, max_pagesize=self._api.max_pagesize), ""
        else:
            item = _ITEM.fullmatch(path)
            if item is None:
                raise SegmentNotFound(path)
            means = shown(ITEM, path, query), item_request(query), existing(item[1])
        self._targets.put(target, means)
        return means

    def _freshness(self) -> bytes:
        """Write what is known only now: how far the index is, and how old."""
        revision, age = self._service.revision, int(self._api.reflection.age())
        if self._fresh[0] != revision or self._fresh[1] != age:
            self._fresh = (revision, age, b"X-Revision: %d\r\nX-Index-Age: %d\r\n" % (revision, age))
        return self._fresh[2]

    # --- what is kept

    def _kept(self, key: object, view: View) -> Prepared | None:
        """Return a page that is kept, if nothing in the view has changed since."""
        page = self._pages.get(key)
        return page.answer if page is not None and page.stamp is view.stamp else None

    def _page(
        self, key: object, view: View, asked: ListRequest, selection: Selection, *, base: str, gzip: bool
    ) -> Prepared | None:
        """Return a page that has to be looked at anew, and rendered unless the one that is kept shows the same.

        None where that takes long.
        """
        if selection.size > MAX_BYTES_RENDERED_AT_ONCE:
            return None
        digest = self._digest(selection)
        answer = self._unchanged(key, digest, view.stamp)
        if answer is not None:
            return answer
        if gzip and selection.size > MAX_BYTES_COMPRESSED_AT_ONCE:
            return None
        links = page_links(base, asked, selection.total)
        form = render.page(selection, links, base=base, gzip=gzip, digest=digest)
        return self._keep(key, asked, view.stamp, form)

    def _unchanged(self, key: object, digest: bytes, stamp: object) -> Prepared | None:
        """Return the page that is kept if it shows the same, and note the stamp at which it does."""
        page = self._pages.get(key)
        if page is None or page.answer.digest != digest:
            return None
        page.stamp = stamp
        return page.answer

    def _keep(self, key: object, asked: ListRequest, stamp: object, form: Representation) -> Prepared:
        """Write a page out, and keep it if it is worth it."""
        once = hash(key)
        place = once % ASKED_ONCE
        if self._asked_once[place] != once:
            self._asked_once[place] = once
            return self.prepared(form)
        answer = self.prepared(form.whole())
        if sum(map(len, asked.query.labels)) <= MAX_PATH:
            self._pages.put(key, _Page(stamp, answer))
        return answer

    def _item(self, entry: Entry, asked: ItemRequest, *, base: str, gzip: bool) -> Prepared | None:
        """Return a segment or its export, rendered unless it is kept. None where that takes long."""
        key = _item_key(entry, asked, base=base, gzip=gzip)
        item = self._kept_item(key, entry)
        if item is not None or _is_large_item(entry, gzip=gzip, export=asked.export):
            return item
        return self._keep_item(key, entry, _rendered(entry, asked, base=base, gzip=gzip))

    def _kept_item(self, key: object, entry: Entry) -> Prepared | None:
        """Return a segment or its export that is kept, if it is of this state."""
        item = self._items.get(key)
        return item.answer if item is not None and item.entry is entry else None

    def _keep_item(self, key: object, entry: Entry, form: Representation) -> Prepared:
        """Write a segment or its export out, and keep it."""
        item = _Item(entry, self.prepared(form))
        self._items.put(key, item)
        return item.answer


def _page_key(view: View, asked: ListRequest, *, base: str, gzip: bool) -> object:
    return (view.key, asked.query, asked.search, base, gzip)


def _item_key(entry: Entry, asked: ItemRequest, *, base: str, gzip: bool) -> object:
    return (entry.id, base, gzip, asked.export)


def _toil(*, gzip: bool) -> int:
    """Return how many times as long it takes to make a body as to put its bytes together."""
    return _COMPRESSING if gzip else 1


def _is_large(asked: ListRequest, *, gzip: bool) -> bool:
    return asked.query.pagesize > (MAX_COMPRESSED_AT_ONCE if gzip else MAX_RENDERED_AT_ONCE)


def _is_large_item(entry: Entry, *, gzip: bool, export: bool) -> bool:
    return len(entry.body) > MAX_BYTES_COMPRESSED_AT_ONCE and (gzip or export)


def _rendered(entry: Entry, asked: ItemRequest, *, base: str, gzip: bool) -> Representation:
    return render.exported(entry, gzip=gzip) if asked.export else render.item(entry, base, gzip=gzip)


def _give_way() -> None:
    """Let the thread run when the event loop has nothing to do."""
    if sys.platform == "linux":  # elsewhere this is about the whole process
        os.nice(10)
