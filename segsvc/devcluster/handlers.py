"""The HTTP side of resources: from a request to an operation, and from its result to an answer.

Must hold no state but the open watches, and decide nothing about objects: that is `operations`. Paths, verbs and
media types follow https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from segsvc.devcluster import jsonbody, options, patch, status, table, watch
from segsvc.devcluster.jsonbody import dumps
from segsvc.devcluster.listing import Page, read_page
from segsvc.devcluster.operations import Draft, Operations, Written
from segsvc.devcluster.resources import key_of
from segsvc.devcluster.status import ApiError, Cause, quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from segsvc.devcluster.resources import Catalog, Resource
    from segsvc.devcluster.store import Store

BODY_LIMIT: Final = 3 * 1024 * 1024
_JSON: Final = "application/json"
_GO_TYPE_META: Final = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)
_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection, or an object or its status when there is a `name`."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""
    watch: bool = False

    @property
    def prefix(self) -> str:
        """The prefix of keys that the collection's objects have; empty for all namespaces."""
        return key_of(self.namespace, "") if self.namespace or not self.resource.namespaced else ""


class ResourceHandlers:
    """All verbs on all resources. One instance serves one store."""

    def __init__(self, store: Store, catalog: Catalog, *, bookmark_interval: float) -> None:
        self._store = store
        self._catalog = catalog
        self._operations = Operations(store, catalog)
        self._bookmark_interval = bookmark_interval
        self._watches: set[watch.Watch] = set()
        self._stopping = False

    @property
    def operations(self) -> Operations:
        """The operations behind the handlers, for use without HTTP."""
        return self._operations

    def stop(self) -> None:
        """End all watches; new ones end at once."""
        self._stopping = True
        for stream in self._watches:
            stream.wake()

    async def handle(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Answer a request for `target`. Raises ApiError."""
        verbs: dict[str, Callable[[web.Request, Target], Awaitable[web.StreamResponse]]] = {
            "GET": self._read,
            "HEAD": self._read,
            "POST": self._create,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        handler = verbs.get(request.method)
        if handler is None or (target.subresource and request.method in {"POST", "DELETE"}):
            verb = {"POST": "create", "DELETE": "delete"}.get(request.method, "")
            raise status.method_not_supported(target.resource, verb)
        return await handler(request, target)

    async def _read(self, request: web.Request, target: Target) -> web.StreamResponse:
        as_table = _wants_table(request)
        if target.name:
            version = options.read_version_of_get(request.query)
            if version is not None and version > self._store.revision:
                raise status.future_version(version, self._store.revision)
            body = self._operations.get(target.resource, target.namespace, target.name)
            return self._answer(request, target.resource, body)
        if target.watch or options.wants_watch(request.query):
            return await self._watch(request, target)
        wanted = options.read_list_options(request.query)
        page = read_page(self._store, target.resource, prefix=target.prefix, options=wanted)
        return _json(_page_table(request, target.resource, page) if as_table else page.rendered(target.resource))

    async def _create(self, request: web.Request, target: Target) -> web.StreamResponse:
        wanted = options.read_write_options(request.query, "CreateOptions")
        draft = await _read_draft(request, target.resource)
        written = self._operations.create(target.resource, target.namespace, draft, options=wanted)
        if wanted.dry_run:
            written = Written(_without_version(written.body), written.warnings)
        return self._answer(request, target.resource, written.body, code=201, warnings=written.warnings)

    async def _replace(self, request: web.Request, target: Target) -> web.StreamResponse:
        wanted = options.read_write_options(request.query, "UpdateOptions")
        _require_name(target)
        draft = await _read_draft(request, target.resource)
        return self._update(request, target, draft, wanted=wanted)

    async def _patch(self, request: web.Request, target: Target) -> web.StreamResponse:
        accepted = (_JSON_PATCH, _MERGE_PATCH)
        if request.content_type not in accepted:
            raise status.unsupported_media_type(accepted)
        wanted = options.read_write_options(request.query, "PatchOptions")
        _require_name(target)
        body = await _read_body(request)
        current = self._operations.get(target.resource, target.namespace, target.name)
        value = orjson.loads(target.resource.served(current))
        patched, repeated = _patched(value, body, merge=request.content_type == _MERGE_PATCH)
        shown = dumps(patched).decode()
        try:
            return self._update(request, target, Draft(patched, repeated), wanted=wanted)
        except ApiError as error:
            # What would be a bad request in a body of its own is an invalid patch here.
            _, marker, why = error.message.partition(f"cannot be handled as a {target.resource.kind}: ")
            if not marker:
                raise
            message = f"Invalid value: {quoted(shown)}: {why}"
            raise status.invalid("", "", name="", causes=[Cause("patch", "FieldValueInvalid", message)]) from error

    def _update(
        self, request: web.Request, target: Target, draft: Draft, *, wanted: options.WriteOptions
    ) -> web.StreamResponse:
        written = self._operations.replace(
            target.resource, target.namespace, target.name, draft=draft, options=wanted, part=target.subresource
        )
        return self._answer(request, target.resource, written.body, warnings=written.warnings)

    async def _delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        wanted = options.read_delete_options(request.query, await _read_body(request))
        resource = target.resource
        if target.name:
            left = self._operations.delete(resource, target.namespace, target.name, options=wanted)
            if isinstance(left, bytes):
                return self._answer(request, resource, left)
            return _json(orjson.dumps(status.success(resource, target.name, uid=left)))
        selector = options.read_selector(request.query)
        revision = self._store.revision
        gone = self._operations.delete_collection(resource, target.namespace, selector=selector, options=wanted)
        return _json(Page(gone, revision).rendered(resource))

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        resource = target.resource
        stream = watch.Watch(
            self._store,
            resource,
            prefix=target.prefix,
            options=options.read_watch_options(request.query),
            served=lambda: not self._stopping and self._still_serves(resource),
            bookmark_interval=self._bookmark_interval,
        )
        as_table = _wants_table(request)
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Cache-Control": "no-cache, private"})
        self._watches.add(stream)
        try:
            await response.prepare(request)
            async for chunk in stream.events():
                shown = _tables(request, resource, chunk) if as_table else chunk
                await response.write(b"".join(watch.line(kind, body) for kind, body in shown))
            await response.write_eof()
        except ConnectionError:
            pass  # the caller has left
        finally:
            self._watches.discard(stream)
        return response

    def _still_serves(self, resource: Resource) -> bool:
        found = self._catalog.find(resource.group, resource.version, resource.plural)
        return found is not None and found.definition_uid == resource.definition_uid

    @staticmethod
    def _answer(
        request: web.Request, resource: Resource, body: bytes, *, code: int = 200, warnings: Sequence[str] = ()
    ) -> web.Response:
        served = resource.served(body)
        if _wants_table(request):
            value = orjson.loads(served)
            metadata = {"resourceVersion": value["metadata"].get("resourceVersion", "")}
            served = dumps(table.render(resource, [value], include=_included(request), metadata=metadata))
        return _json(served, code=code, warnings=warnings)


async def _read_body(request: web.Request) -> bytes:
    """Return the body. Raises ApiError (413) before more than the limit is in memory."""
    chunks, size = [], 0
    async for chunk in request.content.iter_chunked(65_536):
        size += len(chunk)
        if size > BODY_LIMIT:
            raise status.too_large(BODY_LIMIT)
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_draft(request: web.Request, resource: Resource) -> Draft:
    """Return the object in the body. Raises ApiError (400, 413, 415)."""
    if request.content_type != _JSON:
        raise status.unsupported_media_type([_JSON])
    body = await _read_body(request)
    prefix = f"the object provided is unrecognized (must be of type {resource.kind}): "
    excerpt = _excerpt(body)
    try:
        value, repeated = jsonbody.loads(body)
    except ValueError as error:
        raise status.bad_request(f"{prefix}couldn't get version/kind; json parse error: {error} ({excerpt})") from error
    if value is not None and not isinstance(value, dict):
        found = jsonbody.kind_of(value)
        why = f"json: cannot unmarshal {found} into Go value of type {_GO_TYPE_META}"
        raise status.bad_request(f"{prefix}couldn't get version/kind; json parse error: {why} ({excerpt})")
    if not value or not isinstance(value.get("kind"), str) or not value["kind"]:
        shown = body.decode(errors="replace")
        raise status.bad_request(f"{prefix}Object 'Kind' is missing in '{shown}' ({excerpt})")
    return Draft(value, repeated)


def _excerpt(body: bytes) -> str:
    """Return the start of a body for an error message: as text when it looks like an object, else in hex."""
    if not body:
        return "<empty>"
    start = body[:30].decode(errors="replace") if body.lstrip().startswith(b"{") else body[:30].hex()
    return f"{start} ..." if len(body) > 30 else start


def _patched(value: dict[str, Any], body: bytes, *, merge: bool) -> tuple[dict[str, Any], list[str]]:
    """Return `value` with the patch in `body` applied. Raises ApiError (400, 422)."""
    try:
        given, repeated = jsonbody.loads(body)
    except ValueError as error:
        raise status.bad_request(f"error decoding patch: {error}") from error
    found = jsonbody.kind_of(given)
    if merge:
        if not isinstance(given, dict):
            raise status.bad_request(
                f"error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )
        return patch.merge(value, given), repeated
    if not isinstance(given, list):
        raise status.bad_request(
            f"error decoding patch: json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        )
    try:
        patched = patch.apply(value, given)
    except patch.PatchError as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message=message, details={}) from error
    if not isinstance(patched, dict) or not isinstance(patched.get("kind"), str):
        raise status.bad_request("error decoding patch: the result is no object")
    return patched, repeated


def _require_name(target: Target) -> None:
    if not target.name:
        raise status.bad_request("name must be provided")


def _wants_table(request: web.Request) -> bool:
    """Negotiate: True for a Table, False for plain JSON. Raises ApiError (406) when neither will do."""
    offered = request.headers.get("Accept", "*/*")
    for item in offered.split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        if media in {_JSON, "application/*", "*/*"}:
            shape = [parameter for parameter in parameters if parameter.startswith("as=")]
            if not shape:
                return False
            if shape == ["as=Table"] and "v=v1" in parameters and "g=meta.k8s.io" in parameters:
                return True
    raise status.not_acceptable([_JSON])


def _included(request: web.Request) -> str:
    return request.query.get("includeObject", "")


def _page_table(request: web.Request, resource: Resource, page: Page) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.resume:
        metadata["continue"] = page.resume
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    objects = [orjson.loads(resource.served(item)) for item in page.items]
    return dumps(table.render(resource, objects, include=_included(request), metadata=metadata))


def _tables(request: web.Request, resource: Resource, chunk: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return watch events with each object as a Table of one row; bookmarks have none."""
    shown = []
    for kind, body in chunk:
        if kind == "ERROR":
            shown.append((kind, body))
            continue
        value = orjson.loads(body)
        objects = [] if kind == "BOOKMARK" else [value]
        metadata = {"resourceVersion": value["metadata"]["resourceVersion"]}
        rendered = table.render(resource, objects, include=_included(request), metadata=metadata)
        shown.append((kind, dumps(rendered)))
    return shown


def _without_version(body: bytes) -> bytes:
    value = orjson.loads(body)
    value["metadata"].pop("resourceVersion", None)
    return dumps(value)


def _json(body: bytes, *, code: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    response = web.Response(body=body, status=code, content_type=_JSON)
    response.headers["Cache-Control"] = "no-cache, private"
    for warning in warnings:
        # RFC 7234, 5.5: code, agent, and a quoted string.
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response
