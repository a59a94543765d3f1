"""What a write does not own, it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.api.bodies import FULL_DATA, body, unique

if TYPE_CHECKING:
    from tests.api.conftest import Deployment

FOREIGN: dict[str, Any] = {
    "metadata": {
        "annotations": {
            "example.com/team": "blue",
            "segment.grnry.io/of-the-operator": "kept too",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
        "labels": {"app.kubernetes.io/part-of": "marketing"},
        "finalizers": ["example.com/hold"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "7e1c38b0-6f1f-4f5e-9f0e-0d9d3e3f8a11"}
        ],
    }
}
STATUS = {"status": {"phase": "Running", "lastRun": {"at": "2020-03-18T18:08:31Z"}}}


async def stored_status(deployment: Deployment, name: str) -> Any:
    return (await deployment.resources.get(name)).get("status")


async def test_a_replace_keeps_annotations_labels_finalizers_owners_and_status(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(data=FULL_DATA, labels=["a"], description="d"), segment_id)
    await service.resources.patch(segment_id, FOREIGN)
    before = await service.resources.patch(segment_id, STATUS, status=True)
    assert (await service.editor.replace(segment_id, body("Changed"))).status == 200
    after = await service.resources.get(segment_id)
    assert FOREIGN["metadata"]["annotations"].items() <= after["metadata"]["annotations"].items()
    for field in ("labels", "finalizers", "ownerReferences", "uid", "creationTimestamp"):
        assert after["metadata"][field] == before["metadata"][field], field
    assert after.get("status") == before.get("status")
    assert after["metadata"]["annotations"]["segment.grnry.io/display-name"] == "Changed"


async def test_annotations_of_ours_that_say_nothing_any_more_go(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(labels=["a"], description="d"), segment_id)
    segment = (await service.editor.replace(segment_id, body())).json
    annotations = (await service.resources.get(segment_id))["metadata"]["annotations"]
    assert annotations.get("segment.grnry.io/description", "") == segment["metadata"]["description"] == ""
    assert annotations.get("segment.grnry.io/labels", "[]") == "[]"


async def test_what_changes_between_read_and_write_is_kept_too(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(), segment_id)
    for number in range(5):
        await service.resources.patch(segment_id, {"metadata": {"annotations": {"example.com/step": str(number)}}})
        assert (await service.editor.replace(segment_id, body(f"Change {number}"))).status == 200
        annotations = (await service.resources.get(segment_id))["metadata"]["annotations"]
        assert annotations["example.com/step"] == str(number)


async def test_what_kubectl_wrote_in_full_is_kept_but_for_what_the_body_says(service: Deployment) -> None:
    segment_id = unique()
    await service.resources.create(segment_id, labels={"made-by": "hand"})
    await service.editor.replace(segment_id, body("Changed"))
    resource = await service.resources.get(segment_id)
    assert resource["metadata"]["labels"] == {"made-by": "hand"}
    segment = (await service.editor.read(segment_id)).json
    assert segment["metadata"]["createdAt"] == resource["metadata"]["creationTimestamp"].removesuffix("Z") + ".000"
    assert segment["metadata"]["createdBy"] == {"name": "", "email": ""}


async def test_a_create_adds_nothing_of_its_own_beside_the_annotations(service: Deployment) -> None:
    segment_id = unique()
    await service.editor.create(body(), segment_id)
    metadata = (await service.resources.get(segment_id))["metadata"]
    assert not metadata.get("labels")
    assert not metadata.get("finalizers")
    assert not metadata.get("ownerReferences")
    assert all(key.startswith("segment.grnry.io/") for key in metadata["annotations"])
