"""Who asks, as it is told from header fields: once for as long as they come in as they did."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import pytest
from multidict import CIMultiDict

from segsvc.auth.principal import Principal
from segsvc.auth.verifier import token_digest
from segsvc.web.askers import BUDGET, Asker, Askers
from segsvc.web.cors import Cors
from segsvc.web.links import Addresses

ORIGIN = "https://dash.example.com"
FIELDS = {"Host": "segments.example.com", "Authorization": "Bearer token"}
SOMEBODY = Principal("Somebody", "", frozenset())


class Met:
    """A verifier that has met one caller, and one who has the right to nothing by now."""

    def __init__(self) -> None:
        self.holds = True

    def cached(self, token: str) -> Principal | None:
        raise NotImplementedError

    def recalled(self, digest: bytes) -> Principal | None:
        return SOMEBODY if self.holds and digest == token_digest("token") else None

    async def verify(self, token: str) -> Principal:
        raise NotImplementedError


class Hosts(Addresses):
    """Knows all."""

    def known(self, headers: object) -> str | None:
        assert isinstance(headers, CIMultiDict)
        return f"http://{headers['Host']}"


def askers(verifier: Met | None = None) -> Askers:
    return Askers(verifier or Met(), Hosts(frozenset()), Cors(frozenset({ORIGIN})))


def read(made: Askers, more: dict[str, str] | None = None, *, key: bytes | None = b"key") -> Asker | None:
    return made.read(CIMultiDict({**FIELDS, **(more or {})}), key)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer token"},
        {"Authorization": "bEARER   token "},
        {"Authentication": "token"},
        {"Authentication": "Bearer token"},
    ],
)
def test_a_caller_is_the_same_however_the_token_is_sent(headers: dict[str, str]) -> None:
    assert askers().known(CIMultiDict(headers)) is SOMEBODY


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic token"}])
def test_a_stranger_is_no_caller(headers: dict[str, str]) -> None:
    made = askers()
    assert made.known(CIMultiDict(headers)) is None
    assert made.read(CIMultiDict({"Host": "a", **headers}), b"key") is None
    assert made.recall(b"key") is None


def test_what_was_read_is_recalled() -> None:
    made = askers()
    asker = read(made, {"Accept-Encoding": "gzip", "If-None-Match": '"a"', "Origin": ORIGIN})
    assert asker is not None
    assert asker[:4] == (SOMEBODY, "http://segments.example.com", True, '"a"')
    assert f"Access-Control-Allow-Origin: {ORIGIN}\r\n".encode() in asker.granted
    assert made.recall(b"key") == asker
    assert made.recall(b"other") is None


def test_nothing_is_recalled_of_a_token_that_does_not_hold_any_more() -> None:
    verifier = Met()
    made = askers(verifier)
    read(made)
    verifier.holds = False
    assert made.recall(b"key") is None


def test_neither_token_nor_caller_is_kept() -> None:
    made = askers()
    read(made, {"If-None-Match": '"a"', "Origin": ORIGIN})
    (kept,) = made._kept.values()
    assert "token" not in repr(kept)
    assert "Somebody" not in repr(kept)


@pytest.mark.parametrize("field", ["Expect", "traceparent"])
def test_what_is_not_the_same_another_time_is_not_kept(field: str) -> None:
    made = askers()
    asker = read(made, {field: "100-continue"})
    assert (asker is None) == (field == "Expect")  # a handler has to see to that
    assert made.recall(b"key") is None


def test_what_has_no_key_is_not_kept() -> None:
    made = askers()
    assert read(made, key=None) is not None
    assert len(made._kept.values()) == 0


@pytest.mark.parametrize(
    "more", [[], ["a"] * 20, ["x" * 3000], ["\U0001f600" * 700]], ids=["none", "many", "a long one", "a wide one"]
)
def test_what_is_kept_is_bounded_whatever_tags_there_are(more: list[str]) -> None:
    made = askers()
    tracemalloc.start()
    try:
        for number in range(20_000):
            key = sha256(b"%d" % number).digest()
            tags = [("If-None-Match", f"{text}{number}") for text in more]
            assert made.read(CIMultiDict([*FIELDS.items(), *tags, ("Origin", ORIGIN)]), key) is not None
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.recall(key) is not None
    assert 0.5 * BUDGET < taken < 1.2 * BUDGET
