"""A program: an embedded cluster with sample segments and a token issuer, beside the service in a process of its own.

Prints one line of JSON (kubeconfig, issuer, token) once everything is there, and ends with SIGTERM.
"""

import argparse
import asyncio
import json
import signal
import tempfile
from importlib.resources import files
from pathlib import Path

import yaml

from segsvc.devcluster import EmbeddedCluster
from segsvc.devcluster.issuer import TokenIssuer
from segsvc.devcluster.samples import sample_segments

NAMESPACE = "default"
LIFETIME = 24 * 3600
TEAMS = ("crm", "campaign", "newsletter", "loyalty", "shop", "motor", "data_platform", "recommendation", "pricing")
ROLES = ("segment_job_view", "segment_job_edit", *(f"{team}_team_view" for team in TEAMS))
"""As many as make a token of about 1 kB, which is what callers with a handful of roles have."""


async def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, required=True)
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    cluster, issuer = EmbeddedCluster(), TokenIssuer()
    with tempfile.TemporaryDirectory(prefix="segsvc-bench-") as directory:
        await cluster.start()
        await issuer.start()
        try:
            definition = files("segsvc.devcluster").joinpath("crd.yaml").read_text(encoding="utf-8")
            cluster.create_crd(yaml.safe_load(definition))
            cluster.seed(sample_segments(options.segments, namespace=NAMESPACE))
            kubeconfig = cluster.write_kubeconfig(Path(directory) / "kubeconfig", namespace=NAMESPACE)
            token = issuer.issue(name="Dashboard", email="dashboard@example.com", roles=ROLES, lifetime=LIFETIME)
            around = {"kubeconfig": str(kubeconfig), "issuer": issuer.issuer, "token": token}
            print(json.dumps(around), flush=True)
            await stop.wait()
        finally:
            await issuer.stop()
            await cluster.stop()


if __name__ == "__main__":
    asyncio.run(main())
