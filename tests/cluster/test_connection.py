"""Where the cluster is and as whom it is called, and how changing credentials are kept up with."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from segsvc.cluster.api import connect
from segsvc.cluster.connection import configuration, default_namespace, in_pod
from segsvc.cluster.errors import ClusterConfigInvalid
from tests.support.envtest import RealCluster, unique_namespace
from tests.support.scripted import ScriptedCluster, answer, kubeconfig, resource

if TYPE_CHECKING:
    from pathlib import Path

    from segsvc.telemetry import Metrics


@pytest.fixture
def service_account(tmp_path: Path) -> Path:
    """The files that a kubelet puts into a pod."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "namespace").write_text("the-pods\n")
    return directory


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no yaml: [",
        "- a\n- list\n",
        "just text",
        "{}",
        '{"current-context": "it"}',
        kubeconfig("http://localhost").replace('"current-context": "it"', '"current-context": "other"'),
        kubeconfig("http://localhost").replace('"clusters": [{"name": "it"', '"clusters": [{"name": "other"'),
        kubeconfig("http://localhost", exec={"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such"}),
        kubeconfig("https://localhost").replace('"server"', '"certificate-authority": "no-such", "server"'),
        "\x00\x01",
    ],
)
async def test_a_kubeconfig_that_is_no_use_is_named_in_one_line(
    tmp_path: Path, content: str, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)

    with pytest.raises(ClusterConfigInvalid, match=str(path)) as raised:
        async with connect(str(path), namespace="test", metrics=metrics):
            pass
    assert len(str(raised.value).splitlines()) == 1
    assert caplog.messages == []  # of the library's own
    assert default_namespace(str(path), tmp_path) in {"default", "from-context"}


async def test_a_certificate_that_is_none_is_named(tmp_path: Path, metrics: Metrics) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        kubeconfig("https://localhost").replace('"server"', '"certificate-authority-data": "bm9uZQ==", "server"')
    )

    with pytest.raises(ClusterConfigInvalid, match="certificates"):
        async with connect(str(path), namespace="test", metrics=metrics):
            pass


async def test_a_kubeconfig_that_is_absent_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ClusterConfigInvalid, match="absent"):
        await configuration(str(tmp_path / "absent"))
    assert caplog.messages == []


async def test_of_several_kubeconfigs_one_is_enough(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(kubeconfig("http://localhost"))
    several = os.pathsep.join([str(tmp_path / "absent"), str(tmp_path / "there")])

    assert (await configuration(several)).host == "http://localhost"
    assert default_namespace(several, tmp_path / "absent") == "from-context"


def test_the_namespace_is_the_pods_else_the_contexts_else_default(tmp_path: Path, service_account: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost"))

    assert default_namespace(str(path), service_account) == "the-pods"
    assert default_namespace(str(path), tmp_path / "absent") == "from-context"
    path.write_text(kubeconfig("http://localhost").replace(', "namespace": "from-context"', ""))
    assert default_namespace(str(path), tmp_path / "absent") == "default"
    assert default_namespace(str(tmp_path / "absent"), tmp_path / "absent") == "default"


def test_a_contexts_namespace_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost").replace("from-context", "From Context"))

    with pytest.raises(ClusterConfigInvalid, match="namespace"):
        default_namespace(str(path), tmp_path / "absent")


def test_a_pod_is_known_by_its_token(service_account: Path) -> None:
    assert not in_pod(service_account)
    (service_account / "token").write_text("secret")
    assert in_pod(service_account)


async def test_a_namespace_that_is_none_is_refused(tmp_path: Path, metrics: Metrics) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost"))

    with pytest.raises(ValueError, match="no namespace's name"):
        async with connect(str(path), namespace="../other", metrics=metrics):
            pass


@pytest.mark.real_cluster
async def test_a_pods_token_is_used_though_a_line_break_ends_it(
    real_cluster: RealCluster, service_account: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    real_cluster.install_crd()
    host, port = real_cluster.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    (service_account / "ca.crt").write_bytes(real_cluster.ca_file.read_bytes())
    (service_account / "token").write_text(real_cluster.token + "\n")

    async with connect(None, namespace=unique_namespace(), metrics=metrics, service_account=service_account) as api:
        assert await api.current_revision() > 0


async def test_a_pod_without_its_surroundings_is_a_misconfiguration(
    service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (service_account / "token").write_text("secret")

    with pytest.raises(ClusterConfigInvalid, match="service account"):
        await configuration(None, service_account=service_account)


# --- proxies


@pytest.mark.parametrize("written", ["http://user:secret@{}", " user:secret@{} "])
async def test_a_proxy_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics, written: str
) -> None:
    async with ScriptedCluster(get=[answer(resource("demo", 5))]) as proxy:
        (tmp_path / "kubeconfig").write_text(kubeconfig("http://cluster.example:8080", token="token"))
        monkeypatch.setenv("http_proxy", written.format(proxy.url.removeprefix("http://")))
        async with connect(str(tmp_path / "kubeconfig"), namespace="test", metrics=metrics) as api:
            await api.get("demo")

        (request,) = proxy.seen("get")
        assert request.url.host == "cluster.example"
        assert request.headers["Proxy-Authorization"] == "Basic dXNlcjpzZWNyZXQ="
        assert request.headers["Authorization"] == "Bearer token"


async def test_a_host_that_needs_no_proxy_is_reached_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    async with ScriptedCluster(get=[answer(resource("demo", 5))]) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "elsewhere.example,127.0.0.1")
        async with connect(str(tmp_path / "kubeconfig"), namespace="test", metrics=metrics) as api:
            assert (await api.get("demo"))["metadata"]["name"] == "demo"


async def test_a_kubeconfigs_proxy_goes_before_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = kubeconfig("http://localhost").replace('"server"', '"proxy-url": "http://proxy.example:3128", "server"')
    (tmp_path / "kubeconfig").write_text(named)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await configuration(str(tmp_path / "kubeconfig"))).proxy == "http://proxy.example:3128"


@pytest.mark.parametrize("server", ["https://[::1", "https://a:99999999", "https://a:x"])
async def test_an_address_of_the_cluster_that_is_none_is_a_misconfiguration(tmp_path: Path, server: str) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig(server))
    with pytest.raises(ClusterConfigInvalid, match=re.escape(server)):
        await configuration(str(tmp_path / "kubeconfig"))


@pytest.mark.parametrize(
    "value", ["http://", "http://:3128", "http://[", "http://secret@:x", "socks5://secret:1080", "ftp://secret"]
)
async def test_a_proxy_that_is_none_is_a_misconfiguration_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig("http://localhost"))
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(ClusterConfigInvalid, match="HTTP_PROXY") as raised:
        await configuration(str(tmp_path / "kubeconfig"))
    assert "secret" not in str(raised.value)


async def test_a_netrc_is_none_of_the_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with ScriptedCluster(get=[answer(resource("demo", 5))]) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig", token="token")
        async with connect(str(tmp_path / "kubeconfig"), namespace="test", metrics=metrics) as api:
            await api.get("demo")

        assert [request.headers["Authorization"] for request in cluster.seen("get")] == ["Bearer token"]


# --- credentials that change

CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}


async def token_of(found: Any) -> str | None:
    """Return what the next request would carry."""
    token: str | None = await found.get_api_key_with_prefix("BearerToken")
    return token


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost", tokenFile="token"))
    token.write_text("first\n")
    found = await configuration(str(path), refresh_period=0)
    assert await token_of(found) == "Bearer first"

    token.write_text("second\n")
    assert await token_of(found) == "Bearer second"


@pytest.fixture
def pod(service_account: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service account with all that makes a process one in a pod; the token is ``first``."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (service_account / "ca.crt").write_text("an authority")
    (service_account / "token").write_text("first\n")
    return service_account


async def test_a_pods_token_is_read_again_whatever_the_wall_clock_does(pod: Path) -> None:
    found = await configuration(None, service_account=pod, refresh_period=0)
    assert await token_of(found) == "Bearer first"

    for number, moment in enumerate(("2001-02-03", "2101-02-03", "2001-02-03")):
        (pod / "token").write_text(f"rotated-{number}\n")
        with time_machine.travel(moment):
            assert await token_of(found) == f"Bearer rotated-{number}"


async def test_a_pods_token_that_cannot_be_read_again_stays_in_use(pod: Path, logged: list[Any]) -> None:
    found = await configuration(None, service_account=pod, refresh_period=0)
    for spoil in ((pod / "token").unlink, (pod / "token").touch):
        spoil()
        assert await token_of(found) == "Bearer first"
    assert [entry["event"] for entry in logged] == ["cluster_credentials_not_refreshed"] * 2


async def test_a_pods_token_is_not_read_again_for_each_request(pod: Path) -> None:
    found = await configuration(None, service_account=pod)
    (pod / "token").write_text("second")
    assert await token_of(found) == "Bearer first"


async def test_a_token_that_cannot_be_read_again_stays_in_use(tmp_path: Path, logged: list[Any]) -> None:
    token, path = tmp_path / "token", tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost", tokenFile="token"))
    token.write_text("first\n")
    found = await configuration(str(path), refresh_period=0)

    token.unlink()
    assert await token_of(found) == "Bearer first"
    assert [entry["event"] for entry in logged] == ["cluster_credentials_not_refreshed"]


async def test_credentials_are_not_read_again_for_each_request(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost", tokenFile="token"))
    token.write_text("first")
    found = await configuration(str(path))

    token.write_text("second")
    assert await token_of(found) == "Bearer first"


def plugin_printing(tmp_path: Path, said: object) -> dict[str, Any]:
    """Return a kubeconfig's ``exec`` for a plugin that prints this as JSON; called again, it prints the new one."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"print({json.dumps(json.dumps(said))})")
    return {"apiVersion": CREDENTIAL["apiVersion"], "command": sys.executable, "args": [str(plugin)]}


async def test_a_plugin_is_asked_for_a_token(tmp_path: Path, metrics: Metrics) -> None:
    command = plugin_printing(tmp_path, {**CREDENTIAL, "status": {"token": "from-plugin"}})
    path = tmp_path / "kubeconfig"
    async with ScriptedCluster(get=[answer(resource("demo", 5))]) as cluster:
        cluster.write_kubeconfig(path, exec=command)
        async with connect(str(path), namespace="test", metrics=metrics) as api:
            await api.get("demo")

        assert [request.headers["Authorization"] for request in cluster.seen("get")] == ["Bearer from-plugin"]


NO_CREDENTIALS: list[object] = [
    None,
    [],
    {**CREDENTIAL, "status": None},
    *({**CREDENTIAL, "status": {"token": token}} for token in (None, "", " ", False, ["a"], {"a": 1})),
]


@pytest.mark.parametrize("said", NO_CREDENTIALS)
async def test_a_plugin_that_gives_no_token_is_a_misconfiguration_at_the_start(tmp_path: Path, said: object) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("http://localhost", exec=plugin_printing(tmp_path, said)))

    with pytest.raises(ClusterConfigInvalid, match=str(path)):
        await configuration(str(path))


@pytest.mark.parametrize("said", NO_CREDENTIALS)
async def test_a_plugin_that_gives_no_token_later_leaves_the_last_one_in_use(
    tmp_path: Path, logged: list[Any], said: object
) -> None:
    path = tmp_path / "kubeconfig"
    command = plugin_printing(tmp_path, {**CREDENTIAL, "status": {"token": "first"}})
    path.write_text(kubeconfig("http://localhost", exec=command))
    found = await configuration(str(path), refresh_period=0)

    plugin_printing(tmp_path, said)
    assert await token_of(found) == "Bearer first"
    assert [entry["event"] for entry in logged] == ["cluster_credentials_not_refreshed"]
    plugin_printing(tmp_path, {**CREDENTIAL, "status": {"token": "second"}})
    assert await token_of(found) == "Bearer second"
