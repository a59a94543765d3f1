"""Which tokens are accepted, given the issuer's keys."""

import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import Key, RSAKey

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.jws import decode_base64url
from segsvc.auth.keys import read_key_set
from segsvc.auth.principal import Principal
from segsvc.auth.verifier import TokenVerifier
from tests.auth.provider import CLIENT, NOW, Clock, PublishedKeys, claims, encode, key, public, sign

ISSUER = "https://id.example.org/realms/segments"
EC = key("ec")
RSA = key("rsa", "RSA", 2048)


def verifier(*jwks: dict[str, Any], audience: str | None = None, now: float = NOW) -> TokenVerifier:
    keys = PublishedKeys(*(jwks or (public(EC), public(RSA))))
    return TokenVerifier(keys, issuer=ISSUER, audience=audience, client=CLIENT, clock=Clock(now))


async def refusal(token: str, *jwks: dict[str, Any], audience: str | None = None, now: float = NOW) -> str:
    """Return the reason for which `token` is refused."""
    with pytest.raises(TokenInvalid) as caught:
        await verifier(*jwks, audience=audience, now=now).verify(token)
    return caught.value.reason


async def accept(token: str, *jwks: dict[str, Any], audience: str | None = None, now: float = NOW) -> Principal:
    """Check that `token` is taken for Ada's."""
    principal = await verifier(*jwks, audience=audience, now=now).verify(token)
    assert principal.name == "Ada Example"
    return principal


async def test_a_good_token_gives_its_principal() -> None:
    principal = await accept(sign(claims(ISSUER), EC))
    assert principal == Principal("Ada Example", "ada@example.org", frozenset({"segment_job_view"}))


# -- algorithms and keys


@pytest.mark.parametrize(
    ("alg", "kty", "shape"),
    [
        *((alg, "RSA", 2048) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ES256", "EC", "P-256"),
        ("ES384", "EC", "P-384"),
        ("ES512", "EC", "P-521"),
        ("EdDSA", "OKP", "Ed25519"),
        ("EdDSA", "OKP", "Ed448"),
        ("Ed25519", "OKP", "Ed25519"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["key names its algorithm", "key names none"])
async def test_every_asymmetric_algorithm_is_accepted(alg: str, kty: str, shape: int | str, *, named: bool) -> None:
    private = key(f"{kty} {shape}", kty, shape)
    token = sign(claims(ISSUER), private, alg=alg)
    await accept(token, public(private, use="sig", alg=alg if named else None))


async def test_an_eddsa_key_serves_both_names_of_its_algorithm() -> None:
    private = key("OKP Ed25519", "OKP", "Ed25519")
    await accept(sign(claims(ISSUER), private, alg="Ed25519"), public(private, alg="EdDSA"))
    await accept(sign(claims(ISSUER), private, alg="EdDSA"), public(private, alg="Ed25519"))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("kid", ["ec", None])
async def test_an_unsigned_token_is_refused(alg: str, kid: str | None) -> None:
    header = {"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {})
    assert await refusal(f"{encode(header)}.{encode(claims(ISSUER))}.") == "algorithm"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("kid", ["rsa", None])
async def test_a_public_key_is_no_shared_secret(alg: str, kid: str | None) -> None:
    header = encode({"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {}))
    signed = f"{header}.{encode(claims(ISSUER))}"
    pem = RSAKey.import_key(public(RSA)).as_pem()
    for secret in (pem, json.dumps(public(RSA)).encode(), str(public(RSA)["n"]).encode()):
        signature = hmac.digest(secret, signed.encode(), alg.replace("HS", "SHA"))
        assert await refusal(f"{signed}.{encode(signature)}") == "algorithm"


async def test_a_shared_secret_in_the_key_set_is_never_used() -> None:
    secret = key("oct", "oct", 256)
    jwk = {**secret.as_dict(), "use": "sig", "alg": "HS256"}
    assert await refusal(sign(claims(ISSUER), secret, alg="HS256"), jwk, public(EC)) == "algorithm"
    assert PublishedKeys(jwk).ignored == [("oct", "unsupported key type")]


@pytest.mark.parametrize(
    ("alg", "private", "jwk"),
    [
        ("RS512", RSA, public(RSA, alg="RS256")),
        ("PS256", RSA, public(RSA, alg="RS256")),
        ("ES256", EC, {**public(RSA), "kid": "ec"}),
        ("RS256", RSA, {**public(EC), "kid": "rsa"}),
        ("ES256", EC, {**public(key("p384", "EC", "P-384")), "kid": "ec"}),
        ("ES256K", key("k1", "EC", "secp256k1"), public(key("k1", "EC", "secp256k1"))),
    ],
)
async def test_an_algorithm_that_does_not_fit_its_key_is_refused(alg: str, private: Key, jwk: dict[str, Any]) -> None:
    assert await refusal(sign(claims(ISSUER), private, alg=alg), jwk, public(key("other"))) in {
        "unknown_key",
        "algorithm",
    }


def test_a_key_verifies_nothing_with_an_algorithm_that_it_is_not_for() -> None:
    (published,), _ = read_key_set({"keys": [public(RSA, alg="RS256")]})
    for alg, verifies in (("RS256", True), ("RS512", False), ("PS256", False)):
        header, payload, signature = sign(claims(ISSUER), RSA, alg=alg).split(".")
        assert published.verifies(alg, f"{header}.{payload}".encode(), decode_base64url(signature)) is verifies


async def test_a_key_for_encryption_signs_nothing() -> None:
    token = sign(claims(ISSUER), RSA, alg="RS256")
    assert await refusal(token, public(RSA, use="enc"), public(EC)) == "unknown_key"
    assert await refusal(token, public(RSA, use="enc", alg="RSA-OAEP"), public(EC)) == "unknown_key"
    assert await refusal(token, public(RSA, key_ops=["encrypt"]), public(EC)) == "unknown_key"


async def test_a_token_without_kid_is_tried_with_the_signing_keys_that_fit() -> None:
    encryption = public(key("enc", "RSA", 2048), use="enc", alg="RSA-OAEP")
    token = sign(claims(ISSUER), RSA, alg="RS256", kid=None)
    await accept(token, encryption, public(EC, use="sig"), public(RSA, use="sig", alg="RS256"))
    assert await refusal(token, encryption, public(EC, use="sig")) == "unknown_key"


async def test_keys_of_one_kid_do_not_hide_each_other() -> None:
    jwks = [{**public(RSA), "kid": "1"}, {**public(key("enc", "RSA", 2048)), "kid": "1", "use": "enc"}]
    jwks.append({**public(EC), "kid": "1"})
    await accept(sign(claims(ISSUER), RSA, alg="RS256", kid="1"), *jwks)
    await accept(sign(claims(ISSUER), EC, kid="1"), *jwks)


async def test_a_key_that_the_token_brings_along_is_not_believed() -> None:
    stranger = key("stranger")
    for header in ({"jwk": public(stranger)}, {"jku": "https://evil.example.org/keys"}, {"x5c": ["MIIB"]}):
        assert await refusal(sign(claims(ISSUER), stranger, **header)) == "unknown_key"
        assert await refusal(sign(claims(ISSUER), stranger, kid="ec", **header)) == "signature"


async def test_any_change_to_a_token_spoils_it() -> None:
    header, payload, signature = sign(claims(ISSUER), EC).split(".")
    more = encode(claims(ISSUER, resource_access={CLIENT: {"roles": ["segment_job_edit"]}}))
    assert await refusal(f"{header}.{more}.{signature}") == "signature"
    assert await refusal(f"{header}.{payload}.") == "signature"
    assert await refusal(f"{header}.{payload}.{signature[:-2]}") == "signature"
    for last in set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") - {signature[-1]}:
        # The last letter has bits that stand for nothing: another spelling of the same bytes is no signature either.
        assert await refusal(f"{header}.{payload}.{signature[:-1]}{last}") in {"signature", "malformed"}


# -- one bad key never harms another


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA", "n": "!!", "e": "AQAB"},
        {"kty": "RSA", "n": public(RSA)["n"], "e": "AQ"},
        {"kty": "RSA", "n": public(RSA)["n"], "e": ""},
        {"kty": "RSA", "n": "\ud800", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": public(EC)["x"]},
        {"kty": "EC", "crv": ["P-256"], "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "brainpoolP256r1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["RSA"]},
        {"kty": None},
        public(EC, kid=7),
        public(EC, kid=["ec"]),
        public(EC, alg=7),
        public(EC, alg="ES384"),
        public(EC, use=["sig"]),
        public(EC, key_ops="verify"),
        public(EC, key_ops=[["verify"]]),
        EC.as_dict(private=True),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "ec"},
    ],
)
async def test_a_bad_key_harms_no_other(bad: dict[str, Any]) -> None:
    good = public(key("good"))
    await accept(sign(claims(ISSUER), key("good")), bad, good)
    assert not PublishedKeys(bad, good).matching("ec", "ES256")


async def test_members_of_a_key_that_say_nothing_about_its_use_are_not_looked_at() -> None:
    jwk = public(EC, use="sig", key_ops=["verify", "attest"], x5c=[7], x5u="ldap:x", x5t=None, future={"a": 1})
    await accept(sign(claims(ISSUER), EC), jwk)


def test_a_short_rsa_key_is_ignored() -> None:
    short = {"kty": "RSA", "kid": "short", "n": encode(((1 << 1023) + 1).to_bytes(128)), "e": "AQAB"}
    assert PublishedKeys(short).ignored == [("short", "shorter than 2048 bits")]


# -- the header


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", None])
async def test_the_types_of_an_access_token_are_accepted(typ: str | None) -> None:
    await accept(sign(claims(ISSUER), EC, typ=typ))


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "", 7, ["JWT"], {}])
async def test_another_type_of_token_is_refused(typ: object) -> None:
    assert await refusal(sign(claims(ISSUER), EC, typ=typ)) == "token_type"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", 7])
async def test_a_critical_header_is_refused(crit: object) -> None:
    assert await refusal(sign(claims(ISSUER), EC, crit=crit, b64=False, exp=1)) == "critical_header"


@pytest.mark.parametrize("header", [{"x5t": 7}, {"nonce": "n" * 4000}, {"zip": "DEF"}, {"cty": None}])
async def test_header_parameters_that_are_not_understood_are_ignored(header: dict[str, Any]) -> None:
    await accept(sign(claims(ISSUER), EC, **header))


@pytest.mark.parametrize("header", [{"kid": 7}, {"kid": ["ec"]}, {"kid": {}}])
async def test_a_key_id_of_another_type_is_refused(header: dict[str, Any]) -> None:
    assert await refusal(sign(claims(ISSUER), EC, **header)) == "malformed"


# -- claims


async def test_exp_counts_with_leeway_and_to_the_second() -> None:
    token = sign(claims(ISSUER, exp=NOW), EC)
    await accept(token, now=NOW + 29.9)
    assert await refusal(token, now=NOW + 30) == "expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_near_future_is_accepted(claim: str) -> None:
    token = sign(claims(ISSUER, **{claim: NOW + 30}), EC)
    await accept(token)
    assert await refusal(token, now=NOW - 1) == "not_yet_valid"


async def test_nbf_and_iat_may_be_missing_and_exp_may_not() -> None:
    await accept(sign(claims(ISSUER, iat=None), EC))
    assert await refusal(sign(claims(ISSUER, exp=None), EC)) == "claims"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["true", '"2000000000"', "null", "[]", "{}", "1e400", "-1e400", "1" + "0" * 400])
async def test_a_time_that_is_no_finite_number_is_refused(claim: str, value: str) -> None:
    payload = json.dumps(claims(ISSUER, **{claim: "HERE"})).replace('"HERE"', value)
    assert await refusal(sign(payload.encode(), EC)) == "claims"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1" * 5000])
async def test_a_time_that_is_no_json_is_refused(value: str) -> None:
    payload = json.dumps(claims(ISSUER, exp="HERE")).replace('"HERE"', value)
    assert await refusal(sign(payload.encode(), EC)) == "malformed"


@pytest.mark.parametrize("iss", [None, "", ISSUER + "/", ISSUER.upper(), [ISSUER], 7, "https://id.example.org"])
async def test_another_issuer_is_refused(iss: object) -> None:
    assert await refusal(sign(claims(ISSUER, iss=iss), EC)) == "issuer"


@pytest.mark.parametrize("aud", ["segments", ["account", "segments"], ["segments"], [7, None, "segments"]])
async def test_an_expected_audience_may_be_one_of_several(aud: object) -> None:
    await accept(sign(claims(ISSUER, aud=aud), EC), audience="segments")


@pytest.mark.parametrize("aud", [None, "account", ["account"], "segments-admin", "my segments", [], {"segments": 1}, 7])
async def test_another_audience_is_refused_where_one_is_expected_and_only_there(aud: object) -> None:
    token = sign(claims(ISSUER, aud=aud), EC)
    assert await refusal(token, audience="segments") == "audience"
    await accept(token)


async def test_a_token_with_many_roles_is_accepted() -> None:
    roles = [f"segment-role-{number:04}" for number in range(2200)]
    token = sign(claims(ISSUER, resource_access={CLIENT: {"roles": roles}}), EC)
    assert 56_000 < len(token) < 65_536
    assert (await accept(token)).roles == frozenset(roles)


# -- rubbish


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "....",
        "a.b.c",
        "Bearer x",
        "\x00",
        "\ud800.\udfff.\udc80",
        "é.é.é",
        "e30.e30.e30",
        f"{encode([])}.e30.e30",
        f"{encode('alg')}.e30.e30",
        f"{encode(None)}.e30.e30",
        f"{encode({'alg': ['ES256']})}.e30.e30",
        f"{encode({'alg': None})}.e30.e30",
        f"{encode(b'[' * 5000)}.e30.e30",
        f"{encode(b'{' + b'}' * 9)}.e30.e30",
        f"{encode(chr(0xD800).encode('utf-16-le', 'surrogatepass'))}.e30.e30",
        f"{encode({'alg': 'ES256'})}=.e30.e30",
        f"{encode({'alg': 'ES256'})}.e30.\n",
        f"{encode({'alg': 'ES256'})}.e30.e30.e30.e30",
    ],
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert await refusal(token) == "malformed"
    assert verifier().cached(token) is None


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"null", b"7", b'"x"', b"[" * 5000, b"{", b"e30"])
async def test_a_signed_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert await refusal(sign(payload, EC)) == "malformed"


async def test_a_token_beyond_any_header_is_refused_unread() -> None:
    assert await refusal("x" * 65_537) == "too_long"
    assert verifier().cached("x" * 65_537) is None


async def test_a_refusal_does_not_repeat_the_token() -> None:
    token = sign(claims(ISSUER, exp=1), EC)
    with pytest.raises(TokenInvalid) as caught:
        await verifier().verify(token)
    assert str(caught.value) == "expired"
    assert caught.value.__cause__ is None


any_text = st.text(alphabet=st.characters(categories=None))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
any_header = st.fixed_dictionaries(
    {}, optional={name: any_json | st.sampled_from(["ES256", "ec"]) for name in ("alg", "kid", "typ", "crit", "b64")}
)


@given(any_text | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
async def test_no_text_raises_anything_but_that_it_is_invalid(token: str) -> None:
    with pytest.raises(TokenInvalid):
        await verifier().verify(token)


@given(header=any_header | any_json, payload=st.binary() | any_json, signature=st.binary())
async def test_nothing_that_is_unsigned_gets_through(header: object, payload: object, signature: bytes) -> None:
    with pytest.raises(TokenInvalid):
        await verifier().verify(f"{encode(header)}.{encode(payload)}.{encode(signature)}")


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {"iss": st.just(ISSUER) | any_json, "exp": st.just(NOW + 60) | any_json},
        optional=dict.fromkeys(("nbf", "iat", "aud", "name", "sub", "email", "resource_access"), any_json),
    )
)
async def test_no_signed_claims_raise_anything_but_that_they_are_invalid(hostile: dict[str, Any]) -> None:
    try:
        principal = await verifier(audience=None).verify(sign(hostile, EC))
    except TokenInvalid:
        return
    assert hostile["iss"] == ISSUER
    assert hostile["exp"] > NOW - 30
    principal.name.encode("utf-8")
