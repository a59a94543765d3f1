"""The targets: what reads bytes from outside, with what must hold whatever they are.

Callers send bodies, query strings and headers; the cluster sends watches, lists and answers. Only errors of the
documented kinds may come out, what is accepted is held against another way to tell, and what passes can be used.
Each target returns whether it accepted its input: one that refuses all of them tests little.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import re
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import aiohttp
import orjson
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from joserfc.jwk import JWKRegistry

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.principal import Principal
from segsvc.auth.verifier import LEEWAY, TokenVerifier
from segsvc.cluster.api import SegmentApi
from segsvc.cluster.errors import ClusterError, UnexpectedAnswer
from segsvc.cluster.listing import ListDecoder
from segsvc.cluster.observed import observed
from segsvc.cluster.reflector import Reflector, ShortWatch
from segsvc.domain.codec import decode, encode
from segsvc.domain.errors import InvalidParameters
from segsvc.domain.export import export
from segsvc.domain.ordinary import is_ordinary
from segsvc.domain.schema import DataSchema, parse_body
from segsvc.domain.segment import Author, Roles, Segment
from segsvc.index.entry import Version, entry
from segsvc.index.query import Query, Selector
from segsvc.index.store import SegmentStore
from segsvc.service import SegmentService
from segsvc.telemetry import Metrics
from segsvc.web import render
from segsvc.web.api import Api
from segsvc.web.body import parse
from segsvc.web.cors import Cors
from segsvc.web.credentials import authenticated
from segsvc.web.errors import TokenMissing, from_exception
from segsvc.web.links import Addresses, page_links
from segsvc.web.params import ListRequest, item_request, list_request, no_parameters, write_request
from segsvc.web.prepared import Common
from segsvc.web.reads import Reads
from segsvc.web.surroundings import LIST, Surroundings, shown
from tests.auth.provider import CLIENT, NOW, Clock, PublishedKeys, claims, key, public, sign
from tests.auth.provider import encode as encode_base64url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping

    from aiohttp.http_parser import RawRequestMessage

BASE = "https://segments.example.com"
ID = "known-segment"
AUTHOR = Author("Ada Example", "ada@example.org")
ISSUER = "https://id.example.org/realms/segments"
_LINK = re.compile(r"<([^>]*)>")

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_METRICS = Metrics()
_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)

# RFC 8037, appendix A.1: with a fixed key, the signed tokens in the corpus stay good
_KEY: Any = JWKRegistry.import_key(
    {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "fuzz",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
)
_KEYS = PublishedKeys(public(_KEY), public(key("ec")), public(key("rsa", "RSA", 2048)))
SIGNED = sign(claims(ISSUER, exp=4_000_000_000), _KEY, alg="EdDSA")
"""The one good token that the fuzzer is given."""


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    return _LOOP.run_until_complete(work)


def _told(error: Exception) -> None:
    """An error is one that a caller gets an answer to, and not a 500."""
    answer = from_exception(error)
    assert 400 <= answer.status < 600, answer
    assert answer.status != 500, error
    json.loads(answer.body("0" * 32) or b"{}")


def _unless_refused(read: Callable[_Given, _Result], /, *given: _Given.args, **named: _Given.kwargs) -> _Result | None:
    """What reading something gives, or None where its parameters are refused."""
    try:
        return read(*given, **named)
    except InvalidParameters as error:
        _told(error)
        return None


def _verifier() -> TokenVerifier:
    return TokenVerifier(_KEYS, issuer=ISSUER, audience=None, client=CLIENT, clock=Clock(NOW))


def _service() -> SegmentService:
    """A service with a few segments."""
    absent: Any = None
    store = SegmentStore()
    relist = store.relist()
    for number, name in enumerate(("Demo Segment", "Münchner Straße", "客户 2", "---", "demo segments of a customer")):
        segment = Segment(
            f"known-{number}", name, "", Roles(), ("a", "ä b")[:number], {"cronjob": {"schedule": "@daily"}}
        )
        version = Version(f"uid-{number}", number + 1)
        relist.add(segment.id, version, entry(segment, version))
    store.finish(relist, 10)
    return SegmentService(store, absent, metrics=_METRICS, now=absent, draw=absent)


def _reads(max_pagesize: int) -> Reads:
    absent: Any = None
    api = Api(service=_SERVICE, verifier=absent, reflection=absent, metrics=_METRICS, max_pagesize=max_pagesize)
    return Reads(api, Addresses(frozenset()), Surroundings(_METRICS, Cors(frozenset())), Common({}))


_READER = Principal("Ada Example", "", Roles().readers)
_SERVICE = _service()
_READS = {max_pagesize: _reads(max_pagesize) for max_pagesize in (1000, 7)}


def _parsed(target: bytes, headers: bytes = b"") -> RawRequestMessage | None:
    """A GET as the server's parser reads it, or None where it refuses it."""
    parser = HttpRequestParser(BaseProtocol(_LOOP), _LOOP, 2**16, max_line_size=2**16, max_field_size=2**16)
    try:
        messages, _, _ = parser.feed_data(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (target, headers))
    except HttpProcessingError:
        return None
    return messages[0][0] if messages else None


# --- what callers send


def body(data: bytes) -> bool:
    """A create's body is refused, or makes a segment that the cluster can hold and that an export makes again."""
    document = _unless_refused(parse, data)
    if document is None:
        return False
    assert document == _strict_json(data)
    if is_ordinary(document.get("data")):
        assert not DataSchema().validate(document["data"])
    draft = _unless_refused(parse_body, document)
    if draft is None:
        return False
    segment = draft.create(ID, author=AUTHOR, now="2020-03-18T18:08:31.850")
    assert decode(orjson.loads(orjson.dumps(encode(segment)))) == segment
    exported = export(_shown(segment))
    again = parse_body(exported, segment_id=ID).create(ID, author=AUTHOR, now="")
    assert export(_shown(again)) == exported
    return True


def _shown(segment: Segment) -> dict[str, Any]:
    return entry(segment, Version("uid", 1)).document()


def _strict_json(data: bytes) -> Any:
    """What another parser reads. Whole numbers beyond 64 bits are floats here, as orjson has it."""

    def whole(digits: str) -> float:
        number = int(digits)
        return number if -(2**63) <= number < 2**64 else float(digits)

    def unequal(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "equal keys"
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = data.decode("utf-8")
    return json.loads(text, parse_int=whole, parse_constant=refuse, object_pairs_hook=unequal)


def query(data: bytes) -> bool:
    """A query string is refused, or is read in the same way by all readers; links lead back to what was asked for."""
    message = _parsed(b"/segments?" + data)
    if message is None:
        return False
    given = message.url.query
    accepted = False
    for max_pagesize, reads in _READS.items():
        asked = _unless_refused(list_request, given, max_pagesize=max_pagesize)
        for _ in range(2):  # the second finds what the first has kept
            target = _unless_refused(reads._target, message.path)
            where = shown(LIST, message.path.partition("?")[0], given)
            assert target == (None if asked is None else (where, asked, ""))
        if asked is not None:
            accepted = True
            _answered(asked, max_pagesize)
    _unless_refused(item_request, given)
    _unless_refused(write_request, given)
    _unless_refused(write_request, given, creates=True)
    _unless_refused(no_parameters, given)
    orjson.dumps(shown(LIST, message.path, given).query)
    return accepted


def _answered(asked: ListRequest, max_pagesize: int) -> None:
    """A list that was asked for can be answered, and its links ask for the same."""
    selection = _SERVICE.select(_SERVICE.view(_READER, asked.query.labels), asked.query)
    assert len(selection.bodies) <= min(asked.query.pagesize, selection.total)
    links = page_links(BASE, asked, selection.total)
    page = render.page(selection, links, base=BASE, gzip=False, digest=b"")
    shown_links = orjson.loads(page.body)["links"]
    assert shown_links == orjson.loads(links.json)
    assert links.header.isascii()
    for link in (*shown_links.values(), *_LINK.findall(links.header)):
        message = _parsed(link.removeprefix(BASE).encode())
        assert message is not None
        led_to = list_request(message.url.query, max_pagesize=max_pagesize)._replace(min_revision=asked.min_revision)
        assert link != shown_links["self"] or led_to == asked
        assert led_to._replace(query=led_to.query._replace(offset=asked.query.offset)) == asked


def token(data: bytes) -> bool:
    """Headers, a line each, carry no token but those that were signed."""
    message = _parsed(b"/segments", b"".join(b"%b\r\n" % line for line in data.splitlines()))
    if message is None:
        return False
    try:
        _run(authenticated(message.headers, _verifier()))
    except (TokenMissing, TokenInvalid) as error:
        _told(error)
        return False
    assert SIGNED.encode() in data
    return True


def claims_(data: bytes) -> bool:
    """A token's header and claims, a line each, signed: claims that are let through say what they must."""
    header, _, payload = data.partition(b"\n")
    signed = f"{encode_base64url(header)}.{encode_base64url(payload)}"
    text = f"{signed}.{encode_base64url(_KEY.private_key.sign(signed.encode()))}"
    verifier = _verifier()
    try:
        principal = _run(verifier.verify(text))
    except TokenInvalid as error:
        _told(error)
        return False
    said = json.loads(payload)
    assert said["iss"] == ISSUER
    assert said["exp"] + LEEWAY > NOW
    assert all(type(said.get(name, 0)) in {int, float} for name in ("exp", "nbf", "iat"))
    assert not principal.roles or principal.roles <= set(said["resource_access"][CLIENT]["roles"])
    for shown_ in (principal.name, principal.email, *principal.roles):
        shown_.encode()
    assert verifier.cached(text) == principal
    return True


# --- what the cluster sends


def watch(data: bytes) -> bool:
    """A watch leaves the store in a state that can be shown, the same however the lines were cut up."""
    outcomes = [_watched(chunks) for chunks in _cut_up(data)]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return not outcomes[0][0]


def _watched(chunks: list[bytes]) -> tuple[str, int, bytes]:
    """Follow a watch; return what error ended it, and what the store has become."""
    store = SegmentStore()
    reflector = Reflector(_api(Answer(chunks)), store, metrics=_METRICS)
    try:
        _run(reflector._watch())
    except ShortWatch:
        return "", *_state(store)
    except ClusterError as error:
        return repr(error), *_state(store)
    raise AssertionError("it has not lasted a second")


def list_(data: bytes) -> bool:
    """A list is what a parser of the whole finds, however it is cut up, or none; what is in it can be shown."""
    whole = _whole_list(data)
    for chunks in _cut_up(data):
        assert _decoded(chunks, piece=50) == whole
    store = SegmentStore()
    reflector = Reflector(_api(Answer([data])), store, metrics=_METRICS)
    try:
        _run(reflector._list("fuzzing"))
    except ClusterError:
        assert whole is None or whole[2], "it was whole, and not a page after which the cluster went away"
        return False
    assert whole is not None
    assert _state(store)[0] == whole[1]
    return True


def _whole_list(data: bytes) -> tuple[list[Any], int, str | None] | None:
    try:
        document = orjson.loads(data)
        items, metadata = document["items"], document["metadata"]
        revision, more = int(metadata["resourceVersion"]), metadata.get("continue") or None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return (items, revision, more) if isinstance(items, list) and isinstance(more, str | None) else None


def _decoded(chunks: list[bytes], *, piece: int) -> tuple[list[Any], int, str | None] | None:
    decoder = ListDecoder(piece)
    try:
        found: list[Any] = [item for chunk in chunks for item in decoder.feed(chunk)]
        rest = decoder.finish()
    except UnexpectedAnswer:
        return None
    return found + rest.items, rest.revision, rest.continue_token


def answer(data: bytes) -> bool:
    """An answer to a call (a line with status and Retry-After, then its body) is an object or one of our errors."""
    head, _, content = data.partition(b"\n")
    status, _, retry_after = head.decode("utf-8", "surrogateescape").partition(" ")
    code = int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 200
    try:
        found = _run(_api(Answer([content], code, retry_after or None)).get(ID))
        observed(found)
    except ClusterError as error:
        told = from_exception(error)
        json.loads(told.body("0" * 32))
        assert all(text.isascii() and text.isdigit() for text in told.headers.values())
        return False
    return True


class Answer:
    """An answer of the API server as the client library hands it on; to be read in these chunks."""

    def __init__(self, chunks: list[bytes], status: int = 200, retry_after: str | None = None) -> None:
        self.chunks = iter(chunks)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.content = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def iter_any(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    async def readany(self) -> bytes:
        return next(self.chunks, b"")

    async def read(self) -> bytes:
        return b"".join(self.chunks)


class OneAnswer:
    """The client library's client, of a cluster that goes away after one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answers = [answer]

    async def call_api(self, *_: object, **_named: object) -> Answer:
        if not self._answers:
            raise aiohttp.ServerDisconnectedError
        return self._answers.pop()


def _api(answer: Answer) -> SegmentApi:
    client: Any = OneAnswer(answer)
    return SegmentApi(
        client,
        client,
        namespace="default",
        metrics=_METRICS,
        call_timeout=60,
        idle_timeout=60,
        list_silence=60,
        list_timeout=60,
    )


def _cut_up(data: bytes) -> Iterator[list[bytes]]:
    """The same bytes in one piece and in many."""
    for size in (len(data) or 1, 7):
        yield [data[start : start + size] for start in range(0, len(data), size)]


def _state(store: SegmentStore) -> tuple[int, bytes]:
    """The store's revision, and all of its segments as a page, each of which can be exported, and sent back."""
    segments = [segment for segment_id in store._contents.slots.ids if (segment := store.get(segment_id)) is not None]
    view = store.view(frozenset().union(*(segment.roles.readers for segment in segments)))
    asked = ListRequest(Query(0, 1000), None, 0)
    selection = Selector(store).select(view, asked.query)
    page = render.page(selection, page_links(BASE, asked, selection.total), base=BASE, gzip=False, digest=b"")
    items = orjson.loads(page.body)["items"]
    assert [item["id"] for item in items] == sorted(item["id"] for item in items)
    for item in items:
        segment = store.get(item["id"])
        assert segment is not None
        assert segment.document() == {name: value for name, value in item.items() if name != "links"}
        assert segment.display_name == item["metadata"]["displayName"]
        assert segment.created_at == item["metadata"]["createdAt"]
        assert segment.modified_at == item["metadata"]["modifiedAt"]
        # a resource may have roles that no body may
        assert parse_body({**item, "roles": {}}).labels == segment.labels
        export(segment.document())
    return store.revision, page.body


TARGETS: Mapping[str, Callable[[bytes], bool]] = {
    "answer": answer,
    "body": body,
    "claims": claims_,
    "list": list_,
    "query": query,
    "token": token,
    "watch": watch,
}
