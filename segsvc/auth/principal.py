"""Who the caller is, as far as this service cares: a name, an e-mail address and the roles of one client.

The claims come out of a token whose signature is good, which says nothing about their types: service accounts have no
name, roles may be a string, a mapper may put anything anywhere. Reading them never raises, and what cannot be
understood grants nothing. Every string that leaves here can be encoded as UTF-8.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request."""

    name: str
    email: str
    roles: frozenset[str]


def principal_from_claims(claims: Mapping[str, object], client: str) -> Principal:
    """Return the principal that `claims` describe, with the roles of `client` (Keycloak's `resource_access`)."""
    candidates = (_text(claims.get(claim)) for claim in ("name", "preferred_username", "sub"))
    return Principal(
        name=next((name for name in candidates if name.strip()), ""),
        email=_text(claims.get("email")),
        roles=_roles(claims, client),
    )


def _roles(claims: Mapping[str, object], client: str) -> frozenset[str]:
    """Return the roles of `client`; anything but a list of strings is no roles, not the part of it that fits."""
    roles: object = claims
    for key in ("resource_access", client, "roles"):
        roles = roles.get(key) if isinstance(roles, Mapping) else None
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        return frozenset()
    # Not repaired: a role that was changed on the way in could equal one that nobody granted.
    return frozenset(role for role in roles if _text(role) == role)


def _text(value: object) -> str:
    """Return `value` with each lone surrogate (JSON's escapes can spell one) replaced, `""` if it is no string."""
    if not isinstance(value, str):
        return ""
    if value.isascii():  # nearly every role, and there can be thousands
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
