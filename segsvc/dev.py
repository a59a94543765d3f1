"""``segsvc dev``: an embedded cluster, a token issuer and sample segments around the ordinary service."""

import os
import shlex
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from segsvc.devcluster import EmbeddedCluster, JournalError
from segsvc.devcluster.issuer import TokenIssuer
from segsvc.devcluster.samples import sample_segments
from segsvc.settings import Settings

NAMESPACE = "default"
TOKEN_LIFETIME = 30 * 24 * 3600
EDITOR_ROLES = ("segment_job_edit", "segment_job_view")
VIEWER_ROLES = ("segment_job_view",)


class StartError(Exception):
    """The embedded cluster cannot start; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What the command line says. Ports of 0 stand for any; without ``data`` everything is kept in memory."""

    host: str = "127.0.0.1"
    port: int = 8080
    ops_port: int = 8081
    cluster_port: int = 0
    data: Path | None = None
    segments: int = 12


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the service: where its cluster is, and tokens to call it with."""

    kubeconfig: Path
    issuer: str
    editor_token: str
    viewer_token: str

    def greeting(self, url: str, ops_url: str) -> str:
        """Tell a person what runs and what to try first."""
        return f"""
  segsvc is running on an embedded cluster, for development only.

  API      {url}/segments         description: {url}/openapi.json
  health   {ops_url}/readyz       metrics: {ops_url}/metrics
  cluster  kubectl --kubeconfig {shlex.quote(str(self.kubeconfig))} get segments
  tokens   from {self.issuer}, good for 30 days

  # a token of an editor, who may create, change and delete
  EDITOR_TOKEN={self.editor_token}

  # a token of a viewer, who may only read
  VIEWER_TOKEN={self.viewer_token}

  # a first request to try, once EDITOR_TOKEN is set in your shell
  curl -s -H "Authorization: Bearer $EDITOR_TOKEN" '{url}/segments?search=demo&pagesize=1'

  Ctrl-C stops it.
"""


@asynccontextmanager
async def surroundings(options: DevOptions) -> AsyncIterator[Surroundings]:
    """Run an embedded cluster and a token issuer until the context ends. Raises StartError."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segsvc-dev-")))
        keys = None if options.data is None else options.data.with_name(options.data.name + ".keys.json")
        is_new = options.data is None or not options.data.exists()
        try:
            issuer = TokenIssuer(keys=keys)
        except ValueError as error:
            raise StartError(str(error)) from error
        except OSError as error:
            raise StartError(f"{keys} cannot be used: {error.strerror}") from error
        cluster = EmbeddedCluster(data=options.data, port=options.cluster_port)
        try:
            await cluster.start()
        except JournalError as error:
            raise StartError(str(error)) from error
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StartError(f"--cluster-port is {options.cluster_port} but cannot be had: {reason}") from error
        stack.push_async_callback(cluster.stop)
        await issuer.start()
        stack.push_async_callback(issuer.stop)
        cluster.create_crd(_crd())
        if is_new:
            cluster.seed(sample_segments(options.segments, namespace=NAMESPACE))
        kubeconfig = directory / "kubeconfig"
        cluster.write_kubeconfig(kubeconfig, namespace=NAMESPACE)
        yield Surroundings(
            kubeconfig=kubeconfig,
            issuer=issuer.issuer,
            editor_token=issuer.issue(
                name="Editor", email="editor@example.com", roles=EDITOR_ROLES, lifetime=TOKEN_LIFETIME
            ),
            viewer_token=issuer.issue(
                name="Viewer", email="viewer@example.com", roles=VIEWER_ROLES, lifetime=TOKEN_LIFETIME
            ),
        )


def settings_for(options: DevOptions, around: Surroundings) -> Settings:
    """Return the settings with which the service finds its embedded surroundings."""
    return Settings(
        oidc_issuer=around.issuer,
        host=options.host,
        port=options.port,
        ops_port=options.ops_port,
        kubeconfig=str(around.kubeconfig),
        namespace=NAMESPACE,
    )


def _crd() -> dict[str, Any]:
    text = files("segsvc.devcluster").joinpath("crd.yaml").read_text(encoding="utf-8")
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest
