"""Who a caller is: both headers, bad tokens, roles and names."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from segsvc.devcluster.issuer import TokenIssuer
from tests.api.bodies import EDITOR, VIEWER, body, unique
from tests.api.client import Client, raw, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.client import Answer
    from tests.api.conftest import Deploy, Deployment

REQUESTS = [
    ("GET", "/segments"),
    ("HEAD", "/segments"),
    ("GET", "/segments/some-segment"),
    ("POST", "/segments"),
    ("POST", "/segments/some-segment"),
    ("PUT", "/segments/some-segment"),
    ("DELETE", "/segments/some-segment"),
    ("GET", "/segments/%2E"),
]
INVALID = 'Bearer error="invalid_token"'


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def assert_refused(answer: Answer) -> None:
    assert answer.status == 403
    assert answer.body == b""
    assert answer.headers["WWW-Authenticate"] == INVALID


class TestNoToken:
    """401."""

    @pytest.mark.parametrize(("method", "path"), REQUESTS)
    async def test_every_request_needs_one(self, service: Deployment, method: str, path: str) -> None:
        answer = await service.editor.anonymous().request(method, path)
        assert answer.status == 401
        assert answer.body == b""
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authentication": ""},
            {"Authentication": "Bearer"},
            {"Cookie": "token=x"},
            {"X-Authorization": "Bearer x"},
        ],
    )
    async def test_a_header_without_one_is_none(self, editor: Client, headers: dict[str, str]) -> None:
        answer = await editor.anonymous().list(headers=headers)
        assert (answer.status, answer.body) == (401, b"")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    async def test_a_token_in_the_query_is_none(self, editor: Client) -> None:
        assert (await editor.anonymous().get(f"/segments?access_token={editor.token}")).status == 401


class TestWhereTheTokenIs:
    """Authorization, and the specification's Authentication."""

    @pytest.mark.parametrize(
        ("header", "written"),
        [
            ("Authorization", "Bearer {}"),
            ("Authorization", "bearer {}"),
            ("Authorization", "BEARER   {}"),
            ("authorization", "Bearer {}"),
            ("Authentication", "Bearer {}"),
            ("Authentication", "bearer {}"),
            ("Authentication", "{}"),
        ],
    )
    async def test_both_headers_are_read(self, editor: Client, header: str, written: str) -> None:
        answer = await editor.anonymous().list(headers={header: written.format(editor.token)})
        assert answer.status == 200

    async def test_authorization_without_bearer_is_no_bearer_token(self, editor: Client) -> None:
        answer = await editor.anonymous().list(headers={"Authorization": str(editor.token)})
        assert answer.status in {401, 403}
        assert answer.body == b""

    async def test_authentication_is_read_only_where_there_is_no_authorization(self, editor: Client) -> None:
        good, bad = f"Bearer {editor.token}", "Bearer nonsense"
        assert_refused(await editor.anonymous().list(headers={"Authorization": bad, "Authentication": good}))
        answer = await editor.anonymous().list(headers={"Authorization": good, "Authentication": bad})
        assert answer.status == 200

    async def test_two_tokens_are_not_one(self, service: Deployment) -> None:
        header = ("Authorization", f"Bearer {service.editor.token}")
        answer = await raw(service.url, request_bytes("GET", "/segments", [header, header]))
        assert answer.status in {400, 401, 403}


class TestBadTokens:
    """403, whatever is wrong with it, and never a 500."""

    @pytest.mark.parametrize(("method", "path"), REQUESTS)
    async def test_every_request_refuses_it(self, editor: Client, method: str, path: str) -> None:
        assert_refused(await editor.anonymous().request(method, path, headers={"Authorization": "Bearer nonsense"}))

    @pytest.mark.parametrize(
        "token",
        [
            "nonsense",
            ".",
            "..",
            "...",
            "a.b.c",
            "a.b.c.d.e",
            "x" * 60_000,
            "." * 1000,
            "eyJhbGciOiJSUzI1NiJ9..",
            f"{encoded(None)}.{encoded({})}.{encoded(b'x')}",
            f"{encoded([])}.{encoded({})}.{encoded(b'x')}",
            f"{encoded(b'[' * 20_000)}.{encoded({})}.{encoded(b'x')}",
            f"{encoded({'alg': 'RS256', 'kid': ['x']})}.{encoded({})}.{encoded(b'x')}",
            f"{encoded({'alg': 'RS256', 'kid': 'x'})}.{encoded(b'x')}.{encoded(b'x')}",
            f"{encoded({'alg': 5})}.{encoded({})}.{encoded(b'x')}",
            f"{encoded({'alg': 'RS256', 'crit': ['exp']})}.{encoded({})}.{encoded(b'x')}",
        ],
    )
    async def test_a_malformed_one_is_refused(self, editor: Client, token: str) -> None:
        assert_refused(await editor.anonymous().list(headers={"Authorization": f"Bearer {token}"}))

    @pytest.mark.parametrize(
        "value",
        [b"Bearer \xff\xfe", b"Bearer \xc3\xa9.\xc3\xa9.\xc3\xa9", b"\xff", b"Bearer \xed\xa0\x80", b"B\xe9arer x"],
    )
    @pytest.mark.parametrize("header", ["Authorization", "Authentication"])
    async def test_bytes_that_are_no_text_are_401_or_403(self, service: Deployment, header: str, value: bytes) -> None:
        answer = await raw(service.url, request_bytes("GET", "/segments", [(header, value)]))
        assert answer.status in {401, 403}
        assert answer.body == b""

    @pytest.mark.parametrize(
        ("claim", "offset"), [("exp", -31), ("exp", -100_000), ("nbf", 40), ("iat", 40), ("nbf", 100_000)]
    )
    async def test_one_that_is_expired_or_not_yet_valid_is_refused(
        self, service: Deployment, issuer: TokenIssuer, claim: str, offset: int
    ) -> None:
        assert_refused(await at(service, claim, now(issuer) + offset).list())

    @pytest.mark.parametrize(("claim", "offset"), [("exp", -20), ("nbf", 20), ("iat", 20)])
    async def test_clocks_may_differ_by_30_seconds(
        self, service: Deployment, issuer: TokenIssuer, claim: str, offset: int
    ) -> None:
        assert (await at(service, claim, now(issuer) + offset).list()).status == 200

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": None},
            {"exp": "tomorrow"},
            {"exp": True},
            {"exp": []},
            {"iss": None},
            {"iss": "https://elsewhere.example.com"},
            {"iss": ["x"]},
            {"nbf": "x"},
        ],
    )
    async def test_claims_that_are_missing_or_nonsense_are_refused(
        self, service: Deployment, claims: dict[str, Any]
    ) -> None:
        assert_refused(await service.caller(VIEWER, **claims).list())

    async def test_one_whose_claims_were_changed_is_refused(self, service: Deployment) -> None:
        header, payload, signature = str(service.viewer.token).split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        claims["resource_access"] = {"segment-management-api": {"roles": [EDITOR]}}
        client = Client(service.http, service.url, f"{header}.{encoded(claims)}.{signature}")
        assert_refused(await client.list())

    @pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "dir", "RS1", "A128KW"])
    async def test_one_that_is_not_signed_asymmetrically_is_refused(
        self, service: Deployment, issuer: TokenIssuer, algorithm: str
    ) -> None:
        payload = str(service.editor.token).split(".")[1]
        for signature in ("", encoded(b"x" * 32)):
            token = f"{encoded({'alg': algorithm, 'kid': issuer.kid})}.{payload}.{signature}"
            assert_refused(await Client(service.http, service.url, token).list())

    async def test_one_of_another_issuer_with_the_same_name_is_refused(self, service: Deployment) -> None:
        stranger = TokenIssuer()
        await stranger.start()
        try:
            token = stranger.issue(name="Eve", roles=[EDITOR, VIEWER], iss=service.issuer.issuer)
        finally:
            await stranger.stop()
        assert_refused(await Client(service.http, service.url, token).list())


@pytest_asyncio.fixture(scope="module")
async def choosy(deploy: Deploy) -> AsyncIterator[Deployment]:
    """A service that only takes tokens for its own audience, and counts another client's roles."""
    async with deploy(oidc_audience="segments", oidc_client="other-client") as deployment:
        yield deployment


class TestAudience:
    """Checked where it is set."""

    @pytest.mark.parametrize("audience", ["segments", ["account", "segments"]])
    async def test_a_token_for_it_is_taken(self, choosy: Deployment, audience: Any) -> None:
        assert (await choosy.caller(VIEWER, aud=audience).list()).status == 200

    @pytest.mark.parametrize("audience", [None, "account", "segments2", ["segment"], [], {"segments": 1}, 5])
    async def test_a_token_for_another_is_not(self, choosy: Deployment, audience: Any) -> None:
        assert_refused(await choosy.caller(VIEWER, aud=audience).list())

    async def test_unset_any_will_do(self, service: Deployment) -> None:
        assert (await service.caller(VIEWER, aud=None).list()).status == 200

    async def test_the_client_whose_roles_count_is_a_setting(self, choosy: Deployment) -> None:
        aud = "segments"
        assert (await choosy.caller(EDITOR, aud=aud).create(body(), unique())).status == 403
        assert (await choosy.caller(EDITOR, aud=aud, client="other-client").create(body(), unique())).status == 200


class TestRoles:
    """resource_access.<client>.roles, where it is a list of strings."""

    @pytest.mark.parametrize(
        "access",
        [
            None,
            [],
            "segment_job_edit",
            {"segment-management-api": None},
            {"segment-management-api": [EDITOR]},
            {"segment-management-api": {"roles": EDITOR}},
            {"segment-management-api": {"roles": {EDITOR: True}}},
            {"segment-management-api": {"roles": [EDITOR, 5]}},
            {"segment-management-api": {"roles": [[EDITOR]]}},
            {"segment-management-api": {"roles": None}},
            {"account": {"roles": [EDITOR]}},
        ],
    )
    async def test_anything_else_counts_as_no_roles(self, service: Deployment, access: Any) -> None:
        caller = service.caller(resource_access=access)
        assert (await caller.create(body(), unique())).status == 403
        answer = await caller.list()
        assert (answer.status, answer.json["totalCount"]) == (200, 0)

    async def test_realm_roles_do_not_count(self, service: Deployment) -> None:
        caller = service.caller(realm_access={"roles": [EDITOR, VIEWER]})
        assert (await caller.create(body(), unique())).status == 403

    async def test_a_token_with_many_roles_works(self, service: Deployment) -> None:
        many = [f"role-{number:04}-of-a-large-organisation" for number in range(1250)]
        caller = service.caller(EDITOR, VIEWER, *many)
        assert 50_000 < len(str(caller.token)) < 64 * 1024
        segment_id = unique()
        assert (await caller.create(body(), segment_id)).status == 200
        answer = await caller.anonymous().read(segment_id, headers={"Authentication": str(caller.token)})
        assert answer.status == 200


class TestNames:
    """Claims of any kind make no trouble."""

    @pytest.mark.parametrize(
        ("claims", "author"),
        [
            ({"name": ["x"], "email": {"y": 1}, "preferred_username": "ada"}, {"name": "ada", "email": ""}),
            ({"name": None, "email": None, "sub": "s"}, {"name": "s", "email": ""}),
            ({"name": 5, "preferred_username": 6, "sub": "s"}, {"name": "s", "email": "ada@example.com"}),
        ],
    )
    async def test_what_is_no_text_is_no_name(
        self, service: Deployment, claims: dict[str, Any], author: dict[str, str]
    ) -> None:
        answer = await service.caller(EDITOR, **claims).create(body(), unique())
        assert answer.json["metadata"]["createdBy"] == author

    async def test_a_lone_surrogate_in_a_name_does_no_harm(self, service: Deployment) -> None:
        segment_id = unique()
        answer = await service.caller(EDITOR, VIEWER, name="Ada \ud800").create(body(), segment_id)
        assert answer.status == 200
        assert answer.json["metadata"]["createdBy"]["name"].startswith("Ada ")
        assert (await service.viewer.read(segment_id)).status == 200


class TestKeys:
    """The issuer's keys."""

    async def test_a_new_key_is_found_at_once_and_the_old_one_still_good(self, deploy: Deploy) -> None:
        own = TokenIssuer()
        await own.start()
        try:
            async with deploy(oidc_issuer=own.issuer) as deployment:

                def caller() -> Client:
                    return Client(deployment.http, deployment.url, own.issue(name="Ada", roles=[VIEWER]))

                old = caller()
                assert (await old.list()).status == 200
                own.rotate()
                assert (await caller().list()).status == 200
                assert (await old.list()).status == 200
        finally:
            await own.stop()

    async def test_without_keys_it_is_503_until_the_issuer_is_up(self, deploy: Deploy) -> None:
        own = TokenIssuer()
        await own.start()
        issuer, token = own.issuer, own.issue(name="Ada", roles=[VIEWER])
        await own.stop()
        async with deploy(oidc_issuer=issuer) as deployment:
            answer = await Client(deployment.http, deployment.url, token).list()
            assert answer.status == 503
            assert answer.json["type"] == "service_unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await deployment.editor.anonymous().list()).status == 401

    async def test_a_flood_of_unknown_kids_is_no_flood_of_fetches(self, deploy: Deploy) -> None:
        async with deploy() as deployment:
            assert (await deployment.viewer.list()).status == 200
            before = await deployment.metric("segsvc_key_fetches_total")
            payload = str(deployment.viewer.token).split(".")[1]
            for number in range(50):
                token = f"{encoded({'alg': 'RS256', 'kid': f'kid-{number}'})}.{payload}.{encoded(b'x' * 256)}"
                assert_refused(await Client(deployment.http, deployment.url, token).list())
            assert await deployment.metric("segsvc_key_fetches_total") <= before + 1


def at(service: Deployment, claim: str, moment: int) -> Client:
    """A caller whose token says this moment in this claim."""
    claims: dict[str, Any] = {claim: moment}
    return service.caller(VIEWER, **claims)


def now(issuer: TokenIssuer) -> int:
    """The time by the issuer's own clock."""
    payload = issuer.issue().split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iat"])
