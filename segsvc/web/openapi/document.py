"""The whole document: what a newcomer reads first, and then its parts."""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from segsvc import __version__
from segsvc.domain.export import DATA_DEFAULTS
from segsvc.web.openapi.conversion import add_schemas
from segsvc.web.openapi.operations import DESCRIPTION, SEGMENTS, paths
from segsvc.web.openapi.parameters import add_parameters
from segsvc.web.openapi.responses import add_failures, add_headers

_INTRODUCTION = """\
A segment job fills a table of customers or events on a schedule. This API lists, finds, creates, replaces and deletes
segment jobs; each one is a `Segment` resource in a Kubernetes cluster, where an operator turns it into a CronJob.

## Tokens and roles
Send `Authorization: Bearer TOKEN`, or the token in a header `Authentication`. Creating a segment needs the role
`segment_job_edit`. Each segment names its own roles: any of its viewer or editor roles lets a caller read it, any of
its editor roles change and delete it. A list shows only what the caller may read.

## Errors
Each error but those about the token itself has a body as `Error` describes. Programs look at `type`, people read
`message`, and `traceId`, which each answer also carries as `X-Trace-Id`, leads to the service's log. A method that a
path does not have is answered with 405 and `Allow` (the response `MethodNotAllowed`), a path that does not exist with
404 `entity_not_found`.

## Strictness
Query parameters that are not described here are refused, with a hint at the likely name; those that begin with `_`
are ignored, for caches and gateways. Parameters are given once, but for `label`; numbers are ASCII digits. Unknown
properties of a body are refused too, and so are whole numbers with a fraction (`1.0`).

## Reading what was written
Each answer to a read or a write carries `X-Revision`. The replica that answered a write shows it at once; to see it
through any other, send that number as `minRevision`. `ETag` and `If-None-Match` save sending what the caller has;
`ETag` and `If-Match` keep one writer from undoing another's change.

## Links
Links begin with scheme and host as the caller used them. Behind a gateway, `Forwarded` or `X-Forwarded-Proto`, `-Host`,
`-Port` and `-Prefix` tell them, where the installation trusts the forwarded host; one that it does not is refused with
400 `bad_header_value`. Where no host is trusted, these headers are ignored.

## Defaults
What the operator does where a segment's `data` says nothing. Reads do not fill these in; an export leaves them out.

"""


def build_document() -> dict[str, Any]:
    """Return the OpenAPI document: the same for the same version of this package, and the caller's to change."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="Segment Management API",
        version=__version__,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={
            "summary": "Manage segment jobs, which are kept as Kubernetes custom resources.",
            "description": _INTRODUCTION + _defaults(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        jsonSchemaDialect="https://spec.openapis.org/oas/3.1/dialect/base",
        servers=[{"url": "/", "description": "Where this document comes from."}],
        security=[{"bearerToken": []}, {"authenticationHeader": []}],
        tags=[
            {"name": SEGMENTS, "description": "Find, read and write segment jobs."},
            {"name": DESCRIPTION, "description": "This document."},
        ],
    )
    add_schemas(spec, plugin)
    add_parameters(spec)
    add_headers(spec)
    add_failures(spec)
    for path, operations in paths().items():
        spec.path(path=path, operations=dict(operations))
    document: dict[str, Any] = spec.to_dict()
    return document


def _defaults() -> str:
    rows = [
        f"| `{part}.{name}` | {_shown(value)} |"
        for part, members in DATA_DEFAULTS.items()
        for name, value in members.items()
    ]
    return "\n".join(["| in `data` | default |", "| --- | --- |", *rows, ""])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} `{member}`" for key, member in value.items())
    # a bar would end the table's cell
    return f"`{value}`".replace("|", r"\|") if value != "" else "empty"
