"""The operations: what each takes and answers, and how one leads to another."""

from collections.abc import Mapping, Sequence
from typing import Any

from segsvc.web.openapi.conversion import ref
from segsvc.web.openapi.examples import BODY, EXPORT, MINIMAL_BODY, PAGE, REPLACED, SEGMENT
from segsvc.web.openapi.parameters import parameters
from segsvc.web.openapi.responses import FAILURES, READ, STORED, headers

Operation = dict[str, Any]
Answers = dict[str, Any]

SEGMENTS = "Segments"
DESCRIPTION = "Description"

_NOT_MODIFIED = "What the caller would get is what `If-None-Match` says that it has."


def paths() -> Mapping[str, Mapping[str, Operation]]:
    """Return the operations by path and method."""
    return {
        "/segments": _with_head(
            {
                "get": _list(),
                "post": _create(
                    "createSegment",
                    "NewId",
                    summary="Create a segment",
                    ids="The id is that of the query or of the body; without either it is made from the display name "
                    "and five random characters. An export can be sent as it is.",
                ),
            }
        ),
        "/segments/{id}": _with_head(
            {
                "get": _get(),
                "post": _create(
                    "createSegmentWithId",
                    "NewIdInPath",
                    summary="Create a segment under a given id",
                    ids="The body, and a query parameter `id`, may name the id too, but no other.",
                ),
                "put": _replace(),
                "delete": _delete(),
            }
        ),
        "/openapi.json": _with_head({"get": _describe()}),
    }


def _list() -> Operation:
    return {
        "operationId": "listSegments",
        "tags": [SEGMENTS],
        "summary": "List segments",
        "description": "A page of the segments that the caller may read, by id or as `sort` says. Answered from memory "
        "and never from the cluster. A caller who may read nothing gets an empty page.",
        "parameters": parameters("Pagesize", "Offset", "Search", "Sort", "Label", "MinRevision", "IfNoneMatch"),
        "responses": {
            **_success(
                "The page.",
                ref("SegmentList"),
                {"page": PAGE},
                carried=(*READ, "Link", "X-Total-Count"),
                links=_links("$response.body#/items/0/id"),
            ),
            **_not_modified("Link", "X-Total-Count"),
            **_failures("BadQuery", "TokenMissing", "TokenInvalid", "Unexpected", "Unavailable"),
        },
    }


def _get() -> Operation:
    return {
        "operationId": "getSegment",
        "tags": [SEGMENTS],
        "summary": "Get a segment",
        "description": "Needs one of the segment's viewer or editor roles. Shows what was written: defaults are not "
        "filled in.",
        "parameters": parameters("Id", "Export", "MinRevision", "IfNoneMatch"),
        "responses": {
            **_success(
                "The segment, or its export.",
                {"oneOf": [ref("Segment"), ref("SegmentExport")]},
                {"segment": SEGMENT, "export": EXPORT},
                carried=READ,
                links=_links("$request.path.id"),
            ),
            **_not_modified(),
            **_failures("BadQuery", "TokenMissing", "Forbidden", "NotFound", "Unexpected", "Unavailable"),
        },
    }


def _create(operation_id: str, new_id: str, *, summary: str, ids: str) -> Operation:
    return {
        "operationId": operation_id,
        "tags": [SEGMENTS],
        "summary": summary,
        "description": f"Needs the role `segment_job_edit`. {ids} Role lists left out get their defaults: "
        "`segment_job_edit` may change, `segment_job_view` may read.",
        "parameters": parameters(new_id, "DryRun"),
        "requestBody": _body("NewSegmentBody", {"minimal": MINIMAL_BODY, "full": BODY, "export": EXPORT}),
        "responses": {
            **_success(
                "The segment as it is stored now; every read that this process answers shows it from now on.",
                ref("Segment"),
                {"segment": SEGMENT},
                carried=(*STORED, "Location"),
                links=_links("$response.body#/id", entity_tag=True),
            ),
            **_failures(
                "BadRequest",
                "TokenMissing",
                "Forbidden",
                "TooSlow",
                "Exists",
                "TooLarge",
                "UnsupportedMediaType",
                "Unexpected",
                "Unavailable",
            ),
        },
    }


def _replace() -> Operation:
    return {
        "operationId": "replaceSegment",
        "tags": [SEGMENTS],
        "summary": "Replace a segment",
        "description": "Needs one of the segment's editor roles. Replaces display name, description, labels and data "
        "(left out: empty); a role list left out stays as it was. Send `If-Match` with the `ETag` of what you read, "
        "so that nobody else's change is lost. What a GET answered can be sent back.",
        "parameters": parameters("Id", "DryRun", "IfMatch"),
        "requestBody": _body("SegmentBody", {"minimal": MINIMAL_BODY, "full": BODY, "as read": SEGMENT}),
        "responses": {
            **_success(
                "The segment as it is stored now.",
                ref("Segment"),
                {"segment": REPLACED},
                carried=STORED,
                links=_links("$response.body#/id", entity_tag=True),
            ),
            **_failures(
                "BadRequest",
                "TokenMissing",
                "Forbidden",
                "NotFound",
                "TooSlow",
                "LostRace",
                "Modified",
                "TooLarge",
                "UnsupportedMediaType",
                "Unexpected",
                "Unavailable",
            ),
        },
    }


def _delete() -> Operation:
    return {
        "operationId": "deleteSegment",
        "tags": [SEGMENTS],
        "summary": "Delete a segment",
        "description": "Needs one of the segment's editor roles. A second delete answers 404.",
        "parameters": parameters("Id", "DryRun", "IfMatch"),
        "responses": {
            "204": {
                "description": "The segment is gone. `X-Revision` is one at which it is.",
                "headers": headers("X-Revision"),
                "links": {"GetSegment": _link("getSegment", "$request.path.id", "It is not found any more.")},
            },
            **_failures(
                "BadQuery",
                "TokenMissing",
                "Forbidden",
                "NotFound",
                "LostRace",
                "Modified",
                "Unexpected",
                "Unavailable",
            ),
        },
    }


def _describe() -> Operation:
    return {
        "operationId": "getDescription",
        "tags": [DESCRIPTION],
        "summary": "Get this document",
        "description": "Needs no token.",
        "security": [],
        "parameters": ["IfNoneMatch", "AcceptEncoding", "Traceparent"],
        "responses": {
            "200": {
                "description": "The OpenAPI document.",
                "headers": headers(*READ),
                "content": {"application/json": {"schema": {"type": "object", "required": ["openapi"]}}},
            },
            **_not_modified(),
            **_failures("BadQuery", "Unexpected"),
        },
    }


def _with_head(operations: Mapping[str, Operation]) -> dict[str, Operation]:
    """Add a HEAD that is like the GET but for its bodies."""
    get = operations["get"]
    responses = {
        status: FAILURES[answer].response(head=True)
        if isinstance(answer, str)
        else {part: value for part, value in answer.items() if part not in ("content", "links")}
        for status, answer in get["responses"].items()
    }
    head = {
        **get,
        "operationId": get["operationId"].replace("get", "head").replace("list", "head"),
        "summary": f"{get['summary']}: headers only",
        "description": "Like the GET, without a body.",
        "responses": responses,
    }
    return {"get": get, "head": head, **operations}


def _body(schema: str, examples: Mapping[str, object]) -> dict[str, Any]:
    return {
        "required": True,
        "description": "At most 1 MiB of JSON in UTF-8, nested at most 32 deep, without duplicate keys.",
        "content": {"application/json": {"schema": ref(schema), "examples": _values(examples)}},
    }


def _success(
    description: str,
    schema: Mapping[str, Any],
    examples: Mapping[str, object],
    *,
    carried: Sequence[str],
    links: Mapping[str, Any],
) -> Answers:
    return {
        "200": {
            "description": description,
            "headers": headers(*carried),
            "content": {"application/json": {"schema": schema, "examples": _values(examples)}},
            "links": links,
        }
    }


def _not_modified(*more: str) -> Answers:
    carried = [name for name in READ if name != "Content-Encoding"]
    return {"304": {"description": _NOT_MODIFIED, "headers": headers(*carried, *more)}}


def _failures(*names: str) -> Answers:
    return {str(FAILURES[name].status): name for name in names}


def _values(examples: Mapping[str, object]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in examples.items()}


def _links(segment_id: str, *, entity_tag: bool = False) -> dict[str, Any]:
    """Lead on to what can be done with a segment; with its entity tag, so that no other change is overwritten."""
    match = {"header.If-Match": "$response.header.ETag"} if entity_tag else {}
    return {
        "GetSegment": _link("getSegment", segment_id, "Read the segment."),
        "ReplaceSegment": _link("replaceSegment", segment_id, "Replace the segment.", **match),
        "DeleteSegment": _link("deleteSegment", segment_id, "Delete the segment.", **match),
    }


def _link(operation_id: str, segment_id: str, description: str, **more: str) -> dict[str, Any]:
    return {"operationId": operation_id, "parameters": {"id": segment_id, **more}, "description": description}
