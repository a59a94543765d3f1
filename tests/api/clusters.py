"""The clusters behind the service, and what a test does to them past the service.

Speaks plain HTTP and uses nothing of the package under test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

GROUP = "segment.grnry.io"
API_VERSION = f"{GROUP}/v1alpha1"
DISPLAY_NAME = f"{GROUP}/display-name"
SCHEDULE = "*/10 * * * *"


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes API that serves Segment resources, and the administrator's way in."""

    kind: str
    url: str
    token: str | None = None
    ca_file: Path | None = None
    ssl_context: ssl.SSLContext | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=self.ssl_context or True)

    def write_kubeconfig(self, path: Path, *, namespace: str, url: str | None = None) -> Path:
        """Write a kubeconfig for this cluster, or for the relay in front of it at ``url``."""
        authority = {} if self.ca_file is None or url is not None else {"certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": url or self.url, **authority}}],
            "users": [{"name": "me", "user": {} if self.token is None else {"token": self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", "namespace": namespace}}],
            "current-context": "it",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


class Resources:
    """The Segment resources of one namespace, as kubectl or the operator would handle them."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster, namespace: str) -> None:
        self._session = session
        self._cluster = cluster
        self._collection = f"{cluster.url}/apis/{API_VERSION}/namespaces/{namespace}/segments"

    async def create(
        self, name: str, *, annotations: dict[str, str] | None = None, spec: object = None, **metadata: Any
    ) -> dict[str, Any]:
        """Create a resource; unless told otherwise one with a display name and a schedule, and nothing else."""
        annotations = {DISPLAY_NAME: name} if annotations is None else annotations
        resource = {
            "apiVersion": API_VERSION,
            "kind": "Segment",
            "metadata": {"name": name, "annotations": annotations, **metadata},
            "spec": {"cronjob": {"schedule": SCHEDULE}} if spec is None else spec,
        }
        return await self._call("POST", "", resource)

    async def get(self, name: str) -> dict[str, Any]:
        return await self._call("GET", f"/{name}")

    async def all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self._call("GET", ""))["items"]
        return items

    async def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in await self.all()]

    async def patch(self, name: str, patch: dict[str, Any], *, status: bool = False) -> dict[str, Any]:
        """Change a resource, or its status, by a merge patch."""
        path = f"/{name}/status" if status else f"/{name}"
        return await self._call("PATCH", path, patch, content_type="application/merge-patch+json")

    async def annotate(self, name: str, **annotations: str | None) -> dict[str, Any]:
        """Set annotations of ours, named without prefix and with ``_`` for ``-``; None removes one."""
        ours = {f"{GROUP}/{key.replace('_', '-')}": text for key, text in annotations.items()}
        return await self.patch(name, {"metadata": {"annotations": ours}})

    async def delete(self, name: str) -> dict[str, Any]:
        return await self._call("DELETE", f"/{name}")

    async def revision(self) -> int:
        """The newest resourceVersion."""
        return int((await self._call("GET", "?limit=1"))["metadata"]["resourceVersion"])

    async def _call(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        async with self._session.request(
            method,
            self._collection + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type, **self._cluster.headers},
        ) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status < 300, answer
            return answer


def revision_of(resource: dict[str, Any]) -> int:
    return int(resource["metadata"]["resourceVersion"])
