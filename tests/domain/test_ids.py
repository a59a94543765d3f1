"""Which ids segments can have, and which they get from their display names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.ids import (
    MAX_LENGTH,
    SUBDOMAIN,
    SUFFIX_ALPHABET,
    SUFFIX_LENGTH,
    are_subdomains,
    derive_id,
    id_problem,
    is_subdomain,
)
from tests.domain.strategies import property_test

SUFFIX = "95he0"


class TestDerived:
    @pytest.mark.parametrize(
        ("display_name", "derived"),
        [
            ("Demo Segment", "demo-segment-95he0"),
            ("  Demo \t\n Segment  ", "demo-segment-95he0"),
            ("Demo\u00a0Segment\u2003Two", "demo-segment-two-95he0"),
            ("Demo-Segment", "demo-segment-95he0"),
            ("Demo - Segment", "demo---segment-95he0"),
            ("Demo_Segment (2.0)", "demosegment-20-95he0"),
            ("customers@example.com/2020", "customersexamplecom2020-95he0"),
            ("Größe & Würde", "gre-wrde-95he0"),
            ("UPPER", "upper-95he0"),
            ("\u212aelvin", "kelvin-95he0"),  # lower case turns the Kelvin sign into a k
            ("1", "1-95he0"),
            ("a", "a-95he0"),
            ("-a-", "a-95he0"),
            ("- a -", "a-95he0"),
            ("--a--b--", "a--b-95he0"),
            ("---", "segment-95he0"),
            ("- -", "segment-95he0"),
            ("!!!", "segment-95he0"),
            ("! !", "segment-95he0"),
            ("客户", "segment-95he0"),
            ("客户 分群", "segment-95he0"),
            ("客户 crm", "crm-95he0"),
            ("Клиенты", "segment-95he0"),
            ("😀", "segment-95he0"),
            ("😀 🎉", "segment-95he0"),
            ("٣", "segment-95he0"),
            ("e\u0301te\u0301", "ete-95he0"),
            (".", "segment-95he0"),
            ("..", "segment-95he0"),
            ("a" * 128, "a" * 128 + "-95he0"),
            ("a" * 129, "a" * 128 + "-95he0"),
            ("a" * 300, "a" * 128 + "-95he0"),
            ("a" * 127 + " b", "a" * 127 + "-95he0"),
            ("a" * 100 + "-" * 200 + "b", "a" * 100 + "-95he0"),
            ("é" * 200 + "x" * 100, "x" * 100 + "-95he0"),
            ("- " * 150, "segment-95he0"),
        ],
    )
    def test_from_a_display_name(self, display_name: str, derived: str) -> None:
        assert derive_id(display_name, SUFFIX) == derived
        assert id_problem(derived) is None

    @property_test
    @given(
        display_name=st.text(min_size=1, max_size=300)
        | st.text(alphabet="ab9 -.\u00e9\u2003", min_size=1, max_size=300),
        suffix=st.text(alphabet=SUFFIX_ALPHABET, min_size=SUFFIX_LENGTH, max_size=SUFFIX_LENGTH),
    )
    def test_every_display_name_gives_a_valid_id(self, display_name: str, suffix: str) -> None:
        derived = derive_id(display_name, suffix)
        assert id_problem(derived) is None
        assert derived.endswith(f"-{suffix}")
        assert "." not in derived

    @property_test
    @given(name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?", fullmatch=True))
    def test_a_name_that_is_an_id_already_stays_as_it_is(self, name: str) -> None:
        assert derive_id(name, SUFFIX) == f"{name}-{SUFFIX}"


class TestGiven:
    @pytest.mark.parametrize(
        "text",
        ["demo", "0000", "a--b", "a.b.c", "1.2.3.4", "a-b.c-d", "a" * 134, ".".join(["ab"] * 45), "x.y-z.0"],
    )
    def test_these_are_ids(self, text: str) -> None:
        assert id_problem(text) is None

    @pytest.mark.parametrize("length", [0, 1, 3, 135, 253, 254, 100_000])
    def test_too_short_or_too_long(self, length: int) -> None:
        assert id_problem("a" * length) == f"must be 4 to 134 characters long but has {length}"

    @pytest.mark.parametrize(
        "text",
        [
            *("Demo", "DEMO", "de mo", " demo", "demo ", "demo\n", "\ndemo", "demo\t", "demo\r\n", "dem\u00f6"),
            *("-demo", "demo-", "demo.-x", "demo-.x", ".demo", "demo.", "de..mo", "....", "----", "de_mo", "demo/x"),
            *(
                "a%2Fb",
                "../demo",
                "demo\x00",
                "d\u0435mo",
                "demo\u0301",
                "dem\u0663",
                "demo?x",
                "demo#x",
                "\U0001f600" * 4,
            ),
        ],
    )
    def test_no_dns_subdomain(self, text: str) -> None:
        assert id_problem(text) == (
            "must be a DNS-1123 subdomain: lower case letters, digits, '-' and '.', "
            "each part beginning and ending with a letter or digit"
        )
        assert not is_subdomain(text)

    @pytest.mark.parametrize("text", ["a", "0", "abc", "a.b", "a" * 135, "a" * 253, "a." * 126 + "a"])
    def test_kubernetes_takes_names_that_are_shorter_and_longer(self, text: str) -> None:
        assert is_subdomain(text)

    @pytest.mark.parametrize("text", ["", ".", "..", "%2E", "a\n", "a/b", "a" * 254, "-" * 253, "a-" * 126 + "-"])
    def test_what_would_address_something_else_is_no_name(self, text: str) -> None:
        assert not is_subdomain(text)

    @property_test
    @given(text=st.text(max_size=12) | st.text(alphabet="aZ0-.\n", max_size=12))
    def test_an_id_is_a_chain_of_labels(self, text: str) -> None:
        labels = text.split(".")
        valid = all(re.fullmatch("[a-z0-9-]+", part) and part.strip("-") == part for part in labels)
        assert is_subdomain(text) == valid == (re.fullmatch(SUBDOMAIN, text) is not None)
        assert (id_problem(text) is None) == (valid and 4 <= len(text) <= MAX_LENGTH)

    @property_test
    @given(given=st.lists(st.text(alphabet="a0-./\n", max_size=4) | st.sampled_from(["demo", "a" * 254]), min_size=1))
    def test_many_are_looked_at_as_each_is(self, given: list[str]) -> None:
        assert are_subdomains(given) == all(map(is_subdomain, given))
