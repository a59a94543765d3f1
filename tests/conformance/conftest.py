"""The clusters that the suite runs against, each test with a namespace of its own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from segsvc.devcluster import EmbeddedCluster
from tests.conformance.client import GROUP, Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.envtest import RealCluster

_SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 1000},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "label": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^[a-z]*$"},
        "colour": {"type": "string", "default": "red"},
        "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string"}},
        "env": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string"}},
        "blob": {"type": "string"},
        "nick": {"type": "string", "nullable": True},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "ratio": {"type": "number", "multipleOf": 0.5},
        "on": {"type": "boolean"},
        "when": {"type": "string", "format": "date-time"},
        "keys": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "limits": {
            "type": "object",
            "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.low <= self.high", "message": "low is above high"}],
        },
        "word": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self != 'no'"}],
        },
        "either": {"type": "integer", "anyOf": [{"maximum": 3}, {"minimum": 7}]},
        "one": {"type": "integer", "oneOf": [{"maximum": 7}, {"minimum": 3}]},
        "never": {"type": "integer", "not": {"enum": [13]}},
        "all": {"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 7}]},
        "nested": {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "string"}, "b": {"type": "integer", "default": 3}},
        },
    },
}
_COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
    {"name": "Tag", "type": "string", "jsonPath": ".spec.tags[0]"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definition(kind: str = "Widget", *, columns: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind with the suite's schema and a status subresource."""
    singular = kind.lower()
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": _SPEC, "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _COLUMNS if columns is None else columns,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": f"{singular}s", "singular": singular, "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture(params=["emulator", pytest.param("kube-apiserver", marks=pytest.mark.real_cluster)])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Yield a cluster that serves widgets."""
    namespace = f"conformance-{secrets.token_hex(5)}"
    if request.param == "emulator":
        # A short history, so that the suite can outrun it.
        async with EmbeddedCluster(history=100) as emulator, aiohttp.ClientSession() as session:
            emulator.create_crd(definition())
            yield Api(session, emulator.url, namespace=namespace)
        return
    real: RealCluster = request.getfixturevalue("real_cluster")
    real.install_crd(definition())
    headers = {"Authorization": f"Bearer {real.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(session, real.url, namespace=namespace, tls=real.ssl_context)
