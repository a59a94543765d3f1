"""The examples that the document shows: one segment through its life, and each error as the service words it."""

from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]

SEGMENT_ID = "demo-segment-95he0"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
ENTITY_TAG = '"c6d1f3a0b8e94a57a2f0d4c19b7e6358"'
_BASE = "https://api.example.com"

_DATA: JsonObject = {
    "cronjob": {"schedule": "*/10 * * * *"},
    "env": {
        "TYPE": "generic",
        "SOURCE_TABLE_NAME": "eventstore",
        "SOURCE_WHERE_CLAUSE": "event_harvester = 'adobe'",
        "GENERIC_COLUMNS": "event_id,event_harvester",
        "TARGET_SEGMENT_NAME": "eventstore_demo_seg",
    },
    "envFromSecrets": {"DB_USER": {"secret": "reporting-db", "key": "user"}},
}

MINIMAL_BODY: JsonObject = {
    "metadata": {"displayName": "Demo Segment"},
    "data": {"cronjob": {"schedule": "@daily"}},
}

BODY: JsonObject = {
    "metadata": {"displayName": "Demo Segment", "description": "Events that came by way of Adobe"},
    "roles": {"editor": ["segment_job_edit", "demo_role"], "viewer": ["segment_job_view"]},
    "data": _DATA,
    "labels": ["customer", "demo"],
}

_TEAM = {"name": "Segment Team", "email": "segments@example.com"}

SEGMENT: JsonObject = {
    "links": {"self": f"{_BASE}/segments/{SEGMENT_ID}?action=self"},
    "id": SEGMENT_ID,
    "metadata": {
        **BODY["metadata"],
        "createdAt": "2020-03-18T18:08:31.850",
        "modifiedAt": "",
        "createdBy": _TEAM,
        "modifiedBy": {"name": "", "email": ""},
    },
    "roles": BODY["roles"],
    "data": _DATA,
    "labels": BODY["labels"],
}

REPLACED: JsonObject = {
    **SEGMENT,
    "metadata": {**SEGMENT["metadata"], "modifiedAt": "2020-03-18T18:09:17.179", "modifiedBy": _TEAM},
}

EXPORT: JsonObject = {
    "id": SEGMENT_ID,
    "metadata": BODY["metadata"],
    "roles": {"editor": BODY["roles"]["editor"]},
    "data": _DATA,
    "labels": BODY["labels"],
}

PAGE: JsonObject = {
    "items": [SEGMENT],
    "links": {
        "self": f"{_BASE}/segments?offset=0&pagesize=1&search=demo&action=self",
        "next": f"{_BASE}/segments?offset=1&pagesize=1&search=demo",
    },
    "totalCount": 2,
}

PAGE_LINKS = (
    f'<{_BASE}/segments?offset=0&pagesize=1&search=demo>; rel="first", '
    f'<{_BASE}/segments?offset=1&pagesize=1&search=demo>; rel="next", '
    f'<{_BASE}/segments?offset=1&pagesize=1&search=demo>; rel="last"'
)


def _error(type_: str, message: str, *invalid: tuple[str, str]) -> JsonObject:
    value: JsonObject = {
        "timestamp": "2020-12-02T19:14:45+00:00",
        "message": message,
        "type": type_,
        "traceId": TRACE_ID,
    }
    if invalid:
        value["invalidParams"] = [{"name": name, "reason": reason} for name, reason in invalid]
    return value


def _bad(name: str, reason: str) -> JsonObject:
    return _error("bad_parameter_value", f"Parameter '{name}' {reason}.", (name, reason))


ERRORS: Mapping[str, JsonObject] = {
    "parameter": _bad("pagesize", "'null' could not be parsed to int"),
    "unknownParameter": _bad("pageSize", "is unknown; did you mean 'pagesize'?"),
    "emptyName": _bad("metadata.displayName", "must not be empty"),
    "severalProblems": _error(
        "bad_parameter_value",
        "Parameter 'data.cronjob.schedule' must not be empty.",
        ("data.cronjob.schedule", "must not be empty"),
        ("data.env.TYPE", "must be one of pivot, generic, flexible"),
    ),
    "ifMatch": _error(
        "bad_header_value", "Header 'If-Match' must be '*' or a list of entity tags but is 'c6d1f3a0b8e94a57'."
    ),
    "untrustedHost": _error(
        "bad_header_value",
        "Forwarded header verification failed. Cannot find 'example.org' in specified trusted hosts.",
    ),
    "missingRoles": _error("entity_not_accessible", "Access forbidden due to missing roles."),
    "notFound": _error("entity_not_found", f"Segment with ID '{SEGMENT_ID}' not found."),
    "methodNotAllowed": _error("method_not_allowed", "Method 'PATCH' is not allowed here; allowed: GET, HEAD, POST."),
    "exists": _error("entity_already_exists", "Segment 'Demo Segment' already exists."),
    "modified": _error("entity_modified", f"Segment with ID '{SEGMENT_ID}' was modified meanwhile."),
    "tooSlow": _bad("body", "must come in within 30 seconds"),
    "tooLarge": _bad("body", "must not be larger than 1048576 bytes"),
    "mediaType": _error("bad_header_value", "Header 'Content-Type' must be 'application/json' but is 'text/plain'."),
    "unexpected": _error("unexpected_error", "An unexpected error occurred."),
    "unavailable": _error("service_unavailable", "The cluster is not available."),
    "behind": _error("service_unavailable", "Not ready: the index has not reached revision 48210 yet."),
}


def named(*names: str) -> dict[str, JsonObject]:
    """Return errors as an OpenAPI media type lists its examples."""
    return {name: {"value": ERRORS[name]} for name in names}
