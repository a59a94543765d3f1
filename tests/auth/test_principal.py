"""What a token's claims say about its caller."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.auth.principal import Principal, principal_from_claims

CLIENT = "segment-management-api"

# Text with lone surrogates, which JSON's escapes can spell and UTF-8 cannot.
any_text = st.text(alphabet=st.characters(categories=None))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def test_a_users_name_email_and_client_roles_are_read() -> None:
    principal = principal_from_claims(
        {
            "name": "Ada Example",
            "preferred_username": "ada",
            "sub": "f81d4fae",
            "email": "ada@example.org",
            "realm_access": {"roles": ["realm"]},
            "resource_access": {"account": {"roles": ["account"]}, CLIENT: {"roles": ["view", "edit", "view"]}},
        },
        CLIENT,
    )
    assert principal == Principal("Ada Example", "ada@example.org", frozenset({"view", "edit"}))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "service-account-x", "sub": "1"}, "service-account-x"),
        ({"name": "", "preferred_username": "ada", "sub": "1"}, "ada"),
        ({"name": " \t", "preferred_username": "ada"}, "ada"),
        ({"name": ["Ada"], "preferred_username": 7, "sub": "1"}, "1"),
        ({"sub": "1"}, "1"),
        ({}, ""),
    ],
)
def test_the_name_is_the_first_claim_that_is_one(claims: dict[str, Any], name: str) -> None:
    assert principal_from_claims(claims, CLIENT).name == name


@pytest.mark.parametrize("email", [None, 7, ["ada@example.org"], {}])
def test_an_email_address_that_is_no_string_is_empty(email: object) -> None:
    assert principal_from_claims({"email": email}, CLIENT).email == ""


@pytest.mark.parametrize(
    "resource_access",
    [
        None,
        "segment_job_edit",
        [CLIENT],
        {"other": {"roles": ["segment_job_edit"]}},
        {CLIENT: None},
        {CLIENT: "segment_job_edit"},
        {CLIENT: ["segment_job_edit"]},
        {CLIENT: {"roles": "segment_job_edit"}},
        {CLIENT: {"roles": {"segment_job_edit": True}}},
        {CLIENT: {"roles": ["segment_job_edit", 7]}},
        {CLIENT: {"roles": [["segment_job_edit"]]}},
        {CLIENT: {"roles": None}},
    ],
)
def test_roles_that_are_no_list_of_strings_are_no_roles(resource_access: object) -> None:
    assert principal_from_claims({"resource_access": resource_access}, CLIENT).roles == frozenset()


def test_a_lone_surrogate_is_replaced_in_a_name_and_makes_a_role_none() -> None:
    principal = principal_from_claims(
        {"name": "Ada \ud800", "resource_access": {CLIENT: {"roles": ["ed\udc00it", "view"]}}}, CLIENT
    )
    assert principal == Principal("Ada \ufffd", "", frozenset({"view"}))


def test_characters_beyond_the_basic_plane_stay_as_they_are() -> None:
    name = json.loads('"\\ud83e\\udd89 客户 Ünï"')
    assert principal_from_claims({"name": name}, CLIENT).name == "🦉 客户 Ünï"


@given(
    name=any_json,
    username=any_json,
    email=any_json,
    access=any_json | st.fixed_dictionaries({CLIENT: any_json | st.fixed_dictionaries({"roles": any_json})}),
)
def test_no_claims_raise_and_everything_read_from_them_can_be_encoded(
    name: object, username: object, email: object, access: object
) -> None:
    claims = {"name": name, "preferred_username": username, "email": email, "resource_access": access}
    principal = principal_from_claims(claims, CLIENT)
    for text in (principal.name, principal.email, *principal.roles):
        text.encode("utf-8")
