"""Many writers at once, others who write past the API, and callers who leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.api.bodies import EDITOR, body, unique
from tests.api.clusters import DISPLAY_NAME, revision_of
from tests.api.waiting import until
from tests.support.faults import Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.api.client import Answer, Client
    from tests.api.conftest import Deploy, Deployment
    from tests.support.faults import Call, Relay


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


class TestManyWriters:
    """Through one replica and through two."""

    async def test_of_creates_of_one_id_exactly_one_wins(self, service: Deployment, editor: Client) -> None:
        segment_id = unique()
        answers = await asyncio.gather(*(editor.create(body(f"Number {n}"), segment_id) for n in range(10)))
        assert statuses(answers) == {200: 1, 409: 9}
        winner = next(answer for answer in answers if answer.status == 200)
        assert (await editor.read(segment_id)).etag == winner.etag
        assert {answer.json["type"] for answer in answers if answer.status == 409} == {"entity_already_exists"}

    async def test_of_writers_who_saw_the_same_version_exactly_one_wins(self, editor: Client) -> None:
        segment_id = unique()
        created = await editor.create(body(), segment_id)
        headers = {"If-Match": created.etag}
        answers = await asyncio.gather(
            *(editor.replace(segment_id, body(f"Number {n}"), headers=headers) for n in range(8)),
            editor.delete(segment_id, headers={"If-Match": '"stale"'}),
        )
        assert statuses(answers) == {200: 1, 412: 8}
        winner = next(answer for answer in answers if answer.status == 200)
        assert (await editor.read(segment_id)).etag == winner.etag

    async def test_of_deletes_exactly_one_wins(self, editor: Client) -> None:
        segment_id = unique()
        await editor.create(body(), segment_id)
        answers = await asyncio.gather(*(editor.delete(segment_id) for _ in range(8)))
        assert statuses(answers) == {204: 1, 404: 7}

    async def test_without_if_match_all_win_and_the_last_stays(self, deploy: Deploy) -> None:
        async with deploy() as first, deploy(namespace=first.namespace) as second:
            await first.editor.create(body(), "some-segment")
            answers = await asyncio.gather(
                *(
                    replica.editor.replace("some-segment", body(f"Number {n}"))
                    for n in range(6)
                    for replica in (first, second)
                )
            )
            assert set(statuses(answers)) <= {200, 409}
            won = [answer for answer in answers if answer.status == 200]
            last = max(won, key=lambda answer: answer.revision)
            assert len({answer.revision for answer in won}) == len(won)
            for replica in (first, second):
                read = await replica.editor.read("some-segment", minRevision=last.revision)
                assert read.etag == last.etag

    async def test_replicas_agree_after_a_storm_of_all_kinds(self, deploy: Deploy) -> None:
        async with deploy() as first, deploy(namespace=first.namespace) as second:
            ids = [f"segment-{number}" for number in range(4)]

            async def storm(client: Client, number: int) -> None:
                segment_id = ids[number % len(ids)]
                for answer in (
                    await client.create(body(f"Created {number}"), segment_id),
                    await client.replace(segment_id, body(f"Changed {number}")),
                    *([await client.delete(segment_id)] if number % 3 == 0 else []),
                ):
                    assert answer.status in {200, 204, 404, 409}

            await asyncio.gather(*(storm((first, second)[n % 2].editor, n) for n in range(16)))
            revision = await first.resources.revision()
            pages = [await replica.editor.list(minRevision=revision) for replica in (first, second)]
            assert pages[0].etag == pages[1].etag
            assert pages[0].ids == sorted(await first.resources.names())


class TestOthersBetweenReadAndWrite:
    """Someone changes the resource in the cluster after it was read and before it is written."""

    async def change_before_the_write(self, relay: Relay, deployment: Deployment, **annotations: str) -> None:
        """Make that change once, at the last moment before the first write arrives."""
        relay.calls.clear()

        async def interfere(call: Call) -> None:
            if call.is_write:
                relay.before = None
                await deployment.resources.annotate("some-segment", **annotations)

        relay.before = interfere

    @pytest.mark.parametrize("verb", ["replace", "delete"])
    async def test_no_write_is_applied_to_a_version_whose_roles_were_not_checked(
        self, relay: Relay, relayed: Deployment, verb: str
    ) -> None:
        await relayed.editor.create(body("First"), "some-segment")
        await self.change_before_the_write(relay, relayed, roles='{"editor": ["others"], "viewer": ["others"]}')
        if verb == "replace":
            answer = await relayed.editor.replace("some-segment", body("Second"))
        else:
            answer = await relayed.editor.delete("some-segment")
        assert relay.writes
        assert answer.status == 403
        assert answer.json["type"] == "entity_not_accessible"
        resource = await relayed.resources.get("some-segment")
        assert resource["metadata"]["annotations"]["segment.grnry.io/display-name"] == "First"

    async def test_roles_taken_away_before_the_index_hears_of_it_count(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body("First"), "some-segment")
        relay.watching.clear()
        await relayed.resources.annotate("some-segment", roles='{"editor": ["others"]}')
        assert (await relayed.editor.replace("some-segment", body("Second"))).status == 403
        assert (await relayed.editor.delete("some-segment")).status == 403
        assert (await relayed.caller("others").replace("some-segment", body("Third"))).status == 200

    async def test_the_last_writer_wins_over_a_change_of_something_else(
        self, relay: Relay, relayed: Deployment
    ) -> None:
        await relayed.editor.create(body("First"), "some-segment")
        await self.change_before_the_write(relay, relayed, description="by someone else", of_the_operator="kept")
        answer = await relayed.editor.replace("some-segment", body("Second", description="mine"))
        assert answer.status == 200
        annotations = (await relayed.resources.get("some-segment"))["metadata"]["annotations"]
        assert annotations["segment.grnry.io/description"] == "mine"
        assert annotations["segment.grnry.io/of-the-operator"] == "kept"

    async def test_a_delete_without_if_match_wins_as_well(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body("First"), "some-segment")
        await self.change_before_the_write(relay, relayed, description="by someone else")
        assert (await relayed.editor.delete("some-segment")).status == 204
        assert await relayed.resources.names() == []

    @pytest.mark.parametrize("verb", ["replace", "delete"])
    async def test_if_match_is_checked_against_what_is_overwritten(
        self, relay: Relay, relayed: Deployment, verb: str
    ) -> None:
        created = await relayed.editor.create(body("First"), "some-segment")
        await self.change_before_the_write(relay, relayed, description="by someone else")
        headers = {"If-Match": created.etag}
        if verb == "replace":
            answer = await relayed.editor.replace("some-segment", body("Second"), headers=headers)
        else:
            answer = await relayed.editor.delete("some-segment", headers=headers)
        assert answer.status == 412
        assert answer.json["type"] == "entity_modified"
        annotations = (await relayed.resources.get("some-segment"))["metadata"]["annotations"]
        assert annotations["segment.grnry.io/description"] == "by someone else"

    @pytest.mark.parametrize("verb", ["replace", "delete"])
    async def test_a_change_that_does_not_show_fails_no_if_match(
        self, relay: Relay, relayed: Deployment, verb: str
    ) -> None:
        created = await relayed.editor.create(body("First"), "some-segment")
        await self.change_before_the_write(relay, relayed, of_the_operator="does not show")
        headers = {"If-Match": created.etag}
        if verb == "replace":
            answer = await relayed.editor.replace("some-segment", body("Second"), headers=headers)
        else:
            answer = await relayed.editor.delete("some-segment", headers=headers)
        assert answer.status in {200, 204}

    async def test_one_deleted_and_made_anew_by_others_is_checked_anew(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body("First"), "some-segment")

        async def swap(call: Call) -> None:
            if call.is_write:
                relay.before = None
                await relayed.resources.delete("some-segment")
                annotations = {
                    "segment.grnry.io/display-name": "Of others",
                    "segment.grnry.io/roles": '{"editor": ["others"]}',
                }
                await relayed.resources.create("some-segment", annotations=annotations)

        relay.before = swap
        assert (await relayed.editor.delete("some-segment")).status == 403
        assert await relayed.resources.names() == ["some-segment"]

    async def test_one_deleted_by_others_is_not_made_anew(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body("First"), "some-segment")

        async def remove(call: Call) -> None:
            if call.is_write:
                relay.before = None
                await relayed.resources.delete("some-segment")

        relay.before = remove
        assert (await relayed.editor.replace("some-segment", body("Second"))).status == 404
        assert await relayed.resources.names() == []

    # waits for as long as a write may take, so one cluster has to do
    @pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")
    async def test_a_writer_that_keeps_losing_gets_409(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body("First"), "some-segment")
        rounds = 0

        async def interfere(call: Call) -> None:
            nonlocal rounds
            if call.is_write:
                rounds += 1
                await relayed.resources.annotate("some-segment", description=f"round {rounds}")

        relay.before = interfere
        replaced, deleted = await asyncio.gather(
            relayed.editor.replace("some-segment", body("Second")), relayed.editor.delete("some-segment")
        )
        for answer in (replaced, deleted):
            assert answer.status == 409
            assert answer.json["type"] == "entity_modified"
        assert rounds > 4
        resource = await relayed.resources.get("some-segment")
        assert resource["metadata"]["annotations"]["segment.grnry.io/display-name"] == "First"


class TestAnswersThatNeverCome:
    """The connection to the cluster breaks after it has done what it was asked to."""

    def lose_one_answer(self, relay: Relay) -> None:
        async def lose(call: Call) -> None:
            if call.is_write:
                relay.after = None
                raise Lost

        relay.after = lose

    async def test_a_create_is_recognised_as_ones_own(self, relay: Relay, relayed: Deployment) -> None:
        self.lose_one_answer(relay)
        answer = await relayed.editor.create(body(), "some-segment")
        assert answer.status == 200
        assert answer.revision == revision_of(await relayed.resources.get("some-segment"))

    async def test_a_create_with_a_derived_id_is_made_once(self, relay: Relay, relayed: Deployment) -> None:
        self.lose_one_answer(relay)
        answer = await relayed.editor.create(body())
        assert answer.status == 200
        assert await relayed.resources.names() == [answer.json["id"]]

    async def test_a_create_that_meets_anothers_segment_is_a_conflict(self, relay: Relay, relayed: Deployment) -> None:
        async def lose(call: Call) -> None:
            if call.is_write:
                relay.before = None
                await relayed.resources.create("some-segment")
                raise Lost

        relay.before = lose
        answer = await relayed.editor.create(body(), "some-segment")
        assert answer.status == 409
        resource = await relayed.resources.get("some-segment")
        assert "segment.grnry.io/created-by" not in resource["metadata"]["annotations"]

    async def test_a_create_is_recognised_when_others_have_changed_it(self, relay: Relay, relayed: Deployment) -> None:
        async def lose(call: Call) -> None:
            if call.is_write:
                relay.after = None
                await relayed.resources.annotate("some-segment", description="by someone else")
                raise Lost

        relay.after = lose
        answer = await relayed.editor.create(body("First"), "some-segment")
        assert (answer.status, answer.json["metadata"]["description"]) == (200, "by someone else")
        assert answer.revision == revision_of(await relayed.resources.get("some-segment"))

    @pytest.mark.parametrize("with_if_match", [True, False])
    async def test_a_replace_is_recognised(self, relay: Relay, relayed: Deployment, *, with_if_match: bool) -> None:
        created = await relayed.editor.create(body("First"), "some-segment")
        self.lose_one_answer(relay)
        headers = {"If-Match": created.etag} if with_if_match else {}
        answer = await relayed.editor.replace("some-segment", body("Second"), headers=headers)
        assert answer.status == 200
        assert answer.revision == revision_of(await relayed.resources.get("some-segment"))
        assert (await relayed.editor.read("some-segment")).etag == answer.etag

    @pytest.mark.parametrize("with_if_match", [True, False])
    async def test_a_delete_is_recognised(self, relay: Relay, relayed: Deployment, *, with_if_match: bool) -> None:
        created = await relayed.editor.create(body("First"), "some-segment")
        self.lose_one_answer(relay)
        headers = {"If-Match": created.etag} if with_if_match else {}
        answer = await relayed.editor.delete("some-segment", headers=headers)
        assert answer.status == 204
        assert await relayed.resources.names() == []


PORTAL = b"<html>log in here</html>"
ODD = [Refused(200, PORTAL), Refused(302, PORTAL), Refused(400), Refused(403)]
WRITES: dict[str, Callable[[Client], Awaitable[Answer]]] = {
    "create": lambda editor: editor.create(body("Second"), "some-segment"),
    "replace": lambda editor: editor.replace("some-segment", body("Second")),
    "delete": lambda editor: editor.delete("some-segment"),
}


@pytest.mark.parametrize("verb", WRITES)
class TestAnswersThatMakeNoSense:
    """Something between the service and its cluster answers in the cluster's place."""

    async def write(self, deployment: Deployment, verb: str) -> None:
        """Write, and check that it succeeded and did what it says."""
        answer = await WRITES[verb](deployment.editor)
        if verb == "delete":
            assert answer.status == 204
            assert await deployment.resources.names() == []
            return
        resource = await deployment.resources.get("some-segment")
        assert (answer.status, answer.revision) == (200, revision_of(resource))
        assert resource["metadata"]["annotations"][DISPLAY_NAME] == "Second"

    async def test_the_look_after_a_lost_answer_is_taken_again(
        self, relay: Relay, relayed: Deployment, verb: str
    ) -> None:
        if verb != "create":
            await relayed.editor.create(body("First"), "some-segment")
        odd: list[Refused] = []

        async def lose(call: Call) -> None:
            if call.is_write:
                relay.after = None
                odd.extend(ODD)
                raise Lost

        async def refuse(call: Call) -> None:
            if call.is_item and odd:
                raise odd.pop()

        relay.before, relay.after = refuse, lose
        await self.write(relayed, verb)
        assert not odd

    @pytest.mark.parametrize("stage", ["before", "after"])
    @pytest.mark.parametrize("text", [PORTAL, b"{}"])
    async def test_an_answer_to_a_write_that_tells_nothing_is_looked_into(
        self, relay: Relay, relayed: Deployment, verb: str, stage: str, text: bytes
    ) -> None:
        if verb != "create":
            await relayed.editor.create(body("First"), "some-segment")

        async def refuse(call: Call) -> None:
            if call.is_write:
                setattr(relay, stage, None)
                raise Refused(200, text)

        setattr(relay, stage, refuse)
        await self.write(relayed, verb)


class TestCallersWhoLeave:
    """A caller that goes away does not leave a write half recorded."""

    @pytest.mark.parametrize("stage", ["before", "after"])
    async def test_a_create_is_finished_and_shown(self, relay: Relay, relayed: Deployment, stage: str) -> None:
        arrived, proceed = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> None:
            if call.is_write:
                arrived.set()
                await proceed.wait()

        setattr(relay, stage, hold)
        relay.watching.clear()
        caller = asyncio.create_task(relayed.caller(EDITOR).create(body(), "some-segment"))
        await arrived.wait()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        proceed.set()

        async def shown() -> bool:
            return (await relayed.editor.read("some-segment")).status == 200

        # the watch is held back: only the write itself can have told the index
        await until(shown)
        assert await relayed.resources.names() == ["some-segment"]

    async def test_a_delete_is_finished_and_shown(self, relay: Relay, relayed: Deployment) -> None:
        await relayed.editor.create(body(), "some-segment")
        arrived, proceed = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> None:
            if call.is_write:
                arrived.set()
                await proceed.wait()

        relay.after = hold
        relay.watching.clear()
        caller = asyncio.create_task(relayed.editor.delete("some-segment"))
        await arrived.wait()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        proceed.set()

        async def gone() -> bool:
            return (await relayed.editor.read("some-segment")).status == 404

        await until(gone)
