"""Bodies to send, and names that no other test uses."""

from __future__ import annotations

import secrets
from typing import Any

SCHEDULE = "*/10 * * * *"
EDITOR = "segment_job_edit"
VIEWER = "segment_job_view"


def unique(prefix: str = "seg") -> str:
    return f"{prefix}-{secrets.token_hex(5)}"


def body(display_name: str = "Demo Segment", *, data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A body as small as may be; ``description`` goes where it belongs, what else is given is added on top."""
    metadata = {"displayName": display_name}
    if "description" in more:
        metadata["description"] = more.pop("description")
    return {"metadata": metadata, "data": data or {"cronjob": {"schedule": SCHEDULE}}, **more}


def with_env(**env: Any) -> dict[str, Any]:
    return {"cronjob": {"schedule": SCHEDULE}, "env": env}


def with_job(**cronjob: Any) -> dict[str, Any]:
    return {"cronjob": {"schedule": SCHEDULE, **cronjob}}


def with_image(**image: Any) -> dict[str, Any]:
    return {"cronjob": {"schedule": SCHEDULE}, "image": image}


FULL_DATA: dict[str, Any] = {
    "cronjob": {
        "schedule": "*/1 * * * *",
        "concurrencyPolicy": "Forbid",
        "failedJobsHistoryLimit": 0,
        "successfulJobsHistoryLimit": 3,
    },
    "env": {
        "SOURCE_TABLE_NAME": "eventstore",
        "TARGET_SEGMENT_NAME": "eventstore_demo_seg",
        "SOURCE_WHERE_CLAUSE": "event_harvester = 'adobe'",
        "TYPE": "generic",
        "DEBUG": "True",
        "GENERIC_TRANSFORMATIONS": "theval01=message->'val01'::jsonb|theval02=upper(message->'val02'#>>'{}')::text",
        "note": "Grüße, 客户 🙂\nsecond line",
    },
    "envFromSecrets": {"DBUser": {"key": "user", "secret": "db-secret"}},
    "image": {
        "pullPolicy": "Always",
        "pullSecrets": "token",
        "repository": "hub.example.com/creation",
        "restartPolicy": "Never",
        "tag": "1.2.3",
    },
}
