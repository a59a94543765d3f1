"""Whether the API and the CustomResourceDefinition agree on what `data` may be, as a real API server judges."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsvc.domain.schema import data_problems
from tests.domain.strategies import env_names, objects, segment_test
from tests.support.envtest import RealCluster, unique_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    Store = Callable[[object], object]

pytestmark = pytest.mark.real_cluster

JOB: dict[str, Any] = {"cronjob": {"schedule": "@daily"}}
SECRET = {"secret": "grnry-pg", "key": "password"}


@pytest.fixture(scope="module")
def store(real_cluster: RealCluster) -> Store:
    """Return what the API server would store for a spec, None where it refuses."""
    real_cluster.install_crd()
    path = f"/apis/segment.grnry.io/v1alpha1/namespaces/{unique_namespace()}/segments"

    def create(spec: object) -> object:
        segment = {
            "apiVersion": "segment.grnry.io/v1alpha1",
            "kind": "Segment",
            "metadata": {"name": "demo"},
            "spec": spec,
        }
        status, answer = real_cluster.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", body=segment)
        assert status in {201, 400, 422}, answer
        return answer["spec"] if status == 201 else None

    return create


def each(path: str, *values: object) -> list[dict[str, Any]]:
    """Return good `data`, but for one of the values at this path."""
    return [with_(path, value) for value in values]


def with_(path: str, value: object) -> dict[str, Any]:
    """Return a good `data` but for the value at this path."""
    data = copy.deepcopy(JOB)
    *parents, last = path.split("/")
    inner = data
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return data


GOOD: list[dict[str, Any]] = [
    JOB,
    {"cronjob": {"schedule": "*/10 * * * *"}, "env": {}, "envFromSecrets": {}, "image": {}},
    *each("cronjob/concurrencyPolicy", "Allow", "Forbid", "Replace", "Always"),
    *each("cronjob/failedJobsHistoryLimit", 0, 1, 2**31 - 1),
    *each("cronjob/successfulJobsHistoryLimit", 0, 2**31 - 1),
    *(with_(f"env/{name}", "x") for name in ("A", "_", "-", ".", "a.b-c_9", "TYPE2", "type")),
    *each("env/A", "", " ", "\n", "a" * 1000, "客户 😀", "'\"\\", "\u0000"),
    *each("env/TYPE", "pivot", "generic", "flexible"),
    *each("env/DB_TYPE", "postgres", "citus"),
    with_("envFromSecrets/DB_USER", SECRET),
    with_("envFromSecrets/TYPE", SECRET),
    *each("image/pullPolicy", "Always", "IfNotPresent", "Never"),
    *each("image/restartPolicy", "OnFailure", "Never"),
    *(with_(f"image/{name}", "") for name in ("pullSecrets", "repository", "tag")),
]
BAD: list[object] = [
    *(None, [], "@daily", 1, True, {}),
    *each("cronjob", None, {}, [], "@daily", 1),
    *each("cronjob/schedule", None, "", 1, True, [], {}),
    *each("cronjob/concurrencyPolicy", "", "allow", "Never", 1),
    *each("cronjob/failedJobsHistoryLimit", -1, 2**31, 2**63, 10**30, 1.5, "1", True, []),
    *each("cronjob/successfulJobsHistoryLimit", -1, 2**31, 0.1, "", False),
    with_("cronjob/suspend", True),
    *each("env", [], "A=B", 1),
    *each("env/A", 1, True, 1.5, [], {}),
    *(with_(f"env/{name}", "x") for name in ("", " ", "1", "A B", "A=B", "Ä", "A\n", "A:")),
    *each("env/TYPE", "", "Pivot", "pivot ", 1),
    *each("env/DB_TYPE", "", "oracle", True),
    *each("envFromSecrets", [], "s", 1),
    *each("envFromSecrets/A", "s", {}, [], {"secret": "s"}, {"key": "k"}),
    *each("envFromSecrets/A/secret", "s", 1),
    *each("envFromSecrets/A/key", "k", 1),
    *each("envFromSecrets/A", *({**SECRET, "key": text} for text in ("", " ", "\n"))),
    *each("envFromSecrets/A", {**SECRET, "key": 1}, {**SECRET, "secret": "\t "}, {**SECRET, "optional": True}),
    *(with_(f"envFromSecrets/{name}", SECRET) for name in ("", "1", "A B")),
    *each("image", [], "r:t", 1),
    *each("image/pullPolicy", "", "always", 1),
    *each("image/restartPolicy", "", "Always", []),
    *(data for name in ("pullSecrets", "repository", "tag") for data in each(f"image/{name}", 1, [], {})),
    with_("image/name", "x"),
    with_("envFromSecretes", {}),
]

names = env_names | st.sampled_from(["TYPE", "DB_TYPE", "", "1", "A B", "ENV\n", "é"])
leaves: SearchStrategy[Any] = st.sampled_from(
    [*"ab", "", "pivot", "citus", "Always", "Never", "OnFailure", 0, 1, -1, 2**31, 1.5, True]
) | (st.text(max_size=4).filter(lambda text: not text or bool(text.strip())))
anything: SearchStrategy[Any] = (
    leaves | st.just([]) | st.just({}) | st.dictionaries(st.sampled_from(["key", "secret", "tag"]), leaves)
)
counts = st.sampled_from([0, 1, 2**31 - 1]) | anything
candidates = objects(
    {
        "cronjob": objects(
            {"schedule": st.just("@daily")},
            concurrencyPolicy=st.sampled_from(["Allow", "Always"]) | anything,
            failedJobsHistoryLimit=counts,
            successfulJobsHistoryLimit=counts,
        )
    },
    env=st.dictionaries(env_names, st.text(max_size=4), max_size=4) | st.dictionaries(names, anything, max_size=4),
    envFromSecrets=st.dictionaries(names, st.just(SECRET) | objects(secret=leaves, key=leaves) | anything, max_size=3),
    image=objects(pullPolicy=anything, restartPolicy=anything, tag=anything) | anything,
)


# Where the API is stricter than a schema can be, and what then is stored of a resource that is written with kubectl.
STRICTER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # no schedule of a CronJob: such a resource is incompatible
    *((data, data) for data in each("cronjob/schedule", " ", "daily", "60 * * * *", "TZ=UTC @daily")),
    # blank in Unicode's eyes but not in those of a pattern: such a resource is incompatible
    *((data, data) for data in each("envFromSecrets/A", {**SECRET, "key": "\u2003"}, {**SECRET, "secret": "\u00a0"})),
    # a whole number in another form, which the cluster makes one
    (with_("cronjob/failedJobsHistoryLimit", 1.0), with_("cronjob/failedJobsHistoryLimit", 1)),
    (with_("cronjob/successfulJobsHistoryLimit", 1e3), with_("cronjob/successfulJobsHistoryLimit", 1000)),
    # nothing, which the cluster drops
    (with_("env", None), JOB),
    (with_("env/A", None), with_("env", {})),
    (with_("envFromSecrets/A", None), with_("envFromSecrets", {})),
    (with_("image/tag", None), with_("image", {})),
    (with_("cronjob/concurrencyPolicy", None), JOB),
]


def test_what_the_api_takes_the_definition_takes_unchanged(store: Store) -> None:
    assert [data for data in GOOD if data_problems(data)] == []
    assert [store(data) for data in GOOD] == GOOD


def test_what_the_api_refuses_the_definition_refuses(store: Store) -> None:
    assert [data for data in BAD if not data_problems(data)] == []
    assert [data for data in BAD if store(data) is not None] == []


def test_what_only_the_api_refuses_is_known(store: Store) -> None:
    assert [data for data, _ in STRICTER if not data_problems(data)] == []
    assert [store(data) for data, _ in STRICTER] == [stored for _, stored in STRICTER]


@settings(segment_test, max_examples=200)
@given(data=candidates)
def test_they_agree_on_whatever_else_there_is(store: Store, data: dict[str, Any]) -> None:
    assert store(data) == (None if data_problems(data) else data)
