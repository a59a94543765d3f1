"""Resources that hold no valid segment, and those being deleted: in no response, counted in no total, left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import SCHEDULE, body
from tests.api.clusters import DISPLAY_NAME, GROUP, revision_of

if TYPE_CHECKING:
    from tests.api.conftest import Deployment

HOLD = "example.com/hold"

BAD_ANNOTATIONS = {
    "no-annotations": {},
    "no-display-name": {f"{GROUP}/description": "d"},
    "empty-display-name": {DISPLAY_NAME: ""},
    "blank-display-name": {DISPLAY_NAME: " \t\n"},
    **{
        f"bad-{key}-{number}": {DISPLAY_NAME: "x", f"{GROUP}/{key}": text}
        for key, texts in {
            "roles": ["", "admin", "[]", "null", '{"editor": "admin"}', '{"viewer": [1]}', '{"editor": null}', "{"],
            "labels": ["", "a,b", "{}", '"a"', '["a", 1]', "null"],
            "created-at": [
                "",
                "yesterday",
                "2020-03-18",
                "2020-03-18T18:08:31",
                "2020-03-18T18:08:31.850Z",
                "2020-03-18T18:08:31.850+01:00",
                "2020-03-18 18:08:31.850",
                "2020-02-30T18:08:31.850",
                "2020-03-18T18:08:31.850\n",
                "1584554911850",
            ],
            "modified-at": ["", "never", "2020-13-18T18:08:31.850"],
            "created-by": ["", "foo", '"foo"', "[]", '{"name": 5}', '{"name": "x", "email": null}'],
            "modified-by": ["null", '{"email": ["x"]}'],
        }.items()
        for number, text in enumerate(texts)
    },
}
BAD_SPECS: dict[str, dict[str, Any]] = {
    "bad-schedule": {"cronjob": {"schedule": "never"}},
    "six-fields": {"cronjob": {"schedule": "* * * * * *"}},
    "time-zone": {"cronjob": {"schedule": "TZ=UTC * * * * *"}},
    "blank-schedule": {"cronjob": {"schedule": " "}},
}


async def assert_hidden(deployment: Deployment, name: str) -> None:
    for answer in (
        await deployment.editor.read(name),
        await deployment.editor.read(name, export="true"),
        await deployment.editor.replace(name, body()),
        await deployment.editor.replace(name, body(), headers={"If-Match": "*"}),
        await deployment.editor.delete(name),
    ):
        assert answer.status == 404, name
        assert answer.json["message"] == f"Segment with ID '{name}' not found."
    if len(name) > 3:
        conflict = await deployment.editor.create(body("Mine"), name)
        assert conflict.status == 409, name
        assert conflict.json["message"] == "Segment 'Mine' already exists."


async def test_none_of_them_shows_or_is_touched_and_none_harms_another(alone: Deployment) -> None:
    good = await alone.editor.create(body("Good"), "good")
    made = [await alone.resources.create(name, annotations=bad) for name, bad in BAD_ANNOTATIONS.items()]
    made += [await alone.resources.create(name, spec=spec) for name, spec in BAD_SPECS.items()]
    revision = revision_of(made[-1])
    page = await alone.editor.list(minRevision=revision)
    assert page.ids == ["good"]
    assert page.json["totalCount"] == 1
    assert page.headers["X-Total-Count"] == "1"
    for resource in made:
        name = resource["metadata"]["name"]
        await assert_hidden(alone, name)
        assert revision_of(await alone.resources.get(name)) == revision_of(resource), name
    assert (await alone.editor.list(search="bad")).json["totalCount"] == 0
    assert (await alone.editor.read("good")).etag == good.etag


async def test_they_are_counted_in_a_metric(alone: Deployment) -> None:
    before = await alone.metric("segsvc_incompatible_resources_total")
    await alone.resources.create("bad", annotations={})
    resource = await alone.resources.create("good")
    await alone.editor.list(minRevision=revision_of(resource))
    assert await alone.metric("segsvc_incompatible_resources_total") == before + 1
    assert await alone.metric("segsvc_segments") == 1
    assert await alone.metric("segsvc_hidden_resources") == 1


@pytest.mark.parametrize("fill", ["list", "watch"])
async def test_a_start_meets_them_as_a_watch_does(alone: Deployment, deploy: Any, fill: str) -> None:
    if fill == "list":
        await alone.resources.create("bad", annotations={})
        await alone.resources.create("good")
    async with deploy(namespace=alone.namespace) as other:
        if fill == "watch":
            await alone.resources.create("bad", annotations={})
            await alone.resources.create("good")
        page = await other.editor.list(minRevision=await alone.resources.revision())
        assert (page.ids, page.json["totalCount"]) == (["good"], 1)
        await assert_hidden(other, "bad")


async def test_one_that_becomes_incompatible_vanishes_and_comes_back_when_it_is_repaired(alone: Deployment) -> None:
    created = await alone.editor.create(body(), "some-segment")
    broken = await alone.resources.annotate("some-segment", labels="not json")
    assert (await alone.editor.read("some-segment", minRevision=revision_of(broken))).status == 404
    assert (await alone.editor.list()).json["totalCount"] == 0
    await assert_hidden(alone, "some-segment")
    repaired = await alone.resources.annotate("some-segment", labels=None)
    again = await alone.editor.read("some-segment", minRevision=revision_of(repaired))
    assert (again.status, again.etag) == (200, created.etag)
    assert (await alone.editor.list()).json["totalCount"] == 1


async def test_it_is_the_cluster_that_tells_not_the_index(alone: Deployment) -> None:
    await alone.editor.create(body(), "some-segment")
    await alone.resources.annotate("some-segment", display_name=" ")
    assert (await alone.editor.replace("some-segment", body())).status == 404
    await alone.resources.annotate("some-segment", display_name="Fine")
    assert (await alone.editor.replace("some-segment", body())).status == 200
    await alone.resources.annotate("some-segment", display_name=" ")
    assert (await alone.editor.delete("some-segment")).status == 404
    assert await alone.resources.names() == ["some-segment"]


class TestBeingDeleted:
    """A deletionTimestamp, while finalizers keep the resource."""

    async def test_one_that_kubectl_deleted_is_hidden_until_its_finalizers_go(self, alone: Deployment) -> None:
        await alone.resources.create("held", finalizers=[HOLD])
        await alone.resources.create("other")
        leaving = await alone.resources.delete("held")
        assert leaving["metadata"]["deletionTimestamp"]
        page = await alone.editor.list(minRevision=revision_of(leaving))
        assert (page.ids, page.json["totalCount"]) == (["other"], 1)
        await assert_hidden(alone, "held")
        assert revision_of(await alone.resources.get("held")) == revision_of(leaving)
        await alone.resources.patch("held", {"metadata": {"finalizers": None}})
        assert (await alone.editor.create(body(), "held")).status == 200

    async def test_one_that_the_api_deletes_is_gone_from_it_at_once(self, alone: Deployment) -> None:
        await alone.resources.create("held", finalizers=[HOLD])
        gone = await alone.editor.delete("held")
        assert (gone.status, gone.body) == (204, b"")
        assert gone.revision == revision_of(await alone.resources.get("held"))
        assert (await alone.editor.list()).json["totalCount"] == 0
        await assert_hidden(alone, "held")
        assert await alone.resources.names() == ["held"]
        assert (await alone.editor.list(minRevision=gone.revision)).json["totalCount"] == 0
        await alone.resources.patch("held", {"metadata": {"finalizers": None}})
        assert await alone.resources.names() == []
        again = await alone.editor.create(body("Again"), "held")
        assert again.status == 200
        assert (await alone.editor.read("held", minRevision=again.revision)).etag == again.etag

    async def test_a_change_while_it_is_leaving_does_not_bring_it_back(self, alone: Deployment) -> None:
        await alone.resources.create("held", finalizers=[HOLD])
        await alone.editor.delete("held")
        changed = await alone.resources.annotate("held", description="still here")
        assert (await alone.editor.read("held", minRevision=revision_of(changed))).status == 404
        assert SCHEDULE in str(changed["spec"])
