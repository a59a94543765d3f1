"""ETag, If-None-Match and If-Match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.clusters import revision_of

if TYPE_CHECKING:
    from tests.api.client import Answer, Client
    from tests.api.conftest import Deploy, Deployment

GZIP = {"Accept-Encoding": "gzip"}
LONG = "A description of more than a kibibyte. " * 40


async def created(client: Client, **changes: Any) -> Answer:
    answer = await client.create(body(**changes), unique())
    assert answer.status == 200
    return answer


class TestTags:
    """What an ETag stands for: what the caller sees, and nothing else."""

    async def test_a_write_answers_with_the_tag_that_a_read_has(self, editor: Client) -> None:
        answer = await created(editor)
        segment_id = answer.json["id"]
        assert (await editor.read(segment_id)).etag == answer.etag
        replaced = await editor.replace(segment_id, body("Another"))
        assert replaced.etag != answer.etag
        assert (await editor.read(segment_id)).etag == replaced.etag

    async def test_segments_of_the_same_content_have_different_tags(self, editor: Client) -> None:
        assert (await created(editor)).etag != (await created(editor)).etag

    async def test_an_export_has_a_tag_of_its_own(self, editor: Client) -> None:
        answer = await created(editor)
        export = await editor.read(answer.json["id"], export="true")
        assert export.etag != answer.etag
        again = await editor.read(answer.json["id"], export="true", headers={"If-None-Match": export.etag})
        assert again.status == 304

    async def test_another_replica_and_a_restarted_one_agree(self, deploy: Deploy) -> None:
        async with deploy() as first:
            answer = await created(first.editor, description=LONG)
            segment_id = answer.json["id"]
            await created(first.editor)
            page = await first.editor.list()
            async with deploy(namespace=first.namespace) as second:
                other = second.editor
                assert (await other.read(segment_id)).etag == answer.etag
                assert (await other.list()).etag == page.etag
                zipped = await other.read(segment_id, headers=GZIP)
                assert zipped.etag == (await first.editor.read(segment_id, headers=GZIP)).etag
                assert zipped.body == (await first.editor.read(segment_id, headers=GZIP)).body or (
                    zipped.json["links"] != page.json["links"]
                )
        async with deploy(namespace=first.namespace) as restarted:
            assert (await restarted.editor.read(segment_id)).etag == answer.etag
            assert (await restarted.editor.list()).etag == page.etag

    async def test_the_gateway_and_a_direct_caller_see_the_same_tag(self, deploy: Deploy) -> None:
        gateway = {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/v1"}
        async with deploy(trusted_hosts=frozenset({"api.example.com"})) as deployment:
            answer = await created(deployment.editor)
            segment_id = answer.json["id"]
            direct = await deployment.editor.read(segment_id)
            forwarded = await deployment.editor.read(segment_id, headers=gateway)
            assert direct.json["links"] != forwarded.json["links"]
            assert direct.etag == forwarded.etag == answer.etag
            direct, forwarded = await deployment.editor.list(), await deployment.editor.list(headers=gateway)
            assert direct.json["links"] != forwarded.json["links"]
            assert direct.etag == forwarded.etag

    async def test_another_host_header_changes_nothing(self, service: Deployment, editor: Client) -> None:
        answer = await created(editor)
        other = await editor.read(answer.json["id"], headers={"Host": "segments.internal:8080"})
        assert other.json["links"]["self"].startswith("http://segments.internal:8080/segments/")
        assert other.etag == answer.etag

    async def test_a_status_update_and_foreign_annotations_do_not_show(self, alone: Deployment) -> None:
        answer = await created(alone.editor)
        segment_id = answer.json["id"]
        page = await alone.editor.list()
        foreign = {"metadata": {"annotations": {"example.com/team": "blue"}, "labels": {"app": "x"}}}
        await alone.resources.patch(segment_id, foreign)
        resource = await alone.resources.patch(segment_id, {"status": {"phase": "Running"}}, status=True)
        revision = revision_of(resource)
        assert revision > answer.revision
        assert (await alone.editor.read(segment_id, minRevision=revision)).etag == answer.etag
        assert (await alone.editor.list(minRevision=revision)).etag == page.etag
        assert (await alone.editor.replace(segment_id, body("New"), headers={"If-Match": answer.etag})).status == 200

    async def test_a_change_of_a_segment_on_another_page_does_not_show(self, alone: Deployment) -> None:
        for name in ("seg-1", "seg-2", "seg-3"):
            await alone.editor.create(body(), name)
        first, second = await alone.editor.list(pagesize=2), await alone.editor.list(pagesize=2, offset=2)
        await alone.editor.replace("seg-3", body("Changed"))
        assert (await alone.editor.list(pagesize=2)).etag == first.etag
        assert (await alone.editor.list(pagesize=2, offset=2)).etag != second.etag

    async def test_the_total_shows(self, alone: Deployment) -> None:
        await alone.editor.create(body(), "seg-1")
        page = await alone.editor.list(pagesize=1)
        await alone.editor.create(body(), "seg-2")
        again = await alone.editor.list(pagesize=1)
        assert again.ids == page.ids
        assert again.etag != page.etag

    async def test_what_a_person_changes_with_kubectl_shows(self, service: Deployment) -> None:
        answer = await created(service.editor)
        segment_id = answer.json["id"]
        resource = await service.resources.annotate(segment_id, display_name="Renamed")
        again = await service.editor.read(segment_id, minRevision=revision_of(resource))
        assert again.etag != answer.etag

    async def test_callers_who_see_different_things_share_no_tag(self, alone: Deployment) -> None:
        await alone.editor.create(body(roles={"editor": [EDITOR], "viewer": [VIEWER, "other"]}), "seg-1")
        await alone.editor.create(body(), "seg-2")
        everything = await alone.editor.list(pagesize=1)
        one = await alone.caller("other").list(pagesize=1)
        assert everything.ids == one.ids
        assert everything.etag != one.etag
        assert (await alone.caller("other").list(headers={"If-None-Match": everything.etag})).status == 200
        assert (await alone.caller("nobody").list()).etag not in {everything.etag, one.etag}

    async def test_a_304_is_never_given_to_one_who_may_not_read(self, service: Deployment) -> None:
        answer = await created(service.editor)
        refused = await service.caller("nobody").read(answer.json["id"], headers={"If-None-Match": answer.etag})
        assert refused.status == 403

    async def test_an_encoding_adds_a_suffix(self, editor: Client) -> None:
        answer = await created(editor, description=LONG)
        zipped = await editor.read(answer.json["id"], headers=GZIP)
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert zipped.etag != answer.etag
        assert zipped.etag.startswith(answer.etag[:-1])


class TestIfNoneMatch:
    """304 for a caller who has it already."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("written", ["{}", "W/{}", '"other", {}', '"a,b" , W/{},"c"', "*"])
    async def test_a_caller_who_has_it_gets_304(self, editor: Client, method: str, written: str) -> None:
        answer = await created(editor)
        path = f"/segments/{answer.json['id']}"
        cached = await editor.request(method, path, headers={"If-None-Match": written.format(answer.etag)})
        assert cached.status == 304
        assert cached.body == b""
        assert cached.etag == answer.etag
        assert cached.revision > 0
        assert cached.headers["Cache-Control"] == "private, no-cache"
        assert cached.headers["Vary"] == "Authorization, Authentication, Accept-Encoding"
        assert "X-Index-Age" in cached.headers
        assert "Content-Encoding" not in cached.headers

    @pytest.mark.parametrize("written", ['"other"', "", "nonsense", '"unfinished', "W/*", '"*"', '""'])
    async def test_a_caller_who_has_something_else_gets_it(self, editor: Client, written: str) -> None:
        answer = await created(editor)
        again = await editor.read(answer.json["id"], headers={"If-None-Match": written})
        assert again.status == 200
        assert again.json == answer.json

    async def test_a_list_is_answered_with_304_until_it_changes(self, alone: Deployment) -> None:
        await alone.editor.create(body(), "seg-1")
        page = await alone.editor.list()
        assert (await alone.editor.list(headers={"If-None-Match": page.etag})).status == 304
        await alone.editor.replace("seg-1", body("Changed"))
        assert (await alone.editor.list(headers={"If-None-Match": page.etag})).status == 200

    async def test_the_description_of_the_api_too(self, editor: Client) -> None:
        plain, zipped = await editor.get("/openapi.json"), await editor.get("/openapi.json", headers=GZIP)
        assert zipped.json == plain.json
        assert zipped.etag != plain.etag
        for tag in (plain.etag, zipped.etag):
            assert (await editor.get("/openapi.json", headers={"If-None-Match": tag})).status == 304

    @pytest.mark.parametrize(("had", "accepts"), [(GZIP, {}), ({}, GZIP), (GZIP, GZIP)])
    async def test_the_suffix_of_an_encoding_is_seen_through(
        self, editor: Client, had: dict[str, str], accepts: dict[str, str]
    ) -> None:
        segment_id = (await created(editor, description=LONG)).json["id"]
        tag = (await editor.read(segment_id, headers=had)).etag
        assert (await editor.read(segment_id, headers={**accepts, "If-None-Match": tag})).status == 304

    async def test_a_gateways_own_suffix_is_seen_through(self, editor: Client) -> None:
        answer = await created(editor)
        tag = answer.etag[:-1] + '-gzip"'
        assert (await editor.read(answer.json["id"], headers={"If-None-Match": tag})).status == 304
        assert (await editor.replace(answer.json["id"], body("x"), headers={"If-Match": tag})).status == 200


class TestIfMatch:
    """No write over what the caller has not seen."""

    @pytest.mark.parametrize("written", ["{}", '"other", {}', "*", 'W/"weak", {}'])
    async def test_a_caller_who_saw_the_newest_version_may_write(self, editor: Client, written: str) -> None:
        answer = await created(editor)
        headers = {"If-Match": written.format(answer.etag)}
        assert (await editor.replace(answer.json["id"], body("Changed"), headers=headers)).status == 200
        assert (await editor.read(answer.json["id"])).json["metadata"]["displayName"] == "Changed"

    @pytest.mark.parametrize("written", ['"other"', '"*"', '""', "W/{}", '"a", "b"'])
    async def test_any_other_tag_is_412_and_nothing_is_written(self, editor: Client, written: str) -> None:
        answer = await created(editor)
        segment_id, headers = answer.json["id"], {"If-Match": written.format(answer.etag)}
        for refused in (
            await editor.replace(segment_id, body("Changed"), headers=headers),
            await editor.delete(segment_id, headers=headers),
        ):
            assert refused.status == 412
            assert refused.json["type"] == "entity_modified"
        assert (await editor.read(segment_id)).etag == answer.etag

    @pytest.mark.parametrize(
        "written", ["", " ", "nonsense", '"unfinished', "*, *", "W/", '"a" "b"', "'single'", "{} garbage", "\xfc", ","]
    )
    async def test_a_malformed_one_is_400_and_nothing_is_written(self, editor: Client, written: str) -> None:
        answer = await created(editor)
        segment_id, headers = answer.json["id"], {"If-Match": written.format(answer.etag)}
        for refused in (
            await editor.replace(segment_id, body("Changed"), headers=headers),
            await editor.delete(segment_id, headers=headers),
        ):
            assert refused.status == 400
            assert refused.json["type"] in {"bad_header_value", "bad_parameter_value"}
        assert (await editor.read(segment_id)).etag == answer.etag

    async def test_the_loser_of_two_writers_gets_412(self, editor: Client) -> None:
        answer = await created(editor)
        segment_id, headers = answer.json["id"], {"If-Match": answer.etag}
        assert (await editor.replace(segment_id, body("First"), headers=headers)).status == 200
        assert (await editor.replace(segment_id, body("Second"), headers=headers)).status == 412
        assert (await editor.delete(segment_id, headers=headers)).status == 412
        assert (await editor.read(segment_id)).json["metadata"]["displayName"] == "First"

    async def test_a_change_that_the_index_has_not_heard_of_counts_too(self, service: Deployment) -> None:
        answer = await created(service.editor)
        segment_id, headers = answer.json["id"], {"If-Match": answer.etag}
        await service.resources.annotate(segment_id, description="by someone else")
        assert (await service.editor.replace(segment_id, body(), headers=headers)).status == 412
        assert (await service.editor.delete(segment_id, headers=headers)).status == 412

    async def test_the_tag_of_a_compressed_read_is_good_for_a_write(self, editor: Client) -> None:
        segment_id = (await created(editor, description=LONG)).json["id"]
        tag = (await editor.read(segment_id, headers=GZIP)).etag
        assert (await editor.replace(segment_id, body(), headers={"If-Match": tag})).status == 200

    async def test_delete_needs_the_tag_to_match_too(self, editor: Client) -> None:
        answer = await created(editor)
        assert (await editor.delete(answer.json["id"], headers={"If-Match": answer.etag})).status == 204
        assert (await editor.read(answer.json["id"])).status == 404

    async def test_of_what_does_not_exist_nothing_matches(self, editor: Client) -> None:
        for headers in ({"If-Match": "*"}, {"If-Match": '"x"'}):
            assert (await editor.replace("no-such-segment", body(), headers=headers)).status == 404
            assert (await editor.delete("no-such-segment", headers=headers)).status == 404


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_header_of_nothing_but_white_space_is_read_in_one_pass(editor: Client, header: str) -> None:
    # read in every way it can be split, this one takes longer than the test may
    method = "PUT" if header == "If-Match" else "GET"
    answer = await editor.request(method, "/segments/absent", headers={header: '"a",' + " " * 60_000 + "x"})
    assert answer.status == (400 if header == "If-Match" else 404)
