"""GET /segments/{id}: what a segment looks like, who may see it, and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.bodies import EDITOR, FULL_DATA, SCHEDULE, VIEWER, body, unique
from tests.api.client import Client, raw, request_bytes
from tests.api.clusters import revision_of

if TYPE_CHECKING:
    from tests.api.conftest import Deployment


async def test_a_segment_reads_as_it_was_created(service: Deployment, editor: Client) -> None:
    segment_id = unique()
    created = await editor.create(
        body(
            "Demo Segment",
            description="This is a demo segment ",
            data=FULL_DATA,
            labels=["customer", "demo"],
            roles={"editor": [EDITOR, "demo_role"], "viewer": [VIEWER]},
        ),
        segment_id,
    )
    answer = await editor.read(segment_id)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    segment = answer.json
    assert segment == created.json
    created_at = segment["metadata"].pop("createdAt")
    assert segment == {
        "id": segment_id,
        "metadata": {
            "displayName": "Demo Segment",
            "description": "This is a demo segment ",
            "modifiedAt": "",
            "createdBy": {"name": "Edda", "email": "edda@example.com"},
            "modifiedBy": {"name": "", "email": ""},
        },
        "roles": {"editor": [EDITOR, "demo_role"], "viewer": [VIEWER]},
        "data": FULL_DATA,
        "labels": ["customer", "demo"],
        "links": {"self": f"{service.url}/segments/{segment_id}?action=self"},
    }
    assert len(created_at) == len("2020-03-18T18:08:31.850")


async def test_reads_fill_in_no_defaults(editor: Client) -> None:
    segment_id = unique()
    await editor.create(body(), segment_id)
    assert (await editor.read(segment_id)).json["data"] == {"cronjob": {"schedule": SCHEDULE}}


class TestWhoMayRead:
    """Any role of either list lets a caller read."""

    @pytest.mark.parametrize("role", ["reads", "also-reads", "writes"])
    async def test_a_caller_with_any_viewer_or_editor_role_may(self, service: Deployment, role: str) -> None:
        segment_id = unique()
        roles = {"editor": ["writes"], "viewer": ["reads", "also-reads"]}
        await service.editor.create(body(roles=roles), segment_id)
        assert (await service.caller(role, "something-else").read(segment_id)).status == 200

    @pytest.mark.parametrize("roles", [(), ("READS",), ("read",), ("reads-not",), (EDITOR, VIEWER)])
    async def test_a_caller_without_one_may_not(self, service: Deployment, roles: tuple[str, ...]) -> None:
        segment_id = unique()
        await service.editor.create(body(roles={"editor": ["writes"], "viewer": ["reads"]}), segment_id)
        answer = await service.caller(*roles).read(segment_id)
        assert answer.status == 403
        assert answer.json["type"] == "entity_not_accessible"
        assert answer.json["message"] == "Access forbidden due to missing roles."
        assert "invalidParams" not in answer.json

    async def test_only_the_roles_of_this_client_count(self, service: Deployment) -> None:
        segment_id = unique()
        await service.editor.create(body(), segment_id)
        assert (await service.caller(EDITOR, VIEWER, client="another-api").read(segment_id)).status == 403


class TestNotFound:
    """What is not there, and what could not be."""

    async def test_an_unknown_id_is_named_in_the_message(self, editor: Client) -> None:
        answer = await editor.read("demo-segment-95he0")
        assert answer.status == 404
        assert answer.json["type"] == "entity_not_found"
        assert answer.json["message"] == "Segment with ID 'demo-segment-95he0' not found."

    @pytest.mark.parametrize(
        "target",
        [
            "/segments/%2E",
            "/segments/.",
            "/segments/..",
            "/segments/%2E%2E",
            "/segments/a%2Fb",
            "/segments/a%2F..%2Fb",
            "/segments/a%0A",
            "/segments/%0A",
            "/segments/%00",
            "/segments/",
            "/segments//",
            "/segments/UPPER",
            "/segments/under_score",
            "/segments/-dash",
            "/segments/%C3%A4",
            "/segments/%FF",
            "/segments/" + "a" * 254,
        ],
    )
    async def test_what_is_no_id_is_not_found_and_reaches_no_cluster(self, service: Deployment, target: str) -> None:
        before = await service.cluster_calls()
        answer = await raw(
            service.url, request_bytes("GET", target, [("Authorization", f"Bearer {service.editor.token}")])
        )
        assert answer.status == 404
        assert answer.json["type"] == "entity_not_found"
        assert await service.cluster_calls() == before


class TestMadeWithKubectl:
    """Segments that never came through the API."""

    async def test_a_resource_with_nothing_but_a_display_name_is_a_segment(self, service: Deployment) -> None:
        name = unique()
        resource = await service.resources.create(name, annotations={"segment.grnry.io/display-name": "By Hand"})
        segment = (await service.editor.read(name, minRevision=revision_of(resource))).json
        assert segment["metadata"] == {
            "displayName": "By Hand",
            "description": "",
            "createdAt": resource["metadata"]["creationTimestamp"].removesuffix("Z") + ".000",
            "modifiedAt": "",
            "createdBy": {"name": "", "email": ""},
            "modifiedBy": {"name": "", "email": ""},
        }
        assert segment["roles"] == {"editor": [EDITOR], "viewer": [VIEWER]}
        assert segment["labels"] == []

    async def test_every_annotation_shows(self, service: Deployment) -> None:
        name = unique()
        resource = await service.resources.create(
            name,
            annotations={
                "segment.grnry.io/display-name": " By Hand ",
                "segment.grnry.io/description": "two\nlines",
                "segment.grnry.io/roles": '{"editor": ["e"], "viewer": ["v", "w"]}',
                "segment.grnry.io/labels": '["b", "a"]',
                "segment.grnry.io/created-at": "2020-03-18T18:08:31.850",
                "segment.grnry.io/created-by": '{"name": "foo", "email": "for@bar.io"}',
                "segment.grnry.io/modified-at": "2020-03-18T18:09:17.179",
                "segment.grnry.io/modified-by": '{"name": "bar", "email": ""}',
            },
        )
        segment = (await service.caller("w").read(name, minRevision=revision_of(resource))).json
        assert segment["metadata"] == {
            "displayName": " By Hand ",
            "description": "two\nlines",
            "createdAt": "2020-03-18T18:08:31.850",
            "createdBy": {"name": "foo", "email": "for@bar.io"},
            "modifiedAt": "2020-03-18T18:09:17.179",
            "modifiedBy": {"name": "bar", "email": ""},
        }
        assert segment["roles"] == {"editor": ["e"], "viewer": ["v", "w"]}
        assert segment["labels"] == ["b", "a"]

    @pytest.mark.parametrize(
        ("roles", "shown"),
        [
            ("{}", {"editor": [EDITOR], "viewer": [VIEWER]}),
            ('{"editor": ["e"]}', {"editor": ["e"], "viewer": [VIEWER]}),
            ('{"viewer": ["v"]}', {"editor": [EDITOR], "viewer": ["v"]}),
        ],
    )
    async def test_a_role_list_missing_in_the_annotation_reads_as_its_default(
        self, service: Deployment, roles: str, shown: dict[str, list[str]]
    ) -> None:
        name = unique()
        annotations = {"segment.grnry.io/display-name": "x", "segment.grnry.io/roles": roles}
        resource = await service.resources.create(name, annotations=annotations)
        caller = service.caller(EDITOR, VIEWER, "e", "v")
        assert (await caller.read(name, minRevision=revision_of(resource))).json["roles"] == shown

    @pytest.mark.parametrize("name", ["abc", "0.1.2", "v" * 253, "-".join(["a", "b" * 150])])
    async def test_it_is_served_under_any_name_that_kubernetes_took(self, alone: Deployment, name: str) -> None:
        resource = await alone.resources.create(name)
        answer = await alone.editor.read(name, minRevision=revision_of(resource))
        assert answer.status == 200
        assert answer.json["id"] == name


class TestParameters:
    """The query is read strictly."""

    @pytest.mark.parametrize("query", ["", "?action=self", "?action=anything", "?_=1718", "?_cache=no&_cache=no"])
    async def test_action_and_names_that_begin_with_an_underscore_are_ignored(self, editor: Client, query: str) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        assert (await editor.get(f"/segments/{segment_id}{query}")).status == 200

    @pytest.mark.parametrize(
        ("query", "name", "hint"),
        [
            ("exports=true", "exports", "export"),
            ("Export=true", "Export", "export"),
            ("minrevision=1", "minrevision", "minRevision"),
            ("pagesize=1", "pagesize", ""),
            ("dryRun=true", "dryRun", ""),
        ],
    )
    async def test_an_unknown_parameter_is_refused_with_a_hint(
        self, editor: Client, query: str, name: str, hint: str
    ) -> None:
        answer = await editor.get(f"/segments/some-segment?{query}")
        assert answer.status == 400
        assert answer.json["type"] == "bad_parameter_value"
        assert list(answer.problems) == [name]
        assert hint in answer.problems[name]

    @pytest.mark.parametrize("value", ["1", "yes", "", "%20true", "null", "tru%C3%A9"])
    async def test_export_is_true_or_false(self, editor: Client, value: str) -> None:
        answer = await editor.get(f"/segments/some-segment?export={value}")
        assert answer.status == 400
        assert list(answer.problems) == ["export"]

    async def test_export_is_given_once(self, editor: Client) -> None:
        answer = await editor.get("/segments/some-segment?export=true&export=true")
        assert answer.status == 400
        assert list(answer.problems) == ["export"]


class TestExport:
    """What a POST elsewhere needs, and nothing more."""

    @pytest.mark.parametrize("value", ["true", "TRUE", "True", "tRuE"])
    async def test_a_segment_of_defaults_exports_as_its_name_and_schedule(self, editor: Client, value: str) -> None:
        segment_id = unique()
        data = {
            "cronjob": {
                "schedule": SCHEDULE,
                "concurrencyPolicy": "Always",
                "failedJobsHistoryLimit": 1,
                "successfulJobsHistoryLimit": 1,
            },
            "env": {"TYPE": "pivot", "DEBUG": "False", "DB_PORT": "5432", "PIVOT_PATHS": ""},
            "envFromSecrets": {"DB_USER": {"secret": "grnry-pg", "key": "postgresql-username"}},
            "image": {"pullPolicy": "IfNotPresent", "tag": "0.7.0"},
        }
        await editor.create(body(description=" ", data=data, labels=[]), segment_id)
        answer = await editor.read(segment_id, export=value)
        assert answer.status == 200
        assert answer.json == {
            "id": segment_id,
            "metadata": {"displayName": "Demo Segment"},
            "data": {"cronjob": {"schedule": SCHEDULE}},
        }

    async def test_what_differs_from_the_defaults_stays(self, editor: Client) -> None:
        segment_id = unique()
        sent = body(
            description="A description",
            labels=["a"],
            roles={"editor": [EDITOR], "viewer": ["v"]},
            data={
                "cronjob": {"schedule": SCHEDULE, "failedJobsHistoryLimit": 0},
                "env": {"TYPE": "generic", "TARGET_SEGMENT_NAME": "x", "DB_PORT": "5433", "DB_TYPE": "postgres"},
                "envFromSecrets": {"DB_USER": {"secret": "grnry-pg", "key": "mine"}},
                "image": {"pullPolicy": "Always", "tag": "0.7.0"},
            },
        )
        await editor.create(sent, segment_id)
        assert (await editor.read(segment_id, export="true")).json == {
            "id": segment_id,
            "metadata": {"displayName": "Demo Segment", "description": "A description"},
            "labels": ["a"],
            "roles": {"viewer": ["v"]},
            "data": {
                "cronjob": {"schedule": SCHEDULE, "failedJobsHistoryLimit": 0},
                "env": {"TYPE": "generic", "TARGET_SEGMENT_NAME": "x", "DB_PORT": "5433"},
                "envFromSecrets": {"DB_USER": {"secret": "grnry-pg", "key": "mine"}},
                "image": {"pullPolicy": "Always"},
            },
        }

    @pytest.mark.parametrize("value", ["false", "False", "FALSE"])
    async def test_false_is_an_ordinary_read(self, editor: Client, value: str) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        plain, answer = await editor.read(segment_id), await editor.read(segment_id, export=value)
        assert answer.json == plain.json
        assert answer.etag == plain.etag

    async def test_posting_an_export_elsewhere_gives_an_equal_segment(
        self, service: Deployment, alone: Deployment
    ) -> None:
        segment_id = unique()
        sent = body(description="d", data=FULL_DATA, labels=["a", "b"], roles={"editor": ["e", EDITOR]})
        await service.editor.create(sent, segment_id)
        export = await service.editor.read(segment_id, export="true")
        assert (await alone.editor.create(export.json)).status == 200
        again = await alone.editor.read(segment_id, export="true")
        assert again.json == export.json
        assert (await alone.editor.read(segment_id)).json["data"] == FULL_DATA


class TestHead:
    """HEAD works wherever GET does."""

    async def test_an_item_has_the_headers_of_a_get_and_no_body(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        path = f"/segments/{segment_id}"
        got, head = await editor.get(path), await editor.request("HEAD", path)
        assert head.status == 200
        assert head.body == b""
        same = ("ETag", "Content-Type", "Content-Length", "Cache-Control", "Vary")
        assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}
        assert head.revision >= got.revision

    @pytest.mark.parametrize("path", ["/segments", "/openapi.json"])
    async def test_lists_and_the_description_too(self, editor: Client, path: str) -> None:
        got, head = await editor.get(path), await editor.request("HEAD", path)
        assert (got.status, head.status, head.body) == (200, 200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]

    async def test_an_error_has_no_body_either(self, editor: Client) -> None:
        head = await editor.request("HEAD", "/segments/no-such-segment")
        assert (head.status, head.body) == (404, b"")


class TestHeaders:
    """What every 200 to a GET carries, and compression."""

    @pytest.mark.parametrize(
        "path", ["/segments", "/segments?pagesize=1", "/segments/{id}", "/segments/{id}?export=true"]
    )
    async def test_a_get_tells_how_to_cache_it(self, editor: Client, path: str) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        answer = await editor.get(path.format(id=segment_id))
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Vary"] == "Authorization, Authentication, Accept-Encoding"
        assert answer.etag.startswith('"')
        assert answer.etag.endswith('"')
        assert answer.revision > 0
        assert int(answer.headers["X-Index-Age"]) >= 0

    @pytest.mark.parametrize(
        ("accept", "encoding"),
        [
            ("gzip", "gzip"),
            ("deflate, gzip;q=0.5, br", "gzip"),
            ("*", "gzip"),
            ("GZIP", "gzip"),
            ("gzip;q=0", None),
            ("gzip;q=0.0, *", None),
            ("identity", None),
            ("br", None),
            ("", None),
            ("gzip;q=banana", None),
        ],
    )
    async def test_a_body_over_1_kib_is_compressed_when_the_caller_accepts_it(
        self, editor: Client, accept: str, encoding: str | None
    ) -> None:
        segment_id = unique()
        await editor.create(body(description="word " * 300), segment_id)
        plain = await editor.read(segment_id)
        answer = await editor.read(segment_id, headers={"Accept-Encoding": accept})
        assert "Content-Encoding" not in plain.headers
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.json == plain.json
        assert (len(answer.body) < len(plain.body)) == (encoding is not None)

    async def test_a_small_body_is_not_compressed(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        answer = await editor.read(segment_id, headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in answer.headers
