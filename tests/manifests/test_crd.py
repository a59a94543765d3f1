"""What a real API server makes of the CustomResourceDefinition."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.envtest import CRD_PATH, CRDS, RealCluster, unique_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = tuple[int, Any]
    Create = Callable[[Any], Answer]

CRD = yaml.safe_load(CRD_PATH.read_text(encoding="utf-8"))
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

FULL_SPEC = {
    "cronjob": {
        "schedule": "*/10 * * * *",
        "concurrencyPolicy": "Always",
        "failedJobsHistoryLimit": 0,
        "successfulJobsHistoryLimit": 2147483647,
    },
    "env": {
        "TYPE": "flexible",
        "DB_TYPE": "citus",
        "TARGET_SEGMENT_NAME": "eventstore_demo_seg",
        "TARGET_SCHEMA_NAME": "segments",
        "SOURCE_WHERE_CLAUSE": "",
        "lower-case.and_more-9": "text with 'quotes', newlines\nand ünïcode",
        "-": "a name of one sign",
    },
    "envFromSecrets": {"DB_USER": {"secret": "grnry-pg", "key": "postgresql-username"}},
    "image": {
        "pullPolicy": "Never",
        "pullSecrets": "registry-token",
        "repository": "registry.example.com/segment-table-creation",
        "restartPolicy": "OnFailure",
        "tag": "0.7.0",
    },
}


class TestSchema:
    """The definition as a text."""

    def test_is_carried_by_the_package(self) -> None:
        assert (files("segsvc.devcluster") / "crd.yaml").read_bytes() == CRD_PATH.read_bytes()

    def test_describes_every_field_for_kubectl_explain(self) -> None:
        def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
            inner = dict(schema.get("properties", {}))
            inner |= schema.get("additionalProperties", {}).get("properties", {})
            for name, field in inner.items():
                yield f"{path}.{name}", field
                yield from fields(field, f"{path}.{name}")

        undescribed = [path for path, field in fields(SCHEMA, "") if not field.get("description")]
        # Kubernetes describes metadata itself and refuses that a definition does.
        assert undescribed == [".metadata"]


@pytest.fixture(scope="module")
def cluster(real_cluster: RealCluster) -> RealCluster:
    real_cluster.install_crd()
    return real_cluster


@pytest.fixture
def collection() -> str:
    return f"/apis/segment.grnry.io/v1alpha1/namespaces/{unique_namespace()}/segments"


@pytest.fixture
def create(cluster: RealCluster, collection: str) -> Create:
    """Create a segment of a spec with strict field validation."""

    def post(spec: object) -> Answer:
        segment = {
            "apiVersion": "segment.grnry.io/v1alpha1",
            "kind": "Segment",
            "metadata": {"name": "demo", "annotations": {"segment.grnry.io/display-name": "Demo Segment"}},
            "spec": spec,
        }
        return cluster.request("POST", f"{collection}?fieldValidation=Strict", body=segment)

    return post


@pytest.mark.real_cluster
class TestOnARealApiServer:
    """The definition and resources of it, served."""

    def test_the_definition_is_accepted_as_structural(self, cluster: RealCluster) -> None:
        _, crd = cluster.request("GET", f"{CRDS}/{CRD['metadata']['name']}")
        conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        assert crd["spec"]["versions"] == CRD["spec"]["versions"]

    def test_keeps_all_that_a_segment_may_have(self, create: Create) -> None:
        status, segment = create(FULL_SPEC)
        assert status == 201, segment
        assert segment["spec"] == FULL_SPEC

    @pytest.mark.parametrize(
        "spec",
        [
            {"cronjob": {"schedule": "@daily"}},
            {"cronjob": {"schedule": "@daily"}, "env": {}, "envFromSecrets": {}, "image": {}},
            *({"cronjob": {"schedule": "@daily"}, "env": {"TYPE": kind}} for kind in ("pivot", "generic", "flexible")),
            *({"cronjob": {"schedule": "@daily"}, "env": {"DB_TYPE": kind}} for kind in ("postgres", "citus")),
            *(
                {"cronjob": {"schedule": "@daily", "concurrencyPolicy": policy}}
                for policy in ("Allow", "Forbid", "Replace", "Always")
            ),
            *(
                {"cronjob": {"schedule": "@daily"}, "image": {"pullPolicy": policy}}
                for policy in ("Always", "IfNotPresent", "Never")
            ),
            *(
                {"cronjob": {"schedule": "@daily"}, "image": {"restartPolicy": policy}}
                for policy in ("OnFailure", "Never")
            ),
        ],
    )
    def test_accepts_without_adding_defaults(self, create: Create, spec: dict[str, Any]) -> None:
        status, segment = create(spec)
        assert status == 201, segment
        assert segment["spec"] == spec

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"cronjob": None}, "spec.cronjob"),
            ({"cronjob": {}}, "spec.cronjob.schedule"),
            ({"cronjob": {"schedule": ""}}, "spec.cronjob.schedule"),
            ({"cronjob": {"schedule": 5}}, "spec.cronjob.schedule"),
            ({"cronjob": "@daily"}, "spec.cronjob"),
            ({"cronjob": {"schedule": "@daily", "concurrencyPolicy": "allow"}}, "spec.cronjob.concurrencyPolicy"),
            ({"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": -1}}, "spec.cronjob.failedJobsHistoryLimit"),
            ({"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": "1"}}, "spec.cronjob.failedJobsHistoryLimit"),
            ({"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": 1.5}}, "spec.cronjob.failedJobsHistoryLimit"),
            (
                {"cronjob": {"schedule": "@daily", "successfulJobsHistoryLimit": 2**31}},
                "spec.cronjob.successfulJobsHistoryLimit",
            ),
            (
                {"cronjob": {"schedule": "@daily", "successfulJobsHistoryLimit": True}},
                "spec.cronjob.successfulJobsHistoryLimit",
            ),
            ({"env": []}, "spec.env"),
            ({"env": {"DEBUG": True}}, "spec.env.DEBUG"),
            ({"env": {"DB_PORT": 5432}}, "spec.env.DB_PORT"),
            ({"env": {"TYPE": "Pivot"}}, "spec.env"),
            ({"env": {"TYPE": ""}}, "spec.env"),
            ({"env": {"DB_TYPE": "oracle"}}, "spec.env"),
            ({"env": {"": "empty name"}}, "spec.env"),
            ({"env": {"1ST": "digit first"}}, "spec.env"),
            ({"env": {"A B": "space"}}, "spec.env"),
            ({"env": {"NAME\n": "newline"}}, "spec.env"),
            ({"env": {"GRÖSSE": "umlaut"}}, "spec.env"),
            ({"envFromSecrets": {"1ST": {"secret": "s", "key": "k"}}}, "spec.envFromSecrets"),
            ({"envFromSecrets": {"A": "s"}}, "spec.envFromSecrets.A"),
            ({"envFromSecrets": {"A": {"secret": "s"}}}, "spec.envFromSecrets.A.key"),
            ({"envFromSecrets": {"A": {"key": "k"}}}, "spec.envFromSecrets.A.secret"),
            ({"envFromSecrets": {"A": {"secret": "", "key": "k"}}}, "spec.envFromSecrets.A.secret"),
            ({"envFromSecrets": {"A": {"secret": "s", "key": " "}}}, "spec.envFromSecrets.A.key"),
            ({"image": "repository:tag"}, "spec.image"),
            ({"image": {"pullPolicy": "always"}}, "spec.image.pullPolicy"),
            ({"image": {"restartPolicy": "Always"}}, "spec.image.restartPolicy"),
            ({"image": {"pullSecrets": ["a"]}}, "spec.image.pullSecrets"),
            ({"image": {"repository": 1}}, "spec.image.repository"),
            ({"image": {"tag": 0.7}}, "spec.image.tag"),
        ],
        ids=str,
    )
    def test_refuses_a_wrong_value_and_names_it(self, create: Create, wrong: dict[str, Any], field: str) -> None:
        status, answer = create({"cronjob": {"schedule": "@daily"}} | wrong)
        assert status == 422, answer
        assert field in {cause["field"] for cause in answer["details"]["causes"]}

    @pytest.mark.parametrize(
        ("spec", "unknown"),
        [
            ({"cronjob": {"schedule": "@daily"}, "envFromSecretes": {}}, "spec.envFromSecretes"),
            ({"cronjob": {"schedule": "@daily", "suspend": True}}, "spec.cronjob.suspend"),
            ({"cronjob": {"schedule": "@daily"}, "image": {"name": "x"}}, "spec.image.name"),
            (
                {"cronjob": {"schedule": "@daily"}, "envFromSecrets": {"A": {"secret": "s", "key": "k", "name": "n"}}},
                "spec.envFromSecrets.A.name",
            ),
        ],
        ids=str,
    )
    def test_knows_no_other_fields(self, create: Create, spec: dict[str, Any], unknown: str) -> None:
        status, answer = create(spec)
        assert status == 400, answer
        assert f'unknown field "{unknown}"' in answer["message"]

    @pytest.mark.parametrize("spec", [None, "text", []])
    def test_refuses_a_segment_without_a_job(self, create: Create, spec: object) -> None:
        assert create(spec)[0] == 422

    def test_leaves_the_status_to_the_operator(self, cluster: RealCluster, collection: str, create: Create) -> None:
        _, segment = create(FULL_SPEC)
        segment["status"] = {"lastRun": {"at": "2020-03-18T18:08:31Z", "rows": 12}}
        item = f"{collection}/demo"
        assert cluster.request("PUT", f"{item}/status?fieldValidation=Strict", body=segment)[0] == 200
        _, stored = cluster.request("GET", item)
        assert stored["status"] == segment["status"]
        stored["status"] = {"lastRun": None}
        _, replaced = cluster.request("PUT", item, body=stored)
        assert replaced["status"] == segment["status"]

    def test_shows_in_columns_what_a_person_on_call_wants(
        self, cluster: RealCluster, collection: str, create: Create
    ) -> None:
        create(FULL_SPEC)
        _, table = cluster.request("GET", collection, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
        columns = [column["name"] for column in table["columnDefinitions"]]
        wide = {column["name"] for column in table["columnDefinitions"] if column["priority"] > 0}
        assert columns == ["Name", "Schedule", "Type", "Target", "Age", "Schema", "Display Name"]
        assert wide == {"Schema", "Display Name"}
        row = dict(zip(columns, table["rows"][0]["cells"], strict=True))
        assert row.pop("Age")
        assert row == {
            "Name": "demo",
            "Schedule": "*/10 * * * *",
            "Type": "flexible",
            "Target": "eventstore_demo_seg",
            "Schema": "segments",
            "Display Name": "Demo Segment",
        }

    def test_accepts_the_sample(self, cluster: RealCluster, collection: str) -> None:
        sample = yaml.safe_load((CRD_PATH.parent / "sample.yaml").read_text(encoding="utf-8"))
        status, segment = cluster.request("POST", f"{collection}?fieldValidation=Strict", body=sample)
        assert status == 201, segment
        assert segment["spec"] == sample["spec"]
