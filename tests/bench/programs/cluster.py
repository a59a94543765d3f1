"""A program: a cluster full of sample segments and a token issuer, beside the service in a process of its own.

The cluster is the embedded one, or a real API server from the directory that KUBEBUILDER_ASSETS names; with ``--keep``
what the latter holds outlives it, since filling it takes minutes. Prints one line of JSON once everything is there, and
ends with SIGTERM, at any time.
"""

import argparse
import asyncio
import json
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from segsvc.devcluster import EmbeddedCluster
from segsvc.devcluster.issuer import TokenIssuer
from segsvc.devcluster.samples import sample_segments
from tests.bench.processes import BenchError
from tests.support.envtest import RealCluster, assets_directory

NAMESPACE = "default"
COLLECTION = f"/apis/segment.grnry.io/v1alpha1/namespaces/{NAMESPACE}/segments"
AT_ONCE = 32
"""How many segments are being created at a time."""


async def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, required=True)
    parser.add_argument("--real", action="store_true", help="a real API server")
    parser.add_argument("--keep", type=Path, help="a directory for what a real one holds")
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    run = asyncio.create_task(_run(options))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((run, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (run, stopped):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await run


async def _run(options: argparse.Namespace) -> None:
    issuer = TokenIssuer()
    with tempfile.TemporaryDirectory(prefix="segsvc-bench-") as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        began = time.monotonic()
        cluster = _real(options, kubeconfig) if options.real else _embedded(options.segments, kubeconfig)
        await issuer.start()
        try:
            async with cluster as around:
                around |= {
                    "collection": COLLECTION,
                    "kubeconfig": str(kubeconfig),
                    "issuer": issuer.issuer,
                    "seconds": round(time.monotonic() - began, 1),
                }
                print(json.dumps(around), flush=True)
                await asyncio.Event().wait()
        finally:
            await issuer.stop()


@asynccontextmanager
async def _embedded(segments: int, kubeconfig: Path) -> AsyncIterator[dict[str, Any]]:
    async with EmbeddedCluster() as cluster:
        definition = files("segsvc.devcluster").joinpath("crd.yaml").read_text(encoding="utf-8")
        cluster.create_crd(yaml.safe_load(definition))
        cluster.seed(sample_segments(segments, namespace=NAMESPACE))
        cluster.write_kubeconfig(kubeconfig, namespace=NAMESPACE)
        yield {"url": cluster.url, "token": None, "ca_file": None}


@asynccontextmanager
async def _real(options: argparse.Namespace, kubeconfig: Path) -> AsyncIterator[dict[str, Any]]:
    assets = assets_directory()
    if assets is None:
        raise BenchError("KUBEBUILDER_ASSETS names no directory")
    cluster = _cluster(assets, options.keep)
    try:
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.install_crd)
        await _fill(cluster, options.segments)
        cluster.write_kubeconfig(kubeconfig, namespace=NAMESPACE)
        yield {"url": cluster.url, "token": cluster.token, "ca_file": str(cluster.ca_file)}
    finally:
        cluster.stop()


def _cluster(assets: Path, keep: Path | None) -> RealCluster:
    cluster = RealCluster(assets)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        # all else in its directory is made anew each time, and thrown away: the link, not what it leads to
        (cluster._dir / "etcd").symlink_to(keep.resolve())
    return cluster


async def _fill(cluster: RealCluster, segments: int) -> None:
    """Create what is not there yet. Samples with the same seed are the same, and fewer are the first of more."""
    connector = aiohttp.TCPConnector(ssl=cluster.ssl_context, limit=AT_ONCE)
    headers = {"Authorization": f"Bearer {cluster.token}"}
    async with aiohttp.ClientSession(cluster.url, connector=connector, headers=headers) as session:
        there = await _count(session)
        left = islice(sample_segments(segments, namespace=NAMESPACE), max(there - AT_ONCE, 0), None)

        async def create() -> None:
            for resource in left:
                async with session.post(COLLECTION, json=resource) as response:
                    if response.status not in {201, 409}:  # 409: made by a run that was stopped
                        raise BenchError(f"a sample was refused with {response.status}: {await response.text()}")

        if there < segments:
            await asyncio.gather(*(create() for _ in range(AT_ONCE)))
        if await _count(session) != segments:
            raise BenchError(f"the cluster holds {await _count(session)} segments, not {segments}: keep it no longer")


async def _count(session: aiohttp.ClientSession) -> int:
    async with session.get(COLLECTION, params={"limit": "1"}) as response:
        response.raise_for_status()
        listed = await response.json()
    return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))


if __name__ == "__main__":
    asyncio.run(main())
