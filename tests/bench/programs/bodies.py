"""A program: what it costs to read, and to validate, bodies of a megabyte that are made to take long. Prints JSON.

The reference is one pass of a regular expression over as many bytes.
"""

import argparse
import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice, product
from string import ascii_letters
from time import process_time

from segsvc.domain.errors import InvalidParameters
from segsvc.domain.schema import parse_body
from segsvc.web.body import MAX_BODY, MAX_VALUES, parse


def names() -> Iterator[str]:
    """All names of letters, the short ones first."""
    return ("".join(letters) for length in count(1) for letters in product(ascii_letters, repeat=length))


def flood(around: str, member: str, values: int) -> bytes:
    """A body full of members, each with another name where it says NAME: all that fit, or are not too many."""
    beginning, end = around.split("...")
    size, members = len(around), []
    for name in islice(names(), (MAX_VALUES - 100) // values):
        members.append(member.replace("NAME", name))
        size += len(members[-1]) + 1
        if size > MAX_BODY:
            members.pop()
            break
    return (beginning + ",".join(members) + end).encode()


GOOD = '"metadata": {"displayName": "Demo"}, "data": {"cronjob": {"schedule": "@daily"}'
FLOODS = {
    "lists": b'{"labels": [%s]}' % b",".join([b"[]"] * (MAX_BODY // 3 - 10)),
    "deep lists": b'{"labels": [%s]}' % b",".join([b"[" * 29 + b"]" * 29] * (MAX_BODY // 59 - 10)),
    "numbers": b'{"labels": [%s]}' % b",".join([b"1"] * (MAX_BODY // 2 - 10)),
    "as many lists as may be": flood('{"labels": [...]}', "[1]", 2),
    "as many deep lists as may be": flood('{"labels": [...]}', "[" * 29 + "]" * 29, 30),
    "as many objects as may be": flood('{"links": [...]}', '{"NAME":1}', 2),
    "labels": flood(f'{{{GOOD}}}, "labels": [...]}}', '"NAME"', 1),
    "unknown members": flood("{...}", '"NAME":1', 1),
    "an environment": flood(f'{{{GOOD}, "env": {{...}}}}}}', '"NAME":""', 1),
    "an environment that ends badly": flood(f'{{{GOOD}, "env": {{..., "1": 1}}}}}}', '"NAME":""', 1),
    "secrets": flood(f'{{{GOOD}, "envFromSecrets": {{...}}}}}}', '"NAME":{"secret":"s","key":"k"}', 3),
    "quotation marks": b'{"a": "%s"}' % (b'\\"' * (MAX_BODY // 2 - 10)),
}


def look(sent: bytes) -> None:
    """Do what comes before a body is known to be good or bad."""
    with suppress(InvalidParameters):
        parse_body(parse(sent))


def _seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the seconds of CPU that the best of some rounds takes."""
    times = []
    for _ in range(rounds):
        gc.collect()  # what the last round has left
        begun = process_time()
        work()
        times.append(process_time() - begun)
    return min(times)


def main() -> None:
    """Measure each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    rounds = parser.parse_args().rounds
    gc.freeze()  # as the service has it once it has listed: what there is does not count
    found = {name: _seconds(lambda sent=sent: look(sent), rounds) for name, sent in FLOODS.items()}  # type: ignore[misc]
    text = b"x" * MAX_BODY
    print(json.dumps({"seconds": found, "pass": _seconds(lambda: re.findall(b"x", text), rounds)}), flush=True)


if __name__ == "__main__":
    main()
