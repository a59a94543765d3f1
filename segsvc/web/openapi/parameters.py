"""What requests carry beside a body: parameters and tokens."""

from collections.abc import Sequence
from typing import Any

from apispec import APISpec

from segsvc.domain.ids import MAX_LENGTH, MIN_LENGTH, SUBDOMAIN_MAX_LENGTH
from segsvc.index.query import SORTS
from segsvc.web.openapi.examples import ENTITY_TAG, TRACE_ID
from segsvc.web.openapi.patterns import ENTITY_TAGS, SUBDOMAIN
from segsvc.web.params import DEFAULT_PAGESIZE, MAX_SEARCH

CONFIGURED_PAGESIZE = 1000
"""The highest page size where the service is not told another."""

ON_EVERY_REQUEST = ("Action", "AcceptEncoding", "Traceparent")
"""Names of the parameters that each operation on segments takes."""


def add_parameters(spec: APISpec) -> None:
    """Put all parameters and the security schemes into the document."""
    existing_id = {"type": "string", "pattern": SUBDOMAIN, "maxLength": SUBDOMAIN_MAX_LENGTH}
    new_id = {"type": "string", "pattern": SUBDOMAIN, "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH}

    def add(name: str, location: str, schema: dict[str, Any], description: str, **more: Any) -> None:
        spec.components.parameter(
            f"{name[0].upper()}{name[1:]}".replace("-", ""),
            location,
            {"name": name, "description": description, "schema": schema, **more},
        )

    add("id", "path", existing_id, "The segment's id. Anything but a DNS-1123 subdomain is no segment: 404.")
    spec.components.parameter(
        "NewIdInPath",
        "path",
        {"name": "id", "description": "The new segment's id: a DNS-1123 subdomain.", "schema": new_id},
    )
    spec.components.parameter(
        "NewId",
        "query",
        {
            "name": "id",
            "description": "The new segment's id: a DNS-1123 subdomain. The body may name it too, but no other.",
            "schema": new_id,
        },
    )
    add(
        "pagesize",
        "query",
        {"type": "integer", "minimum": 1, "maximum": CONFIGURED_PAGESIZE, "default": DEFAULT_PAGESIZE},
        f"How many segments a page holds. An installation may allow more or fewer than {CONFIGURED_PAGESIZE}.",
    )
    add(
        "offset",
        "query",
        {"type": "integer", "minimum": 0, "default": 0},
        "How many segments to skip. Past the end: no `items`, but the true `totalCount`.",
    )
    add(
        "search",
        "query",
        {"type": "string", "maxLength": MAX_SEARCH},
        "Fuzzy search on the display name: case, accents and the order of words do not matter, words may be "
        "misspelled or only begun. Blank: no filter.",
        examples={"begun": {"value": "demo"}, "misspelled": {"value": "segmnet demo"}},
    )
    add(
        "sort",
        "query",
        {"type": "string", "enum": list(SORTS)},
        "The order; a leading `-` turns it round. Left out: by id. Ties stand by id upwards, an empty date before all "
        "dates. `relevance` needs a `search`.",
    )
    add(
        "label",
        "query",
        {"type": "array", "items": {"type": "string"}},
        "Keeps segments that have this label; given several times, those that have all of them.",
        style="form",
        explode=True,
        example=["customer", "demo"],
    )
    add(
        "export",
        "query",
        {"type": "boolean", "default": False},
        "`true` (in any case): answer with what a POST needs to create this very segment elsewhere, and nothing more.",
    )
    add(
        "dryRun",
        "query",
        {"type": "boolean", "default": False},
        "`true` (in any case): run every check, the cluster's included, answer as if, and store nothing.",
    )
    add(
        "minRevision",
        "query",
        {"type": "integer", "minimum": 0, "default": 0},
        "Wait, at most two seconds, until this replica has seen what others wrote up to this `X-Revision`; else 503. "
        "So a caller reads its own write from any replica.",
    )
    add("action", "query", {"type": "string"}, "Stands in links that answers carry. Accepted and ignored.")
    add(
        "If-Match",
        "header",
        {"type": "string", "pattern": ENTITY_TAGS},
        "Write only if the segment still has one of these entity tags (`*`: if it exists); else 412. Without it the "
        "last writer wins.",
        example=ENTITY_TAG,
    )
    add(
        "If-None-Match",
        "header",
        {"type": "string"},
        "Entity tags that the caller has; 304 if what it would get is one of them.",
        example=ENTITY_TAG,
    )
    add(
        "Accept-Encoding",
        "header",
        {"type": "string"},
        "Where it lets in `gzip`, bodies over 1 KiB are compressed.",
        example="gzip",
    )
    add(
        "traceparent",
        "header",
        {"type": "string"},
        "W3C trace context: its trace id is this request's `traceId`. Where it is missing or malformed, one is made.",
        example=f"00-{TRACE_ID}-00f067aa0ba902b7-01",
    )
    spec.components.security_scheme(
        "bearerToken",
        {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of the configured OpenID issuer. The roles that count are those of one "
            "client in `resource_access`, `segment-management-api` where nothing else is configured.",
        },
    )
    spec.components.security_scheme(
        "authenticationHeader",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authentication",
            "description": "The same token, with or without `Bearer ` before it. Read where there is no "
            "`Authorization` header.",
        },
    )


def parameters(*names: str) -> Sequence[str]:
    """Name the parameters of an operation on segments."""
    return [*names, *ON_EVERY_REQUEST]
