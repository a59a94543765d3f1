"""Which cluster, and as whom: from a kubeconfig or from a pod's service account, through the client library.

Credentials that change while the process runs are taken up: a pod's token, a kubeconfig's token file, and what exec
and auth-provider plugins hand out are read again at most once a minute. A client certificate is read once.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from segsvc.cluster.errors import ClusterConfigInvalid

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, the cluster's certificate authority and the namespace's name."""
KUBECONFIG = "~/.kube/config"
DEFAULT_NAMESPACE = "default"
REFRESH_PERIOD = 60.0
"""Seconds for which credentials are taken to be good."""

_BEARER = "BearerToken"  # the library's name for the Authorization header
# the library asserts and subscripts its way through a file that is not what it expects
_UNUSABLE = (
    ConfigException,
    OSError,
    ValueError,
    yaml.YAMLError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
)

log = structlog.get_logger(__name__)


def in_pod(service_account: Path = SERVICE_ACCOUNT) -> bool:
    """Tell whether this process runs in a pod that has a service account."""
    return (service_account / "token").is_file()


def default_namespace(kubeconfig: str | None, service_account: Path = SERVICE_ACCOUNT) -> str:
    """Return the pod's namespace, else that of the kubeconfig's current context, else ``default``."""
    try:
        return (service_account / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        pass
    try:
        _, context = list_kube_config_contexts(kubeconfig or _home_kubeconfig())
    except _UNUSABLE:
        return DEFAULT_NAMESPACE  # no usable kubeconfig: `configuration` says what is wrong with it
    return ((context or {}).get("context") or {}).get("namespace") or DEFAULT_NAMESPACE


async def configuration(
    kubeconfig: str | None, *, service_account: Path = SERVICE_ACCOUNT, refresh_period: float = REFRESH_PERIOD
) -> Configuration:
    """Return how to reach the cluster.

    kubeconfig: a path, or several as the environment variable KUBECONFIG has them; None for the pod's service account,
    and ``~/.kube/config`` outside a pod. Raises ClusterConfigInvalid.
    """
    found = Configuration()
    if kubeconfig is None and in_pod(service_account):
        try:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=found,
                token_filename=str(service_account / "token"),
                cert_filename=str(service_account / "ca.crt"),
            )
        except (ConfigException, OSError) as error:
            raise ClusterConfigInvalid(f"service account: {error}") from error
        reread: Any = found.refresh_api_key_hook

        async def refresh() -> None:
            reread(found)  # each time, since the library itself does so once a minute

        found.refresh_api_key_hook = _Refresh(refresh, period=0)
    else:
        path = kubeconfig or _home_kubeconfig()
        try:
            # a service does not write its user's kubeconfig
            loader = await load_kube_config(path, client_configuration=found, persist_config=False)
        except _UNUSABLE as error:
            raise ClusterConfigInvalid(f"kubeconfig {path}: {str(error) or type(error).__name__}") from error
        found.refresh_api_key_hook = _Refresh(lambda: loader.load_and_set(found), period=refresh_period)
    _strip(found)
    return found


def _home_kubeconfig() -> str:
    return str(Path(KUBECONFIG).expanduser())


class _Refresh:
    """A hook that the library calls before each request: reads the credentials anew when ``period`` has passed.

    When that fails, the last ones stay in use: they may be valid for a while yet.
    """

    def __init__(self, load: Callable[[], Awaitable[None]], *, period: float) -> None:
        self._load = load
        self._period = period
        self._due = time.monotonic() + period

    async def __call__(self, configuration: Configuration) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._period  # now, so that requests meanwhile do not do the same
        try:
            await self._load()
        except (ConfigException, OSError, ValueError) as error:
            log.warning("cluster_credentials_not_refreshed", reason=str(error))
        _strip(configuration)


def _strip(configuration: Configuration) -> None:
    """Remove the line break that ends many a token file; it would be refused in a header."""
    token = configuration.api_key.get(_BEARER)
    if token is not None:
        configuration.api_key[_BEARER] = token.strip()
