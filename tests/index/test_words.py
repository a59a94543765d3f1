"""How texts become words, and which spellings are the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsvc.index.words import edits_allowed, fold, words, words_and_signs
from tests.index.oracle import distance

PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
relaxed = settings(deadline=None)


@pytest.mark.parametrize(
    ("spellings", "folded"),
    [
        (("MÜLLER", "müller", "mu\u0308ller", "MU\u0308LLER", "muller"), "muller"),
        (("straße", "STRASSE", "STRAẞE", "strasse"), "strasse"),
        (("Łódź", "ŁÓDŹ", "łódź", "lodz"), "lodz"),
        (("Ørsted", "ØRSTED", "orsted"), "orsted"),
        (("Đorđe", "Ðorðe", "dorde"), "dorde"),
        (("Æther", "ÆTHER", "aether"), "aether"),
        (("cœur", "CŒUR", "coeur"), "coeur"),
        (("Þór", "thor"), "thor"),
        (("İstanbul", "ISTANBUL", "ıstanbul", "istanbul"), "istanbul"),
        (("São", "SÃO", "sao"), "sao"),
        (("Σίσυφος", "ΣΊΣΥΦΟΣ", "σισυφοσ"), "σισυφοσ"),
        (("Ёлка", "ЁЛКА", "Елка"), "елка"),
        (("ﬁle", "FILE", "ｆｉｌｅ", "𝒻ile"), "file"),
        (("m²", "M2"), "m2"),
        (("Ⅷ", "viii"), "viii"),
        (("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"), "한국"),
        (("ガス", "\uff76\uff9e\uff7d"), "カス"),
        (("客户",), "客户"),
        (("1_000 %",), "1_000 %"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spellings_that_are_the_same(spellings: tuple[str, ...], folded: str) -> None:
    assert {fold(spelling) for spelling in spellings} == {folded}


@relaxed
@given(text=st.text() | st.text(alphabet="aÄßİΣς \u0301\u0308\u1100\u1161\u00a8\u00a0"))
def test_parts_of_a_text_are_folded_each_as_all_of_it(text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", decomposed).casefold())
    bare = "".join(character for character in decomposed if not unicodedata.category(character).startswith("M"))
    assert fold(text) == unicodedata.normalize("NFC", bare.translate(PLAIN))


@relaxed
@given(text=st.text())
def test_case_and_the_way_to_write_a_character_never_matter(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == folded
    assert fold(text.casefold()) == folded
    assert fold(text.lower()) == folded
    assert fold(text.upper()) == folded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Demo Segment", ("demo", "segment")),
        ("  Demo\tSegment\u2003\n", ("demo", "segment")),
        ("eventstore_demo_seg", ("eventstore", "demo", "seg")),
        ("Demo-Segment (2.0)/q1:x", ("demo", "segment", "2", "0", "q1", "x")),
        ("EventStore", ("eventstore",)),
        ("customer's", ("customer", "s")),
        ("Cafe\u0301 Noir", ("cafe", "noir")),
        ("客户 分群", ("客户", "分群")),
        ("demo😀segment", ("demo", "segment")),
        ("demo demo", ("demo", "demo")),
        ("---", ()),
        ("_", ()),
        ("\u0301", ()),
        ("", ()),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


@relaxed
@given(text=st.text())
def test_words_are_made_of_letters_and_digits_alone(text: str) -> None:
    assert all(word.isalnum() for word in words(text))
    assert "".join(words(text)) == "".join(character for character in fold(text) if character.isalnum())


@relaxed
@given(text=st.text() | st.text(alphabet="aÄ1²-_. \t\u2003"))
def test_a_text_is_its_words_and_what_is_between_them(text: str) -> None:
    known, signs = words_and_signs(text)
    assert tuple(known) == words(text)
    assert all(sign in fold(text) and not sign.isspace() for sign in signs)
    assert {c for sign in signs for c in sign} - {" "} >= {c for c in fold(text) if not (c.isalnum() or c.isspace())}


@pytest.mark.parametrize(
    ("asked", "known", "edits"),
    [
        ("abc", "abd", 0),
        ("abc", "abcd", 1),
        ("abcd", "abc", 1),
        ("abcdefg", "abcdefg", 1),
        ("abcdef", "abcdefgh", 2),
        ("abcdefgh", "abcdef", 2),
        ("2020", "2021", 0),
        ("kw12", "kw13", 0),
        ("kv12", "kw12", 1),
        ("q12024report", "q22024report", 0),
        ("2024q1", "20241q", 1),
        ("2o24", "2024", 0),
    ],
)
def test_edits_allowed_depend_on_the_longer_word_and_on_the_digits(asked: str, known: str, edits: int) -> None:
    assert edits_allowed(asked, known) == edits
    assert edits_allowed(known, asked) == edits


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("", "", 0),
        ("demo", "demo", 0),
        ("demo", "dmo", 1),
        ("demo", "demmo", 1),
        ("demo", "dema", 1),
        ("demo", "edmo", 1),
        ("demo", "", 4),
        ("ca", "abc", 3),
        ("segment", "sgemnet", 2),
    ],
)
def test_the_oracle_counts_edits_as_books_do(one: str, other: str, edits: int) -> None:
    assert distance(one, other) == distance(other, one) == edits
