"""GET /segments: pages, order, filters, links, totals, and who sees what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio

from tests.api.bodies import EDITOR, VIEWER, body
from tests.api.client import Client, raw, request_bytes
from tests.api.clusters import revision_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Deploy, Deployment

NAMES = {
    "a-b0": "Müller Straße",
    "a.b0": "Eventstore Demo",
    "a0b0": "Customer Profiles",
    "aab0": "Customer Orders",
    "b001": "Zebra",
    "b002": "Zebra",
    "b003": "apple",
    **{f"many-{number:02}": f"Many Things {number:02}" for number in range(25)},
}
IDS = sorted(NAMES)


@pytest_asyncio.fixture(scope="module")
async def stocked(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service with `NAMES`, which nobody changes."""
    async with deploy() as deployment:
        for number, segment_id in enumerate(reversed(IDS)):
            labels = ["all", *(["even"] if number % 2 == 0 else []), *(["third"] if number % 3 == 0 else [])]
            answer = await deployment.editor.create(body(NAMES[segment_id], labels=labels), segment_id)
            assert answer.status == 200
        yield deployment


@pytest.fixture
def reader(stocked: Deployment) -> Client:
    return stocked.viewer


def links_of(header: str) -> dict[str, str]:
    return {relation: url for url, relation in re.findall(r'<([^>]*)>; rel="([a-z]+)"', header)}


class TestPages:
    """pagesize and offset."""

    async def test_a_list_is_the_first_20_by_id_unless_told_otherwise(self, reader: Client) -> None:
        answer = await reader.list()
        assert answer.status == 200
        assert answer.ids == IDS[:20]
        assert answer.json["totalCount"] == len(IDS)
        assert answer.headers["X-Total-Count"] == str(len(IDS))

    async def test_an_item_of_a_list_is_what_a_read_shows(self, reader: Client) -> None:
        item = (await reader.list(pagesize=1)).json["items"][0]
        assert item == (await reader.read(item["id"])).json

    @pytest.mark.parametrize(("offset", "pagesize"), [(0, 1), (5, 7), (30, 20), (31, 1), (0, 1000)])
    async def test_a_page_is_a_slice_of_the_whole(self, reader: Client, offset: int, pagesize: int) -> None:
        answer = await reader.list(offset=offset, pagesize=pagesize)
        assert answer.ids == IDS[offset : offset + pagesize]
        assert answer.json["totalCount"] == len(IDS)

    @pytest.mark.parametrize("offset", [32, 1000, 10**17, 10**23])
    async def test_past_the_end_there_are_no_items_but_a_true_total(self, reader: Client, offset: int) -> None:
        answer = await reader.list(offset=offset)
        assert answer.status == 200
        assert answer.json["items"] == []
        assert answer.json["totalCount"] == len(IDS)

    @pytest.mark.parametrize("name", ["pagesize", "offset"])
    @pytest.mark.parametrize(
        "value",
        ["null", "", "-1", "+5", "%205", "5%20", "1_000", "1.0", "1e3", "0x10", "%D9%A3", "%C2%B3", "7" * 4400, "5%0A"],
    )
    async def test_a_number_is_ascii_digits(self, reader: Client, name: str, value: str) -> None:
        answer = await reader.get(f"/segments?{name}={value}")
        assert answer.status == 400
        assert answer.json["type"] == "bad_parameter_value"
        assert list(answer.problems) == [name]

    async def test_the_message_is_the_specifications(self, reader: Client) -> None:
        answer = await reader.list(pagesize="null")
        assert answer.json["message"] == "Parameter 'pagesize' 'null' could not be parsed to int."
        assert answer.json["invalidParams"] == [{"name": "pagesize", "reason": "'null' could not be parsed to int"}]

    @pytest.mark.parametrize("pagesize", ["0", "1001", "99999999999"])
    async def test_a_page_has_1_to_1000_segments(self, reader: Client, pagesize: str) -> None:
        answer = await reader.list(pagesize=pagesize)
        assert answer.status == 400
        assert list(answer.problems) == ["pagesize"]

    @pytest.mark.parametrize("name", ["pagesize", "offset", "search", "sort", "minRevision"])
    async def test_a_parameter_is_given_once(self, reader: Client, name: str) -> None:
        value = {"search": "x", "sort": "createdAt"}.get(name, "1")
        answer = await reader.get(f"/segments?{name}={value}&{name}={value}")
        assert answer.status == 400
        assert list(answer.problems) == [name]

    async def test_all_that_is_wrong_is_told_at_once(self, reader: Client) -> None:
        answer = await reader.get("/segments?pagesize=x&offset=-1&sort=size&serach=a&minRevision=y&search=" + "a" * 129)
        assert answer.status == 400
        assert set(answer.problems) == {"pagesize", "offset", "sort", "serach", "minRevision", "search"}
        assert "search" in answer.problems["serach"]

    async def test_unknown_parameters_are_refused_and_underscored_ones_ignored(self, reader: Client) -> None:
        assert (await reader.get("/segments?_=1&_t=2&action=self")).status == 200
        answer = await reader.get("/segments?pageSize=3&page_size=3&export=true&")
        assert answer.status == 400
        assert set(answer.problems) == {"pageSize", "page_size", "export"}
        assert "pagesize" in answer.problems["pageSize"]

    async def test_of_thousands_of_unknown_parameters_the_first_are_told(self, reader: Client) -> None:
        names = [f"p{number}" for number in range(1300)]
        answer = await reader.get("/segments?" + "&".join(names))
        assert answer.status == 400
        assert list(answer.problems) == names[:100]

    async def test_the_largest_page_is_a_setting_and_caps_the_default(
        self, deploy: Deploy, stocked: Deployment
    ) -> None:
        async with deploy(namespace=stocked.namespace, max_pagesize=5) as small:
            assert (await small.viewer.list()).ids == IDS[:5]
            assert (await small.viewer.list(pagesize=5)).status == 200
            assert (await small.viewer.list(pagesize=6)).status == 400


class TestOrder:
    """sort."""

    async def test_ids_stand_in_the_order_of_their_code_points(self, reader: Client) -> None:
        assert (await reader.list(pagesize=4)).ids == ["a-b0", "a.b0", "a0b0", "aab0"]

    @pytest.mark.parametrize("sign", ["", "-"])
    async def test_names_sort_up_and_down_with_ties_by_id_upwards(self, reader: Client, sign: str) -> None:
        answer = await reader.list(sort=f"{sign}displayName", pagesize=1000)
        expected = sorted(IDS)
        expected.sort(key=NAMES.__getitem__, reverse=bool(sign))
        # Python's reverse keeps equals in their order, too
        assert answer.ids == expected

    async def test_created_at_sorts_up_and_down(self, reader: Client) -> None:
        up = (await reader.list(sort="createdAt", pagesize=1000)).json["items"]
        down = (await reader.list(sort="-createdAt", pagesize=1000)).json["items"]

        def keys(items: list[dict[str, dict[str, str]]]) -> list[str]:
            return [item["metadata"]["createdAt"] for item in items]

        assert keys(up) == sorted(keys(up))
        assert keys(down) == sorted(keys(up), reverse=True)

    async def test_an_empty_date_is_before_all_dates(self, alone: Deployment) -> None:
        for name in ("seg-b", "seg-c", "seg-a", "seg-d"):
            await alone.editor.create(body(), name)
        for name in ("seg-d", "seg-b"):
            await alone.editor.replace(name, body())
        modified = {item["id"]: item["metadata"]["modifiedAt"] for item in (await alone.viewer.list()).json["items"]}
        latest = sorted(("seg-b", "seg-d"), key=lambda name: modified[name])
        assert (await alone.viewer.list(sort="modifiedAt")).ids == ["seg-a", "seg-c", *latest]
        assert (await alone.viewer.list(sort="-modifiedAt")).ids[2:] == ["seg-a", "seg-c"]

    @pytest.mark.parametrize(
        "sort",
        ["relevance", "-relevance", "", "id", "displayname", "--createdAt", "+createdAt", "createdAt,displayName"],
    )
    async def test_any_other_order_is_refused_as_is_relevance_without_a_search(self, reader: Client, sort: str) -> None:
        answer = await reader.list(sort=sort)
        assert answer.status == 400
        assert list(answer.problems) == ["sort"]

    async def test_a_sorted_list_is_paged_like_any_other(self, reader: Client) -> None:
        whole = (await reader.list(sort="-displayName", pagesize=1000)).ids
        assert (await reader.list(sort="-displayName", offset=3, pagesize=10)).ids == whole[3:13]


class TestSearch:
    """Fuzzy search on the display name."""

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("Eventstore Demo", ["a.b0"]),
            ("eventstore", ["a.b0"]),
            ("EVENTSTORE", ["a.b0"]),
            ("demo eventstore", ["a.b0"]),
            ("evntstore", ["a.b0"]),
            ("eventstroe", ["a.b0"]),
            ("event", ["a.b0"]),
            ("event store", ["a.b0"]),
            ("müller", ["a-b0"]),
            ("muller", ["a-b0"]),
            ("MU\u0308LLER", ["a-b0"]),
            ("STRASSE", ["a-b0"]),
            ("custmer", ["a0b0", "aab0"]),
            ("orders customer", ["aab0"]),
            ("zebra", ["b001", "b002"]),
            ("many 07", ["many-07"]),
            ("xylophone", []),
            ("qqq", []),
            ("customer xylophone", []),
        ],
    )
    async def test_case_accents_word_order_and_misspellings_do_not_matter(
        self, reader: Client, search: str, found: list[str]
    ) -> None:
        answer = await reader.list(search=search)
        assert answer.status == 200
        assert answer.ids == found
        assert answer.json["totalCount"] == len(found)

    @pytest.mark.parametrize("search", ["", " ", "\t\n"])
    async def test_a_blank_search_is_no_filter(self, reader: Client, search: str) -> None:
        assert (await reader.list(search=search, pagesize=1000)).ids == IDS

    async def test_a_search_has_at_most_128_characters(self, reader: Client) -> None:
        assert (await reader.list(search="ü" * 128)).status == 200
        answer = await reader.list(search="ü" * 129)
        assert answer.status == 400
        assert list(answer.problems) == ["search"]

    async def test_what_is_found_is_in_the_order_of_ids_and_paged(self, reader: Client) -> None:
        many = [name for name in IDS if name.startswith("many")]
        answer = await reader.list(search="things many", offset=2, pagesize=3)
        assert answer.ids == many[2:5]
        assert answer.json["totalCount"] == 25

    async def test_relevance_puts_the_best_match_first(self, alone: Deployment) -> None:
        for name, display_name in {"aaaa": "Demonstration", "bbbb": "Demo", "cccc": "Deno"}.items():
            await alone.editor.create(body(display_name), name)
        assert (await alone.viewer.list(search="demo")).ids == ["aaaa", "bbbb", "cccc"]
        assert (await alone.viewer.list(search="demo", sort="relevance")).ids == ["bbbb", "aaaa", "cccc"]
        assert (await alone.viewer.list(search="demo", sort="-relevance")).ids == ["cccc", "aaaa", "bbbb"]

    async def test_search_sort_and_labels_work_together(self, reader: Client) -> None:
        answer = await reader.list(search="many", sort="-displayName", label="even", pagesize=1000)
        expected = [
            item["id"]
            for item in (await reader.list(sort="-displayName", pagesize=1000)).json["items"]
            if item["id"].startswith("many") and "even" in item["labels"]
        ]
        assert answer.ids == expected

    @pytest.mark.parametrize("query", [b"search=%FF", b"search=\xff", b"search=%00", b"search=%ED%A0%80", b"search=%"])
    async def test_a_search_of_any_bytes_is_answered(self, stocked: Deployment, query: bytes) -> None:
        headers = [("Authorization", f"Bearer {stocked.viewer.token}")]
        answer = await raw(stocked.url, request_bytes("GET", b"/segments?" + query, headers))
        assert answer.status in {200, 400}


class TestLabels:
    """label=X, repeatable."""

    async def test_a_segment_must_have_all_the_labels(self, reader: Client) -> None:
        items = (await reader.list(pagesize=1000)).json["items"]

        async def kept(*labels: str) -> list[str]:
            return (await reader.list(label=labels, pagesize=1000)).ids

        assert await kept("all") == IDS
        assert await kept("even") == [item["id"] for item in items if "even" in item["labels"]]
        both = [item["id"] for item in items if {"even", "third"} <= set(item["labels"])]
        assert await kept("even", "third") == both
        assert both
        assert await kept("even", "no such label") == []

    @pytest.mark.parametrize("label", ["ALL", "al", "", " all"])
    async def test_a_label_is_matched_as_it_stands(self, reader: Client, label: str) -> None:
        answer = await reader.list(label=label)
        assert (answer.status, answer.json["totalCount"]) == (200, 0)


class TestLinks:
    """links and the Link header."""

    async def test_self_has_offset_pagesize_the_callers_parameters_and_action(
        self, stocked: Deployment, reader: Client
    ) -> None:
        answer = await reader.list(search="demo", pagesize=1)
        assert answer.json["links"] == {"self": f"{stocked.url}/segments?offset=0&pagesize=1&search=demo&action=self"}

    async def test_a_page_in_the_middle_links_to_its_neighbours_without_action(
        self, stocked: Deployment, reader: Client
    ) -> None:
        answer = await reader.list(offset=10, pagesize=5)
        base = f"{stocked.url}/segments"
        assert answer.json["links"] == {
            "self": f"{base}?offset=10&pagesize=5&action=self",
            "prev": f"{base}?offset=5&pagesize=5",
            "next": f"{base}?offset=15&pagesize=5",
        }
        assert links_of(answer.headers["Link"]) == {
            "first": f"{base}?offset=0&pagesize=5",
            "prev": f"{base}?offset=5&pagesize=5",
            "next": f"{base}?offset=15&pagesize=5",
            "last": f"{base}?offset=30&pagesize=5",
        }

    async def test_an_item_in_a_list_links_to_itself(self, stocked: Deployment, reader: Client) -> None:
        item = (await reader.list(pagesize=1)).json["items"][0]
        assert item["links"] == {"self": f"{stocked.url}/segments/{item['id']}?action=self"}

    async def test_what_the_caller_gave_stays_percent_encoded(self, reader: Client) -> None:
        search = 'a&b=c#d/é "<>%+'
        answer = await reader.list(search=search, label=["x&y", "ü"], sort="-createdAt")
        link = answer.json["links"]["self"]
        assert re.fullmatch(r"[A-Za-z0-9:/?&=%._~-]+", link)
        assert parse_qsl(urlsplit(link).query) == [
            ("offset", "0"),
            ("pagesize", "20"),
            ("search", search),
            ("sort", "-createdAt"),
            ("label", "x&y"),
            ("label", "ü"),
            ("action", "self"),
        ]

    @pytest.mark.parametrize("filters", ["", "&search=many", "&sort=-displayName&label=all"])
    async def test_following_next_shows_everything_once_and_prev_leads_back(
        self, stocked: Deployment, reader: Client, filters: str
    ) -> None:
        whole = (await reader.get(f"/segments?pagesize=1000{filters}")).ids
        seen, pages = [], 0
        answer = await reader.get(f"/segments?pagesize=7{filters}")
        while True:
            pages += 1
            seen += answer.ids
            following = answer.json["links"].get("next")
            if following is None:
                break
            answer = await reader.get(following.removeprefix(stocked.url))
        assert seen == whole
        assert links_of(answer.headers["Link"])["last"] in answer.json["links"]["self"]
        while "prev" in answer.json["links"]:
            pages -= 1
            answer = await reader.get(answer.json["links"]["prev"].removeprefix(stocked.url))
        assert pages == 1
        assert answer.ids == whole[:7]

    async def test_a_single_page_has_no_neighbours(self, reader: Client) -> None:
        answer = await reader.list(pagesize=1000)
        assert set(answer.json["links"]) == {"self"}
        assert set(links_of(answer.headers["Link"])) == {"first", "last"}

    async def test_past_the_end_prev_leads_back_to_what_there_is(self, stocked: Deployment, reader: Client) -> None:
        answer = await reader.list(offset=500, pagesize=10)
        assert "next" not in answer.json["links"]
        back = await reader.get(answer.json["links"]["prev"].removeprefix(stocked.url))
        assert back.ids == IDS[-2:]


class TestWhoSeesWhat:
    """A list shows, and counts, what its caller may read."""

    async def test_each_caller_sees_and_counts_their_own(self, alone: Deployment) -> None:
        await alone.editor.create(body(), "default")
        await alone.editor.create(body(roles={"editor": ["a"], "viewer": ["b"]}), "of-a-and-b")
        await alone.editor.create(body(roles={"editor": ["a"], "viewer": ["a"]}), "of-a")

        async def seen(*roles: str) -> tuple[list[str], int]:
            answer = await alone.caller(*roles).list()
            return answer.ids, answer.json["totalCount"]

        assert await seen("a") == (["of-a", "of-a-and-b"], 2)
        assert await seen("b") == (["of-a-and-b"], 1)
        assert await seen(VIEWER) == (["default"], 1)
        assert await seen("a", EDITOR) == (["default", "of-a", "of-a-and-b"], 3)

    async def test_a_caller_who_may_see_nothing_gets_an_empty_list(self, stocked: Deployment) -> None:
        answer = await stocked.caller("nobody").list(search="customer")
        assert answer.status == 200
        assert answer.json["items"] == []
        assert answer.json["totalCount"] == 0
        assert "next" not in answer.json["links"]

    async def test_an_empty_namespace_is_an_empty_list(self, alone: Deployment) -> None:
        answer = await alone.editor.list()
        assert (answer.status, answer.json["items"], answer.json["totalCount"]) == (200, [], 0)
        assert answer.json["links"] == {"self": f"{alone.url}/segments?offset=0&pagesize=20&action=self"}

    async def test_roles_changed_by_others_count_from_then_on(self, alone: Deployment) -> None:
        await alone.editor.create(body(), "some-segment")
        await alone.resources.annotate("some-segment", roles='{"editor": ["a"], "viewer": ["a"]}')
        resource = await alone.resources.get("some-segment")
        assert (await alone.viewer.list(minRevision=revision_of(resource))).json["totalCount"] == 0
        assert (await alone.caller("a").list()).json["totalCount"] == 1

    async def test_writes_show_in_lists_at_once(self, alone: Deployment) -> None:
        editor = alone.editor
        for number in range(5):
            await editor.create(body(), f"segment-{number}")
            assert (await editor.list()).json["totalCount"] == number + 1
        await editor.replace("segment-3", body("Renamed"))
        assert (await editor.list(search="renamed")).ids == ["segment-3"]
        assert (await editor.list(search="demo")).json["totalCount"] == 4
        await editor.delete("segment-3")
        assert (await editor.list(search="renamed")).ids == []
        assert (await editor.list()).json["totalCount"] == 4
