"""The manifests that a platform team applies fit each other and the service."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import segsvc
from segsvc.app import GRACE, STOP_SECONDS
from segsvc.cluster.writer import WRITE_SECONDS
from segsvc.settings import Settings
from tests.support.envtest import CRD_PATH

MANIFESTS = CRD_PATH.parent


def objects() -> dict[str, dict[str, Any]]:
    """Return what the kustomization applies, by kind."""
    found = [
        document
        for name in kustomization()["resources"]
        for document in yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8"))
    ]
    by_kind = {document["kind"]: document for document in found}
    assert len(by_kind) == len(found)
    return by_kind


def kustomization() -> dict[str, Any]:
    loaded = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture
def pod() -> dict[str, Any]:
    spec = objects()["Deployment"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def test_kustomization_applies_every_manifest_but_the_sample() -> None:
    others = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml", "sample.yaml"}
    assert sorted(kustomization()["resources"]) == sorted(others)


def test_kustomization_names_the_image_of_this_version(container: dict[str, Any]) -> None:
    (image,) = kustomization()["images"]
    assert image["name"] == container["image"]
    assert image["newTag"] == segsvc.__version__


def test_role_allows_exactly_what_the_service_does() -> None:
    assert objects()["Role"]["rules"] == [
        {
            "apiGroups": ["segment.grnry.io"],
            "resources": ["segments"],
            "verbs": ["get", "list", "watch", "create", "update", "delete"],
        }
    ]


def test_role_is_bound_to_the_account_that_the_pods_run_as(pod: dict[str, Any]) -> None:
    binding, account = objects()["RoleBinding"], objects()["ServiceAccount"]
    assert binding["roleRef"]["name"] == objects()["Role"]["metadata"]["name"]
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": account["metadata"]["name"],
            "namespace": kustomization()["namespace"],
        }
    ]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget"])
def test_selectors_match_the_pods(kind: str) -> None:
    labels = objects()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects()[kind]["spec"]["selector"]["matchLabels"] == labels
    assert objects()["Service"]["spec"]["selector"] == labels


def test_service_exposes_the_api_and_never_the_ops_port(container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [port["targetPort"] for port in objects()["Service"]["spec"]["ports"]] == ["api"]
    settings = Settings(oidc_issuer="https://issuer.example.com")
    assert ports == {"api": settings.port, "ops": settings.ops_port}


def test_probes_ask_the_ops_port(container: dict[str, Any]) -> None:
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {
        "livenessProbe": {"path": "/livez", "port": "ops"},
        "readinessProbe": {"path": "/readyz", "port": "ops"},
    }


def test_one_pod_of_several_may_go_at_a_time() -> None:
    assert objects()["Deployment"]["spec"]["replicas"] >= 2
    assert objects()["PodDisruptionBudget"]["spec"]["minAvailable"] == 1


def test_pods_run_without_privileges(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_settings_of_the_pods_are_settings_of_the_service(container: dict[str, Any]) -> None:
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = Settings.from_environment(environment)
    assert settings.oidc_issuer == environment.pop("SEGSVC_OIDC_ISSUER")
    assert settings.oidc_client == environment.pop("SEGSVC_OIDC_CLIENT")
    assert settings.trusted_hosts == {environment.pop("SEGSVC_TRUSTED_HOSTS")}
    assert not environment


def test_kubernetes_does_not_overwrite_the_port_with_the_services_address(pod: dict[str, Any]) -> None:
    # A Service called segsvc would put SEGSVC_PORT=tcp://... into every pod of its namespace.
    assert pod["enableServiceLinks"] is False


def test_the_pod_has_time_to_stop_in(pod: dict[str, Any], container: dict[str, Any]) -> None:
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert STOP_SECONDS < 15
    assert 2 * GRACE >= WRITE_SECONDS  # so callers of writes in flight hear of them
    assert int(seconds) + STOP_SECONDS < pod["terminationGracePeriodSeconds"]
