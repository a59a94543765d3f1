"""Links behind a gateway: scheme and host as the caller saw them, from whom they are believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.api.bodies import body, unique
from tests.api.client import raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.client import Client
    from tests.api.conftest import Deploy, Deployment

TRUSTED = frozenset({"api.example.com", "other.example.com:8443", "[2001:db8::1]"})


@pytest_asyncio.fixture(scope="module")
async def gateway(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service behind gateways of these names."""
    async with deploy(trusted_hosts=TRUSTED) as deployment:
        yield deployment


async def base_seen(client: Client, headers: dict[str, str]) -> str:
    answer = await client.list(headers=headers)
    assert answer.status == 200, answer.json
    link: str = answer.json["links"]["self"]
    return link.partition("/segments?")[0]


class TestTrustedHosts:
    """SEGSVC_TRUSTED_HOSTS names the forwarded host."""

    @pytest.mark.parametrize(
        ("headers", "base"),
        [
            ({"X-Forwarded-Host": "api.example.com"}, "http://api.example.com"),
            ({"X-Forwarded-Host": "API.Example.com"}, "http://API.Example.com"),
            ({"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "https"}, "https://api.example.com"),
            ({"X-Forwarded-Host": "api.example.com:444", "X-Forwarded-Proto": "https"}, "https://api.example.com:444"),
            ({"X-Forwarded-Host": "api.example.com:443", "X-Forwarded-Proto": "https"}, "https://api.example.com"),
            (
                {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"},
                "https://api.example.com:8443",
            ),
            (
                {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"},
                "https://api.example.com",
            ),
            (
                {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"},
                "http://api.example.com",
            ),
            ({"X-Forwarded-Host": "api.example.com", "X-Forwarded-Prefix": "/v1"}, "http://api.example.com/v1"),
            ({"X-Forwarded-Host": "other.example.com", "X-Forwarded-Port": "8443"}, "http://other.example.com:8443"),
            ({"Forwarded": "for=192.0.2.1", "X-Forwarded-Host": "api.example.com"}, "http://api.example.com"),
            ({"Forwarded": "host=api.example.com", "X-Forwarded-Prefix": "/v1"}, "http://api.example.com/v1"),
            ({"Forwarded": "host=api.example.com", "X-Forwarded-Port": "9"}, "http://api.example.com"),
            ({"X-Forwarded-Host": "api.example.com", "X-Forwarded-Prefix": "/a/b/"}, "http://api.example.com/a/b"),
            ({"X-Forwarded-Host": "api.example.com, inner.example.com"}, "http://api.example.com"),
            ({"X-Forwarded-Host": "other.example.com:8443"}, "http://other.example.com:8443"),
            ({"Forwarded": "host=api.example.com;proto=https"}, "https://api.example.com"),
            ({"Forwarded": 'for=1.2.3.4; Proto=HTTPS; Host="api.example.com:8443"'}, "https://api.example.com:8443"),
            ({"Forwarded": "host=api.example.com;proto=https, host=inner;proto=http"}, "https://api.example.com"),
            ({"Forwarded": 'host="[2001:db8::1]:8443"'}, "http://[2001:db8::1]:8443"),
        ],
    )
    async def test_links_are_what_the_caller_saw(self, gateway: Deployment, headers: dict[str, str], base: str) -> None:
        assert (await base_seen(gateway.viewer, headers)).lower() == base.lower()

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-Host": "example.com"},
            {"X-Forwarded-Host": "evil.api.example.com"},
            {"Forwarded": "for=192.0.2.1", "X-Forwarded-Host": "evil.com"},
            {"Forwarded": 'host="api.example.com;x"'},
            {"X-Forwarded-Host": "api.example.com.evil.com"},
            {"X-Forwarded-Host": "api.example.com@evil.com"},
            {"X-Forwarded-Host": "api.example.com/evil"},
            {"X-Forwarded-Host": "api.example.com#evil"},
            {"X-Forwarded-Host": "evil.com, api.example.com"},
            {"X-Forwarded-Host": "other.example.com"},
            {"X-Forwarded-Host": "api.example.com\xfc"},
            {"Forwarded": "host=example.com"},
            {"Forwarded": "host=evil.com, host=api.example.com"},
            {"Forwarded": "host=example.com", "X-Forwarded-Host": "api.example.com"},
        ],
    )
    async def test_a_host_that_is_not_named_is_refused(self, gateway: Deployment, headers: dict[str, str]) -> None:
        for answer in (
            await gateway.editor.list(headers=headers),
            await gateway.editor.create(body(), unique(), headers=headers),
        ):
            assert answer.status == 400
            assert answer.json["type"] == "bad_header_value"
            assert answer.json["message"].startswith("Forwarded header verification failed. Cannot find '")
        assert (await gateway.editor.list()).json["totalCount"] == 0

    async def test_the_message_is_the_platforms(self, gateway: Deployment) -> None:
        answer = await gateway.viewer.list(headers={"X-Forwarded-Host": "example.com"})
        assert answer.json["message"] == (
            "Forwarded header verification failed. Cannot find 'example.com' in specified trusted hosts."
        )

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "javascript"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Port": "99999"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Port": "80/evil"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Port": "٣"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Prefix": "//evil.com"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Prefix": "evil"},
            {"X-Forwarded-Host": "api.example.com", "X-Forwarded-Prefix": '/"><script>'},
            {"X-Forwarded-Host": "api.example.com:99999999"},
        ],
    )
    async def test_what_is_no_scheme_port_or_prefix_is_refused(
        self, gateway: Deployment, headers: dict[str, str]
    ) -> None:
        answer = await gateway.viewer.list(headers=headers)
        assert answer.status == 400
        assert answer.json["type"] == "bad_header_value"

    async def test_the_token_is_checked_before_the_host(self, gateway: Deployment) -> None:
        answer = await gateway.viewer.anonymous().list(headers={"X-Forwarded-Host": "example.com"})
        assert answer.status == 401

    async def test_without_forwarded_headers_it_is_the_host(self, gateway: Deployment) -> None:
        assert await base_seen(gateway.viewer, {}) == gateway.url
        assert await base_seen(gateway.viewer, {"Host": "segments.internal"}) == "http://segments.internal"

    async def test_locations_and_all_links_follow(self, gateway: Deployment) -> None:
        headers = {"Forwarded": "host=api.example.com;proto=https"}
        segment_id = unique()
        created = await gateway.editor.create(body(), segment_id, headers=headers)
        address = f"https://api.example.com/segments/{segment_id}"
        assert created.headers["Location"] == address
        assert created.json["links"]["self"] == f"{address}?action=self"
        replaced = await gateway.editor.replace(segment_id, body(), headers=headers)
        assert replaced.json["links"]["self"] == f"{address}?action=self"
        page = await gateway.editor.list(headers=headers)
        assert page.json["items"][0]["links"]["self"] == f"{address}?action=self"
        assert page.headers["Link"].startswith("<https://api.example.com/segments?offset=0")
        await gateway.editor.delete(segment_id)


class TestUnset:
    """Without trusted hosts forwarded headers are ignored."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/x"},
            {"Forwarded": "host=evil.example.com;proto=https"},
            {"X-Forwarded-Proto": "javascript", "X-Forwarded-Port": "x"},
        ],
    )
    async def test_they_change_nothing(self, service: Deployment, headers: dict[str, str]) -> None:
        assert await base_seen(service.viewer, headers) == service.url

    @pytest.mark.parametrize("host", ["segments.internal", "segments.internal:80", "127.0.0.1:9", "[::1]:8080"])
    async def test_links_have_the_host_that_the_caller_used(self, service: Deployment, host: str) -> None:
        assert await base_seen(service.viewer, {"Host": host}) == f"http://{host}"

    async def test_a_caller_of_http_1_0_without_a_host_is_answered(self, service: Deployment) -> None:
        token = str(service.viewer.token).encode()
        answer = await raw(service.url, b"GET /segments HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n" % token)
        assert answer.status == 200
        assert answer.json["links"]["self"].startswith("http://")


async def test_equal_pages_for_two_hosts_are_kept_apart(service: Deployment) -> None:
    for host in ("one.example.com", "two.example.com", "one.example.com"):
        assert await base_seen(service.viewer, {"Host": host}) == f"http://{host}"


async def test_a_host_named_in_the_request_line_is_nobody_elses_address(service: Deployment) -> None:
    caller, host = service.editor, f"{unique()}.example.com"
    token = f"Authorization: Bearer {caller.token}"

    async def seen(target: str) -> str:
        sent = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{token}\r\n\r\n"
        link: str = (await raw(service.url, sent.encode())).json["links"]["self"]
        return link.partition("/segments?")[0]

    assert await seen("http://elsewhere.example.com/segments") == "http://elsewhere.example.com"
    assert await seen("/segments") == f"http://{host}"
    assert await seen("http://elsewhere.example.com/segments") == "http://elsewhere.example.com"
    assert (await caller.list(headers={"Host": host})).json["links"]["self"].startswith(f"http://{host}/")
