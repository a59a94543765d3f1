"""JWS compact serialization (RFC 7515, section 3.1): from a token's text to what was signed and how.

Reading is total: whatever a caller sends, from bytes above 0x7f to a header nested a thousand deep, is a `SignedToken`
or a `TokenInvalid`. Nothing in here is to be believed yet: this module checks no signature and picks no key, and it
ignores the keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`).
"""

import base64
import json
from dataclasses import dataclass
from typing import NoReturn

from .errors import TokenInvalid

MAX_TOKEN_LENGTH = 64 * 1024
"""As much as the server takes in one header field."""

_TYPES = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart: the names of algorithm and key, the bytes that were signed, and the signature on them."""

    algorithm: str
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes


def read_token(token: str) -> SignedToken:
    """Take `token` apart.

    Raises TokenInvalid if it is no JWS in compact form, if a header parameter must be understood that is not
    (`crit`, RFC 7515, section 4.1.11), or if it says to be another kind of token than a JWT or an access token
    (`typ`: RFC 8725, section 3.11, and RFC 9068, section 2.1).
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenInvalid("too_long")
    parts = token.split(".")
    if len(parts) != 3:  # five are a JWE: nobody encrypts to this service
        raise TokenInvalid("malformed")
    try:
        header = read_json(decode_base64url(parts[0]))
        payload = decode_base64url(parts[1])
        signature = decode_base64url(parts[2])
    except ValueError:
        raise TokenInvalid("malformed") from None
    if not isinstance(header, dict):
        raise TokenInvalid("malformed")
    if "crit" in header:
        raise TokenInvalid("critical_header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise TokenInvalid("malformed")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenInvalid("token_type")
    return SignedToken(
        algorithm=algorithm,
        kid=kid,
        signed=token[: token.rindex(".")].encode("ascii"),
        payload=payload,
        signature=signature,
    )


def decode_base64url(text: str) -> bytes:
    """Return the bytes that `text` stands for in unpadded base64url (RFC 7515, section 2).

    Raises ValueError for anything but the one spelling that encoding those bytes gives: no padding, no white space, no
    stray bits at the end, nothing outside ASCII.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise ValueError("not canonical base64url")
    return data


def read_json(data: bytes) -> object:
    """Return the JSON value in `data`, which must be UTF-8; raises ValueError for all that is none, NaN included."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
