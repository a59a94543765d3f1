"""A namespace full of samples."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from segsvc.devcluster.samples import sample_segments
from tests.api.bodies import EDITOR, VIEWER
from tests.api.clusters import GROUP

if TYPE_CHECKING:
    import aiohttp

    from tests.api.clusters import Cluster


async def fill(
    admin: aiohttp.ClientSession, cluster: Cluster, namespace: str, count: int
) -> tuple[list[str], set[str]]:
    """Create samples; return their ids, and every role that any of them names."""
    samples = list(sample_segments(count, namespace=namespace))
    roles = {EDITOR, VIEWER}
    for sample in samples:
        named = json.loads(sample["metadata"]["annotations"].get(f"{GROUP}/roles", "{}"))
        roles.update(*named.values())
    url = f"{cluster.url}/apis/{samples[0]['apiVersion']}/namespaces/{namespace}/segments"
    waiting = iter(samples)

    async def create() -> None:
        for sample in waiting:
            async with admin.post(url, json=sample, headers=cluster.headers) as response:
                assert response.status == 201, await response.text()

    await asyncio.gather(*(create() for _ in range(16)))
    return [sample["metadata"]["name"] for sample in samples], roles
