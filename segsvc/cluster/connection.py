"""Which cluster, and as whom: from a kubeconfig or from a pod's service account, through the client library.

Credentials that change while the process runs are taken up: a pod's token, a kubeconfig's token file, and what exec
and auth-provider plugins hand out are read again at most once a minute. A client certificate is read once. So is what
proxy there is: a kubeconfig's, else the environment's (HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case).
"""

import logging
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import structlog
import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)
from yarl import URL

from segsvc.cluster.errors import ClusterConfigInvalid
from segsvc.domain.ids import is_subdomain

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

# what the library makes of a plugin's token that is no string: Python's way to write it
_NO_TOKEN = re.compile(r"(None|True|False|[\[{].*)?", re.DOTALL)

log = structlog.get_logger(__name__)
# what the library logs while it handles an exception, it raises as well: that is told once, and by us
logging.getLogger("kubernetes_asyncio.config.kube_config").addFilter(lambda _: sys.exc_info()[0] is None)


def in_pod(service_account: Path = SERVICE_ACCOUNT) -> bool:
    """Tell whether this process runs in a pod that has a service account."""
    return (service_account / "token").is_file()


def default_namespace(kubeconfig: str | None, service_account: Path = SERVICE_ACCOUNT) -> str:
    """Return the pod's namespace, else that of the kubeconfig's current context, else ``default``.

    Raises ClusterConfigInvalid when that is no namespace's name.
    """
    try:
        return (service_account / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        pass
    try:
        path = _existing(kubeconfig)
        _, context = list_kube_config_contexts(path)
        namespace = (context or {})["context"].get("namespace") or DEFAULT_NAMESPACE
    except (*_UNUSABLE, ClusterConfigInvalid):
        return DEFAULT_NAMESPACE  # no usable kubeconfig: `configuration` says what is wrong with it
    if not is_subdomain(str(namespace)):
        raise ClusterConfigInvalid(f"kubeconfig {path}: the namespace of its current context is no namespace's name")
    return str(namespace)


async def configuration(
    kubeconfig: str | None, *, service_account: Path = SERVICE_ACCOUNT, refresh_period: float = REFRESH_PERIOD
) -> Configuration:
    """Return how to reach the cluster.

    kubeconfig: a path, or several as the environment variable KUBECONFIG has them; None for the pod's service account,
    and ``~/.kube/config`` outside a pod. Raises ClusterConfigInvalid.
    """
    found = Configuration()
    if kubeconfig is None and in_pod(service_account):

        async def load() -> None:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=found,
                token_filename=str(service_account / "token"),
                cert_filename=str(service_account / "ca.crt"),
                try_refresh_token=False,  # it would by the wall clock, which may go back
            )

        try:
            await load()
            _tidy(found)
        except (ConfigException, OSError, ValueError) as error:
            raise ClusterConfigInvalid(f"service account: {error}") from error
        found.refresh_api_key_hook = _Refresh(load, period=refresh_period)
    else:
        path = _existing(kubeconfig)
        try:
            # a service does not write its user's kubeconfig
            loader = await load_kube_config(path, client_configuration=found, persist_config=False)
            _tidy(found)
        except _UNUSABLE as error:
            raise _unusable(path, error) from error
        found.refresh_api_key_hook = _Refresh(lambda: loader.load_and_set(found), period=refresh_period)
    if found.proxy is None and found.host is not None:
        found.proxy = _proxy_of_environment(found.host)
    return found


def _proxy_of_environment(server: str) -> str | None:
    """Return the proxy by which the environment wants a server to be reached. Raises ClusterConfigInvalid."""
    try:
        url = URL(server)
    except ValueError as error:
        raise ClusterConfigInvalid(f"the cluster's address '{server}' is none: {error}") from error
    given = getproxies().get(url.scheme, "").strip()
    if not given or url.host is None or proxy_bypass(url.host):
        return None
    proxy = given if "://" in given else f"http://{given}"  # as kubectl takes it
    try:
        found = URL(proxy)
        is_proxy = found.scheme in {"http", "https"} and found.host is not None
    except ValueError:
        is_proxy = False
    if not is_proxy:
        raise ClusterConfigInvalid(f"environment: {url.scheme.upper()}_PROXY is no address of an HTTP proxy")
    return proxy


def _existing(kubeconfig: str | None) -> str:
    """Return the path, or the paths, of a kubeconfig of which some part is there. Raises ClusterConfigInvalid."""
    paths = kubeconfig or str(Path(KUBECONFIG).expanduser())
    if not any(path and Path(path).expanduser().exists() for path in paths.split(os.pathsep)):
        raise ClusterConfigInvalid(f"kubeconfig {paths}: there is no such file")
    return paths


def _unusable(path: str, error: Exception) -> ClusterConfigInvalid:
    reason = " ".join(str(error).split())  # YAML's errors have several lines
    return ClusterConfigInvalid(f"kubeconfig {path}: {reason or type(error).__name__}")


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
        last = dict(configuration.api_key)
        try:
            await self._load()
            _tidy(configuration)
        except _UNUSABLE as error:
            configuration.api_key = last
            log.warning("cluster_credentials_not_refreshed", reason=str(error) or type(error).__name__)


def _tidy(configuration: Configuration) -> None:
    """Remove the line break that ends many a token file; it would be refused in a header.

    Raises ConfigException for a token that is none.
    """
    header = configuration.api_key.get(_BEARER)
    if header is None:
        return
    scheme, _, token = header.partition(" ")
    if _NO_TOKEN.fullmatch(token.strip()):
        raise ConfigException("the token is none")
    configuration.api_key[_BEARER] = f"{scheme} {token.strip()}"
