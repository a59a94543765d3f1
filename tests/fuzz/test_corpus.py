"""What the fuzzer begins with, and what it ever found, goes through its targets without a fault."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: "/".join(path.relative_to(CORPUS).parts))
def test_an_input_of_the_corpus_finds_no_fault(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_a_corpus_has_what_is_accepted_and_what_is_refused(target: str) -> None:
    outcomes = {TARGETS[target](path.read_bytes()) for path in (CORPUS / target).iterdir()}

    assert outcomes == {True, False}
