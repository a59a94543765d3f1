"""Exports: what a POST must hold to make the same segment elsewhere, and nothing more."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from segsvc.domain.segment import JsonObject, Roles

DATA_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cronjob": {
            "concurrencyPolicy": "Always",
            "failedJobsHistoryLimit": 1,
            "successfulJobsHistoryLimit": 1,
        },
        "env": {
            "TYPE": "pivot",
            "DB_TYPE": "postgres",
            "DB_USE_VIEWS": "False",
            "DB_HOST": "grnry-pg",
            "DB_PORT": "5432",
            "DB_USE_SSL": "True",
            "SOURCE_SCHEMA_NAME": "public",
            "SOURCE_TABLE_NAME": "profilestore",
            "TARGET_SCHEMA_NAME": "segments",
            "TARGET_SEGMENT_INDEX_SEPARATOR": "|",
            "TARGET_SEGMENT_VIEW_SEPARATOR": ",",
            "TARGET_SEGMENT_VIEW_DEFINITION_SEPARATOR": ":",
            "COLUMN_PLACEHOLDER": "?",
            "TYPE_SEPARATOR": "::",
            "DEFINITION_SEPARATOR": "=",
            "TRANSFORMATION_SEPARATOR": "|",
            "PIVOT_PATHS": "",
            "PIVOT_ALIASES": "",
            "PIVOT_TRANSFORMATIONS": "",
            "PIVOT_SEGMENT_WHERE_CLAUSE": "",
            "PIVOT_ALLOW_EMPTY": "True",
            "CITUS_DIST_COL": "correlation_id",
            "PROMETHEUS_PUSHGATEWAY": "",
            "PROMETHEUS_JOB": "segmentcreation",
            "DEBUG": "False",
        },
        "envFromSecrets": {
            "DB_USER": {"secret": "grnry-pg", "key": "postgresql-username"},
            "DB_NAME": {"secret": "grnry-pg", "key": "postgresql-database"},
            "DB_PASSWORD": {"secret": "grnry-pg", "key": "postgresql-password"},
        },
        "image": {
            "pullPolicy": "IfNotPresent",
            "pullSecrets": "grnry-base-private-registry-token",
            "repository": "hub.syncier.cloud/grnry/segment-table-creation",
            "restartPolicy": "OnFailure",
            "tag": "0.7.0",
        },
    }
)
"""What the operator does where a segment's `data` says nothing."""


def export(document: Mapping[str, Any]) -> JsonObject:
    """Write a segment as the body of a POST that makes its equal: defaults and all that is generated left out.

    document: the segment as `segsvc.domain.segment.document` writes it.
    """
    metadata = {"displayName": document["metadata"]["displayName"]}
    if document["metadata"]["description"].strip():
        metadata["description"] = document["metadata"]["description"]
    data = {part: _differing(members, DATA_DEFAULTS[part]) for part, members in document["data"].items()}
    exported: JsonObject = {
        "id": document["id"],
        "metadata": metadata,
        "roles": _differing(document["roles"], _ROLE_DEFAULTS),
        "data": {part: members for part, members in data.items() if members},
        "labels": list(document["labels"]),
    }
    return {name: value for name, value in exported.items() if value}


_ROLE_DEFAULTS = {"editor": list(Roles().editor), "viewer": list(Roles().viewer)}


def _differing(members: Mapping[str, Any], defaults: Mapping[str, Any]) -> JsonObject:
    return {name: value for name, value in members.items() if name not in defaults or value != defaults[name]}
