"""Reads from an index that does not change, in requests per second, against bare handlers with the same answers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from tests.bench.environment import Bench, bare, service
from tests.bench.load import Answer, Round, Target, load, probe
from tests.bench.processes import BenchError
from tests.bench.report import Result

SEGMENTS = 10_000
PAGE = 20
TOKEN_SIZES = range(900, 1200)
WARM_UP = 1.0
"""Seconds of load on each side before the first round."""

_HEADERS = ("ETag", "Cache-Control", "Vary", "Link", "X-Total-Count", "X-Revision", "X-Index-Age", "X-Trace-Id")


def measure(bench: Bench) -> Iterator[Result]:
    """Measure a page, the same answered 304, and a single segment."""
    with service(bench, segments=SEGMENTS) as running:
        page = Target(running.process, f"{running.url}/segments", running.authorization, 200)
        first = probe(page)
        content = json.loads(first.body)
        _check_page(first, content, running.token)
        etag = {"If-None-Match": first.headers["ETag"]}
        unchanged = Target(running.process, page.url, {**running.authorization, **etag}, 304)
        segment_url = f"{running.url}/segments/{content['items'][0]['id']}"
        segment = Target(running.process, segment_url, running.authorization, 200)
        facts = {"segments": SEGMENTS, "visible": content["totalCount"], "token_bytes": len(running.token)}
        yield _compare(bench, "page", f"GET /segments, {PAGE} of {SEGMENTS:,}", target=page, facts=facts)
        yield _compare(bench, "page_304", "the same, answered 304", target=unchanged, facts=facts)
        yield _compare(bench, "item", "GET /segments/{id}", target=segment, facts=facts)


def _check_page(page: Answer, content: Mapping[str, Any], token: str) -> None:
    missing = [name for name in _HEADERS if name not in page.headers]
    if missing or len(content["items"]) != PAGE or content["totalCount"] <= SEGMENTS / 2:
        shown = f"{len(content['items'])} of {content['totalCount']} segments"
        raise BenchError(f"the first page is not what is to be measured: {shown}, without headers {missing}")
    if len(token) not in TOKEN_SIZES:
        raise BenchError(f"the token has {len(token)} bytes, which is not about 1 kB")


def _compare(bench: Bench, name: str, what: str, *, target: Target, facts: Mapping[str, Any]) -> Result:
    """Load the service and a bare handler in turns, so that what slows the machine down slows both."""
    answer = probe(target)
    path = urlsplit(target.url).path
    with bare(bench, path=path, status=target.status, body=answer.body) as (process, url):
        reference = Target(process, f"{url}{path}", target.headers, target.status)
        if probe(reference).body != answer.body:
            raise BenchError(f"the bare handler's answer to {path} is not the service's")
        for side in (target, reference):
            load(side, WARM_UP, core=bench.cores.load)
        ours: list[Round] = []
        theirs: list[Round] = []
        for _ in range(bench.rounds):
            ours.append(load(target, bench.seconds, core=bench.cores.load))
            theirs.append(load(reference, bench.seconds, core=bench.cores.load))
    if probe(target).body != answer.body:
        raise BenchError(f"{path} is no longer answered as it was at first")
    rates, reference_rates = _rates(ours), _rates(theirs)
    ratios = [our / their for our, their in zip(rates, reference_rates, strict=True)]
    return Result(
        name=name,
        what=what,
        reference="bare aiohttp handler, same bytes",
        measured=_shown(ours),
        against=_shown(theirs),
        ratio=median(rates) / median(reference_rates),
        least=min(ratios),
        most=max(ratios),
        cpu_ratio=_cpu(theirs) / _cpu(ours),
        details={
            **facts,
            "body_bytes": len(answer.body),
            "rounds": [asdict(round_) for round_ in ours],
            "reference_rounds": [asdict(round_) for round_ in theirs],
        },
        doubts=_doubts(ours + theirs),
    )


def _rates(rounds: list[Round]) -> list[float]:
    return [round_.requests_per_second for round_ in rounds]


def _cpu(rounds: list[Round]) -> float:
    return median(round_.cpu_us_per_request for round_ in rounds)


def _shown(rounds: list[Round]) -> str:
    return f"{median(_rates(rounds)):,.0f}/s, {_cpu(rounds):.0f} us CPU"


def _doubts(rounds: list[Round]) -> str:
    busy = min(round_.busy for round_ in rounds)
    return "" if busy >= 0.9 else f"a server had its core for only {busy:.0%} of a round"
