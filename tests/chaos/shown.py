"""What the API is to show of a resource, spelled out anew, and what it does show."""

from __future__ import annotations

import json
from typing import Any

from tests.api.bodies import EDITOR, VIEWER
from tests.api.clusters import DISPLAY_NAME, GROUP

NOBODY = {"name": "", "email": ""}


def is_shown(resource: dict[str, Any] | None) -> bool:
    """Tell whether there is a segment: here one without a name is the only kind of resource that holds none."""
    return resource is not None and bool(resource["metadata"]["annotations"][DISPLAY_NAME].strip())


def document(resource: dict[str, Any]) -> dict[str, Any]:
    """The JSON object that the API is to show of a resource, all but its ``links``."""
    metadata = resource["metadata"]
    annotations: dict[str, str] = metadata["annotations"]

    def given(key: str, default: Any) -> Any:
        text = annotations.get(f"{GROUP}/{key}")
        return default if text is None else json.loads(text)

    return {
        "id": metadata["name"],
        "metadata": {
            "displayName": annotations[DISPLAY_NAME],
            "description": annotations.get(f"{GROUP}/description", ""),
            "createdAt": annotations.get(f"{GROUP}/created-at") or metadata["creationTimestamp"].replace("Z", ".000"),
            "modifiedAt": annotations.get(f"{GROUP}/modified-at", ""),
            "createdBy": NOBODY | given("created-by", {}),
            "modifiedBy": NOBODY | given("modified-by", {}),
        },
        "roles": {"editor": [EDITOR], "viewer": [VIEWER]} | given("roles", {}),
        "data": resource["spec"],
        "labels": given("labels", []),
    }


def content(segment: dict[str, Any]) -> dict[str, Any]:
    """What the API shows of a segment, all but its ``links``."""
    return {key: part for key, part in segment.items() if key != "links"}


def may_edit(roles: set[str], segment: dict[str, Any]) -> bool:
    return not roles.isdisjoint(segment["roles"]["editor"])


def may_read(roles: set[str], segment: dict[str, Any]) -> bool:
    return may_edit(roles, segment) or not roles.isdisjoint(segment["roles"]["viewer"])
