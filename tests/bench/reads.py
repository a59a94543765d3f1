"""Reads from an index that does not change, in requests per second, against bare handlers with the same answers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from tests.bench.corpus import names
from tests.bench.environment import Bench, Service, bare, service
from tests.bench.load import Answer, Target, probe
from tests.bench.processes import BenchError
from tests.bench.report import Goal, Result
from tests.bench.turns import by_rate, loads

PAGE = 20
TOKEN_SIZES = range(900, 1200)
REFERENCE = "bare aiohttp handler, same bytes"

_HEADERS = ("ETag", "Cache-Control", "Vary", "Link", "X-Total-Count", "X-Revision", "X-Index-Age", "X-Trace-Id")
_PAGE = Goal(bound=0.85, aim=0.95, more=True)
_UNCHANGED = Goal(bound=0.85, aim=1.0, more=True)
_REPEATED = Goal(bound=0.8, aim=0.95, more=True)


def measure(bench: Bench) -> Iterator[Result]:
    """Measure the first page in several forms, the same answered 304, a single segment, and a repeated search."""
    around = bench.cluster(bench.sizes.medium)
    with service(bench, around) as running:
        page = _target(running, "/segments")
        first = probe(page)
        content = json.loads(first.body)
        check_page(first, content, running.token, segments=around.segments)
        facts = {"segments": around.segments, "visible": content["totalCount"], "token_bytes": len(running.token)}

        def compare(name: str, what: str, target: Target, goal: Goal) -> Result:
            return _compare(bench, name, what, target=target, goal=goal, facts=facts)

        etag = {"If-None-Match": first.headers["ETag"]}
        yield compare("page", f"GET /segments, {PAGE} of {around.segments:,}", page, _PAGE)
        yield compare("page_304", "the same, answered 304", _target(running, "/segments", etag, status=304), _UNCHANGED)
        zipped = _target(running, "/segments", {"Accept-Encoding": "gzip"})
        yield compare("page_gzip", "the same, compressed", zipped, _PAGE)
        by_name = _target(running, "/segments?sort=displayName&offset=100")
        yield compare("page_by_name", "a page in order of names", by_name, _PAGE)
        by_time = _target(running, "/segments?sort=-modifiedAt")
        yield compare("page_by_time", "a page, newest changes first", by_time, _PAGE)
        labelled = _target(running, f"/segments?label={content['items'][0]['labels'][0]}")
        yield compare("page_label", "a page of those with a label", labelled, _PAGE)
        item = _target(running, f"/segments/{content['items'][0]['id']}")
        yield compare("item", "GET /segments/{id}", item, _REPEATED)
        word = quote(names(around.segments)[-1].split()[0])
        yield compare("search_again", "a search, repeated", _target(running, f"/segments?search={word}"), _REPEATED)


def _target(running: Service, asked: str, headers: Mapping[str, str] | None = None, *, status: int = 200) -> Target:
    return Target(running.process, running.url + asked, {**running.authorization, **(headers or {})}, status)


def check_page(page: Answer, content: Mapping[str, Any], token: str, *, segments: int) -> None:
    """Raise BenchError unless a first page is what is to be measured."""
    missing = [name for name in _HEADERS if name not in page.headers]
    if missing or len(content["items"]) != PAGE or content["totalCount"] <= segments / 2:
        shown = f"{len(content['items'])} of {content['totalCount']} segments"
        raise BenchError(f"the first page is not what is to be measured: {shown}, without headers {missing}")
    if len(token) not in TOKEN_SIZES:
        raise BenchError(f"the token has {len(token)} bytes, which is not about 1 kB")


def _compare(bench: Bench, name: str, what: str, *, target: Target, goal: Goal, facts: Mapping[str, Any]) -> Result:
    answer = probe(target)
    parts = urlsplit(target.url)
    with bare(bench, path=parts.path, status=target.status, body=answer.body) as (process, url):
        asked = f"{parts.path}?{parts.query}" if parts.query else parts.path
        reference = Target(process, url + asked, target.headers, target.status)
        if probe(reference).body != answer.body:
            raise BenchError(f"the bare handler's answer to {asked} is not the service's")
        ours, theirs = loads(bench, target, reference)
    if probe(target).body != answer.body:
        raise BenchError(f"{asked} is no longer answered as it was at first")
    details = {**facts, "body_bytes": len(answer.body)}
    return by_rate(ours, theirs, name=name, what=what, reference=REFERENCE, goal=goal, details=details)
