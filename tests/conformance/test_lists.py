"""Lists: pages, versions, selectors, and what is refused."""

from __future__ import annotations

import pytest

from tests.conformance.client import API_VERSION, Api


async def _create_seven(cluster: Api) -> None:
    for index in range(7):
        await cluster.create(f"w{index}", labels={"half": "even" if index % 2 == 0 else "odd", "i": str(index)})


async def test_an_empty_list_is_a_list(cluster: Api) -> None:
    answer = await cluster.get(cluster.widgets)
    assert answer.status == 200
    assert answer.body == {
        "apiVersion": API_VERSION,
        "items": [],
        "kind": "WidgetList",
        "metadata": {"continue": "", "resourceVersion": answer.version},
    }


async def test_a_list_is_in_the_order_of_names_and_as_new_as_its_last_write(cluster: Api) -> None:
    for name in ("b", "a.b", "a-b", "a"):
        newest = await cluster.create(name)
    answer = await cluster.get(cluster.widgets)
    assert answer.names == ["a", "a-b", "a.b", "b"]
    assert int(answer.version) >= int(newest["metadata"]["resourceVersion"])
    assert answer.body["items"][3] == (await cluster.get(f"{cluster.widgets}/b")).body


async def test_a_list_of_all_namespaces_holds_them_all(cluster: Api) -> None:
    await cluster.create("w")
    answer = await cluster.get(cluster.everywhere, fieldSelector=f"metadata.namespace={cluster.namespace}")
    assert answer.names == ["w"]
    assert (await cluster.get(cluster.everywhere, fieldSelector="metadata.namespace=elsewhere")).names == []


async def test_pages_show_the_state_of_the_first_page(cluster: Api) -> None:
    await _create_seven(cluster)
    first = await cluster.get(cluster.widgets, limit=3)
    assert first.names == ["w0", "w1", "w2"]
    assert first.body["metadata"]["remainingItemCount"] == 4
    await cluster.create("w35")
    await cluster.request("DELETE", f"{cluster.widgets}/w4")
    await cluster.patch("w5", {"spec": {"size": 9}})
    await cluster.request("DELETE", f"{cluster.widgets}/w0")
    token = {"continue": first.body["metadata"]["continue"]}
    second = await cluster.get(cluster.widgets, limit=3, **token)
    assert second.names == ["w3", "w4", "w5"]
    assert second.body["items"][2]["spec"]["size"] == 1
    assert second.body["metadata"]["remainingItemCount"] == 1
    third = await cluster.get(cluster.widgets, limit=3, **{"continue": second.body["metadata"]["continue"]})
    assert third.names == ["w6"]
    assert third.body["metadata"]["continue"] == ""
    assert "remainingItemCount" not in third.body["metadata"]
    assert first.version == second.version == third.version
    rest = await cluster.get(cluster.widgets, **token)
    assert rest.names == ["w3", "w4", "w5", "w6"]


async def test_pages_of_a_selection_do_not_count_what_is_left(cluster: Api) -> None:
    await _create_seven(cluster)
    page = await cluster.get(cluster.widgets, limit=2, labelSelector="half=even")
    assert page.names == ["w0", "w2"]
    assert "remainingItemCount" not in page.body["metadata"]
    rest = await cluster.get(
        cluster.widgets, labelSelector="half=even", **{"continue": page.body["metadata"]["continue"]}
    )
    assert rest.names == ["w4", "w6"]


async def test_version_zero_ignores_the_limit(cluster: Api) -> None:
    await _create_seven(cluster)
    # what answers for "any version" may be a little older, until it has been asked for a newer one
    newest = (await cluster.get(cluster.widgets)).version
    await cluster.get(cluster.widgets, resourceVersion=newest, resourceVersionMatch="NotOlderThan")
    page = await cluster.get(cluster.widgets, limit=3, resourceVersion="0")
    assert (len(page.names), page.body["metadata"]["continue"]) == (7, "")


async def test_a_list_can_be_not_older_than_a_version_or_exactly_at_it(cluster: Api) -> None:
    await _create_seven(cluster)
    then = (await cluster.get(cluster.widgets)).version
    await cluster.create("w7")
    # as above: not older than this may be older than what is newest
    newest = (await cluster.get(cluster.widgets)).version
    await cluster.get(cluster.widgets, resourceVersion=newest, resourceVersionMatch="NotOlderThan")
    at_least = await cluster.get(cluster.widgets, resourceVersion=then)
    assert len(at_least.names) == 8
    loose = await cluster.get(cluster.widgets, resourceVersion=then, resourceVersionMatch="NotOlderThan")
    assert len(loose.names) == 8
    exact = await cluster.get(cluster.widgets, resourceVersion=then, resourceVersionMatch="Exact")
    assert (len(exact.names), exact.version) == (7, then)
    page = await cluster.get(cluster.widgets, resourceVersion=then, resourceVersionMatch="Exact", limit=5)
    assert (len(page.names), page.version) == (5, then)
    rest = await cluster.get(cluster.widgets, **{"continue": page.body["metadata"]["continue"]})
    assert (rest.names, rest.version) == (["w5", "w6"], then)


@pytest.mark.parametrize("query", [{}, {"resourceVersionMatch": "Exact"}, {"limit": "2"}])
async def test_a_version_from_the_future_times_out(cluster: Api, query: dict[str, str]) -> None:
    answer = await cluster.get(cluster.widgets, resourceVersion="99999999", **query)
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
    assert answer.body["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("half=even", ["w0", "w2", "w4", "w6"]),
        ("half==even", ["w0", "w2", "w4", "w6"]),
        ("half!=even", ["w1", "w3", "w5"]),
        ("half in (even, odd), i notin (1,2)", ["w0", "w3", "w4", "w5", "w6"]),
        ("half,i=3", ["w3"]),
        ("!half", []),
        ("i>3", ["w4", "w5", "w6"]),
        ("i<2", ["w0", "w1"]),
    ],
)
async def test_labels_select(cluster: Api, selector: str, names: list[str]) -> None:
    await _create_seven(cluster)
    assert (await cluster.get(cluster.widgets, labelSelector=selector)).names == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [("metadata.name=w1", ["w1"]), ("metadata.name==w1", ["w1"]), ("metadata.name=none", []), ("metadata.name!=w1", 6)],
)
async def test_fields_select(cluster: Api, selector: str, names: list[str] | int) -> None:
    await _create_seven(cluster)
    found = (await cluster.get(cluster.widgets, fieldSelector=selector)).names
    assert found == names or len(found) == names


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"resourceVersion": "abc"},
            (
                'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": '
                "invalid syntax"
            ),
        ),
        ({"limit": "abc"}, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ({"labelSelector": "(("}, "found '(', expected: !, identifier, or 'end of string'"),
        ({"labelSelector": "a=b=c"}, "found '=', expected: ',' or 'end of string'"),
        ({"fieldSelector": "spec.size=1"}, "field label not supported: spec.size"),
        ({"fieldSelector": "xx"}, "invalid selector: 'xx'; can't understand 'xx'"),
    ],
)
async def test_options_that_cannot_be_read_are_a_bad_request(cluster: Api, query: dict[str, str], message: str) -> None:
    answer = await cluster.get(cluster.widgets, **query)
    assert (answer.status, answer.body["reason"], answer.body["message"]) == (400, "BadRequest", message)


async def test_a_continue_token_must_be_one(cluster: Api) -> None:
    answer = await cluster.get(cluster.widgets, limit=3, **{"continue": "garbage"})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"].startswith("invalid continue token")


async def test_a_continue_token_goes_with_no_version(cluster: Api) -> None:
    await _create_seven(cluster)
    token = {"continue": (await cluster.get(cluster.widgets, limit=3)).body["metadata"]["continue"]}
    answer = await cluster.get(cluster.widgets, resourceVersion="1", **token)
    assert answer.body["message"] == "specifying resource version is not allowed when using continue"
    assert (await cluster.get(cluster.widgets, resourceVersion="0", **token)).status == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"resourceVersion": "1", "resourceVersionMatch": "Foo"},
            'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""',
        ),
    ],
)
async def test_options_that_contradict_each_other_are_invalid(
    cluster: Api, query: dict[str, str], message: str
) -> None:
    answer = await cluster.get(cluster.widgets, **query)
    assert answer.status == 422
    assert {cause[2] for cause in answer.causes} == {message}
    assert answer.body["details"]["kind"] == "ListOptions"


async def test_a_get_may_ask_for_a_version_that_is_reached(cluster: Api) -> None:
    created = await cluster.create("w")
    version = created["metadata"]["resourceVersion"]
    assert (await cluster.get(f"{cluster.widgets}/w", resourceVersion=version)).body == created
    future = await cluster.get(f"{cluster.widgets}/w", resourceVersion="99999999")
    assert (future.status, future.body["reason"]) == (504, "Timeout")
