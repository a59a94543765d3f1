"""The calls, on clusters in good health."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from segsvc.cluster.errors import AlreadyExists, Cause, Conflict, InvalidResource, ResourceNotFound, ResourceTooLarge
from segsvc.index.entry import Version
from tests.api.clusters import Resources, revision_of
from tests.cluster.conftest import listed, sample

if TYPE_CHECKING:
    from segsvc.cluster.api import SegmentApi, WatchEvent
    from segsvc.telemetry import Metrics
    from tests.cluster.conftest import Connect
    from tests.support.faults import Relay


def a_resource(name: str, *, spec: object = None, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "segment.grnry.io/v1alpha1",
        "kind": "Segment",
        "metadata": {"name": name, "annotations": {"segment.grnry.io/display-name": name, **annotations}},
        "spec": {"cronjob": {"schedule": "*/10 * * * *"}} if spec is None else spec,
    }


def version_of(resource: dict[str, Any]) -> Version:
    return Version(resource["metadata"]["uid"], revision_of(resource))


async def test_a_list_comes_in_pages_that_show_one_state(api: SegmentApi, resources: Resources) -> None:
    for name in ("aaa1", "bbb2", "ccc3"):
        await resources.create(name)

    first, middle = await listed(api, limit=2)
    await resources.create("ddd4")
    second, end = await listed(api, limit=2, continue_token=middle.continue_token)

    assert [item["metadata"]["name"] for item in first + second] == ["aaa1", "bbb2", "ccc3"]
    assert middle.continue_token is not None
    assert end.continue_token is None
    assert middle.revision == end.revision < await resources.revision()


async def test_the_current_revision_is_that_of_the_last_change(api: SegmentApi, resources: Resources) -> None:
    created = await resources.create("demo")

    assert await api.current_revision() >= revision_of(created)


async def test_a_watch_tells_what_happened_since_a_revision(api: SegmentApi, resources: Resources) -> None:
    await resources.create("before")
    start = await api.current_revision()
    created = await resources.create("demo")
    changed = await resources.annotate("demo", description="changed")
    await resources.delete("demo")

    told: list[WatchEvent] = []
    async with aclosing(api.watch(revision=start, timeout_seconds=60)) as events:
        async for event in events:
            if event.type != "BOOKMARK":
                told.append(event)
            if event.type == "DELETED":
                break

    assert [event.type for event in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert [revision_of(event.object) for event in told[:2]] == [revision_of(created), revision_of(changed)]
    assert revision_of(told[2].object) > revision_of(changed)


async def test_a_watch_ends_well_when_its_time_is_up_and_says_how_far_it_got(
    api: SegmentApi, resources: Resources
) -> None:
    await resources.create("demo")
    start = await api.current_revision()

    events = [event async for event in api.watch(revision=start, timeout_seconds=1)]

    assert {event.type for event in events} <= {"BOOKMARK"}


async def test_a_resource_is_created_found_replaced_and_deleted(api: SegmentApi) -> None:
    created = await api.create(a_resource("demo"), dry_run=False)
    assert await api.get("demo") == created

    created["metadata"]["annotations"]["segment.grnry.io/description"] = "changed"
    replaced = await api.replace("demo", created, dry_run=False)
    assert (await api.get("demo"))["metadata"]["annotations"]["segment.grnry.io/description"] == "changed"

    assert (await api.delete("demo", version=version_of(replaced), dry_run=False))["kind"] == "Status"
    with pytest.raises(ResourceNotFound):
        await api.get("demo")


async def test_writes_are_made_in_our_name_and_validated_strictly(connected: Connect, relay: Relay) -> None:
    async with connected(relay) as api:
        created = await api.create(a_resource("demo"), dry_run=False)
        await api.replace("demo", created, dry_run=False)

    for call in relay.writes:
        assert "fieldManager=segsvc" in call.target
        assert "fieldValidation=Strict" in call.target


async def test_dry_runs_answer_as_if_and_leave_everything_as_it_was(api: SegmentApi) -> None:
    assert (await api.create(a_resource("other"), dry_run=True))["metadata"]["name"] == "other"
    created = await api.create(a_resource("demo"), dry_run=False)
    changed = {**created, "spec": {"cronjob": {"schedule": "@daily"}}}

    assert (await api.replace("demo", changed, dry_run=True))["spec"] == {"cronjob": {"schedule": "@daily"}}
    await api.delete("demo", version=version_of(created), dry_run=True)

    assert (await listed(api))[0] == [created]


async def test_a_name_that_is_taken_is_not_created_again(api: SegmentApi, resources: Resources) -> None:
    await resources.create("demo")
    await resources.create("leaving", finalizers=["example.com/hold"])
    await resources.delete("leaving")

    for name in ("demo", "leaving"):
        with pytest.raises(AlreadyExists):
            await api.create(a_resource(name), dry_run=False)


async def test_a_version_that_is_outdated_is_neither_replaced_nor_deleted(
    api: SegmentApi, resources: Resources
) -> None:
    created = await resources.create("demo")
    await resources.annotate("demo", description="newer")

    with pytest.raises(Conflict):
        await api.replace("demo", created, dry_run=False)
    with pytest.raises(Conflict):
        await api.delete("demo", version=version_of(created), dry_run=False)

    assert (await resources.get("demo"))["metadata"]["annotations"]["segment.grnry.io/description"] == "newer"


async def test_an_object_that_replaced_another_of_its_name_is_not_deleted_in_its_place(
    api: SegmentApi, resources: Resources
) -> None:
    created = await resources.create("demo")
    await resources.delete("demo")
    await resources.create("demo")

    with pytest.raises(Conflict):
        await api.delete("demo", version=version_of(created), dry_run=False)

    assert await resources.names() == ["demo"]


async def test_what_is_absent_is_not_found(api: SegmentApi) -> None:
    absent = {**a_resource("demo"), "metadata": {**a_resource("demo")["metadata"], "resourceVersion": "1"}}
    with pytest.raises(ResourceNotFound):
        await api.get("demo")
    with pytest.raises(ResourceNotFound):
        await api.delete("demo", version=Version("uid", 1), dry_run=False)
    with pytest.raises((ResourceNotFound, Conflict)):
        await api.replace("demo", absent, dry_run=False)


async def test_a_delete_that_finalizers_hold_up_returns_the_resource(api: SegmentApi, resources: Resources) -> None:
    created = await resources.create("demo", finalizers=["example.com/hold"])

    answer = await api.delete("demo", version=version_of(created), dry_run=False)

    assert answer["kind"] == "Segment"
    assert answer["metadata"]["deletionTimestamp"]


async def test_what_the_schema_refuses_is_named_field_by_field(api: SegmentApi) -> None:
    with pytest.raises(InvalidResource) as refused:
        await api.create(a_resource("demo", spec={"cronjob": {"schedule": 5}, "env": {"A": 7}}), dry_run=False)

    assert {cause.field for cause in refused.value.causes} == {"spec.cronjob.schedule", "spec.env.A"}
    assert all(cause.message for cause in refused.value.causes)


async def test_an_unknown_field_is_refused_rather_than_dropped(api: SegmentApi) -> None:
    resource = a_resource("demo", spec={"cronjob": {"schedule": "@daily"}, "extra": 1})
    with pytest.raises(InvalidResource) as refused:
        await api.create(resource, dry_run=False)

    assert refused.value.causes == (Cause("spec.extra", "unknown field"),)


# the client library hands the HTTP client a string, which warns of a megabyte's cost
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("size", [1_700_000, 3_500_000])
async def test_what_is_more_than_the_cluster_stores_is_too_large(api: SegmentApi, size: int) -> None:
    resource = a_resource("demo", spec={"cronjob": {"schedule": "@daily"}, "env": {"A": "x" * size}})
    with pytest.raises(ResourceTooLarge):
        await api.create(resource, dry_run=False)


async def test_annotations_that_are_too_long_are_named(api: SegmentApi) -> None:
    resource = a_resource("demo", **{"segment.grnry.io/description": "x" * 300_000})
    with pytest.raises(InvalidResource) as refused:
        await api.create(resource, dry_run=False)

    assert [cause.field for cause in refused.value.causes] == ["metadata.annotations"]


@pytest.mark.parametrize("segment_id", ["", ".", "..", "a/b", "demo\n", "DEMO", "ä", "%2E", "a" * 254])
async def test_what_is_no_name_reaches_no_call(connected: Connect, relay: Relay, segment_id: str) -> None:
    async with connected(relay) as api:
        with pytest.raises(ValueError, match="no resource's name"):
            await api.get(segment_id)
        with pytest.raises(ValueError, match="no resource's name"):
            await api.delete(segment_id, version=Version("uid", 1), dry_run=False)
        with pytest.raises(ValueError, match="no resource's name"):
            await api.replace(segment_id, a_resource("demo"), dry_run=False)
        with pytest.raises(ValueError, match="no resource's name"):
            await api.create(a_resource(segment_id), dry_run=False)

    assert relay.calls == []


async def test_calls_are_measured_by_verb_and_outcome(api: SegmentApi, metrics: Metrics) -> None:
    await api.current_revision()
    with pytest.raises(ResourceNotFound):
        await api.get("demo")

    name = "segsvc_cluster_request_duration_seconds_count"
    assert sample(metrics, name, verb="list", outcome="ok") == 1
    assert sample(metrics, name, verb="get", outcome="ResourceNotFound") == 1
