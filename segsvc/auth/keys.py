"""The issuer's public keys (RFC 7517): from a JWK set to keys that can verify a signature.

A key serves for the algorithms that fit its type and curve, narrowed to the one it names itself; so a token cannot
choose how its key is used. One key that is for encryption, unknown, weak or rubbish is left out alone: it never
harms another. Secret key material (`oct`) and published private keys are never used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import JWKRegistry, Key

from .jws import decode_base64url

MIN_RSA_BITS = 2048  # RFC 7518, section 3.3

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    # RFC 9864 renames EdDSA after its curves; either name means the same signature, whichever of them the key has.
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA", "Ed448"),
}
_ALLOWED = {*_RSA_ALGORITHMS, *(name for names in _CURVE_ALGORITHMS.values() for name in names)}
# Looked up here and not through joserfc's registry, which warns at every single use of the name EdDSA.
_ALGORITHMS: Mapping[str, JWSAlgModel] = {model.name: model for model in JWS_ALGORITHMS if model.name in _ALLOWED}

ALGORITHMS = frozenset(_ALGORITHMS)
"""The algorithms that a token may be signed with: asymmetric ones only, so `none` and HMAC are not among them."""

_KEY_MEMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key for checking signatures; two are equal if they accept the same tokens."""

    kid: str | None
    algorithms: frozenset[str]
    thumbprint: str
    key: Key = field(compare=False, repr=False)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Say whether `signature` is this key's on `signed`; never for an algorithm that the key is not for."""
        return algorithm in self.algorithms and _ALGORITHMS[algorithm].verify(signed, signature, self.key)


class IgnoredKey(NamedTuple):
    """A key of the set that cannot be used, and why."""

    kid: str
    reason: str


class _UnusableError(ValueError):
    """A key that cannot be used; the message says why."""


def read_key_set(document: object) -> tuple[list[VerificationKey], list[IgnoredKey]]:
    """Return the keys in `document` that can verify signatures, and those that had to be ignored.

    Keys for encryption are in neither list: an issuer publishes them as a matter of course. Raises ValueError if
    `document` is no JWK set (RFC 7517, section 5).
    """
    match document:
        case {"keys": list(entries)}:
            jwks = [entry for entry in entries if isinstance(entry, dict)]
        case _:
            raise ValueError("no JWK set")
    if entries and not jwks:
        raise ValueError("no key in the JWK set is an object")
    usable: dict[VerificationKey, None] = {}
    ignored = []
    for jwk in jwks:
        if jwk.get("use") not in (None, "sig"):
            continue
        try:
            usable[_read_key(jwk)] = None
        except _UnusableError as error:
            ignored.append(IgnoredKey(str(jwk.get("kid"))[:80], str(error)))
    return list(usable), ignored


def _read_key(jwk: Mapping[str, object]) -> VerificationKey:
    """Return the key in `jwk`, of which only the members that define it reach the library; raises _UnusableError."""
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str | None):
        raise _UnusableError("the key id is no string")
    if not isinstance(operations, list) or "verify" not in operations:
        raise _UnusableError("not for verifying")
    if "d" in jwk:
        raise _UnusableError("a private key that is public")
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _KEY_MEMBERS:
        raise _UnusableError("unsupported key type")
    material: dict[str, str | list[str]] = {"kty": kty}
    for member in _KEY_MEMBERS[kty]:
        value = jwk.get(member)
        if not isinstance(value, str):
            raise _UnusableError(f"{member} is missing")
        material[member] = value
    algorithms = _algorithms(kty, jwk)
    try:
        # Before the import, which lets a short key pass with a warning.
        if kty == "RSA" and int.from_bytes(decode_base64url(str(material["n"]))).bit_length() < MIN_RSA_BITS:
            key = None
        else:
            key = JWKRegistry.import_key(material)
    except (JoseError, ValueError, UnsupportedAlgorithm):
        raise _UnusableError("not a valid key") from None
    if key is None:
        raise _UnusableError(f"shorter than {MIN_RSA_BITS} bits")
    return VerificationKey(kid, algorithms, thumbprint=key.thumbprint(), key=key)


def _algorithms(kty: str, jwk: Mapping[str, object]) -> frozenset[str]:
    """Return what a key of type `kty` may be used with; raises _UnusableError if that is nothing."""
    names = _RSA_ALGORITHMS if kty == "RSA" else _CURVE_ALGORITHMS.get((kty, str(jwk.get("crv"))), ())
    named = jwk.get("alg")
    if named is not None and kty != "OKP":
        names = tuple(name for name in names if name == named)
    elif named is not None and named not in names:
        names = ()
    if not names:
        raise _UnusableError("no supported algorithm fits it")
    return ALGORITHMS.intersection(names)
