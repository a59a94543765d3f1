"""Lists as they come in: the items of a list document are decoded while the rest of it is still under way.

The whole of a large list is never held, and its decoding overlaps with its sending. The API server writes a list as
``{"apiVersion":…,"items":[…],"kind":…,"metadata":…}``, compactly and with sorted keys, so each item begins with the
same bytes. Where two items seem to meet, the text is cut, and what was cut off is parsed as an array. Invariant:
whatever the document looks like, the items and the metadata are those that a parser of the whole would find, or
UnexpectedAnswer is raised. No cut can be wrong and go unnoticed: the bytes of `_SEAM` cannot stand within a string, for
one would end at their first quotation mark, and a cut anywhere but between two items leaves brackets unbalanced. What
cannot be cut, because it is written in another way, waits for the end and is parsed then.

Pure: must neither read nor wait.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from segsvc.cluster.errors import UnexpectedAnswer
from segsvc.cluster.translate import object_of
from segsvc.domain.codec import GROUP, KIND, VERSION
from segsvc.domain.segment import JsonObject

PIECE = 64 * 1024
"""Few enough bytes for the processor's caches, and for others to get their turn in time."""

_HEAD = re.compile(rb'\{"apiVersion":"[^"\\]*+","items":\[(?=\{)')
# not just any object that begins with apiVersion: managedFields and ownerReferences have such, too
_SEAM = f'}},{{"apiVersion":"{GROUP}/{VERSION}","kind":"{KIND}","metadata":{{'.encode()


class Rest(NamedTuple):
    """What the end of a list tells; ``items`` are those that no chunk had completed."""

    items: list[JsonObject]
    revision: int
    continue_token: str | None


class ListDecoder:
    """Decodes one list: `feed` it all chunks, then `finish`. ``piece`` is how many bytes are parsed at once."""

    def __init__(self, piece: int = PIECE) -> None:
        self._piece = piece
        # how the document begins, up to the first item, once anything was cut off; all that follows is pending
        self._head = b""
        self._pending: list[bytes] = []
        self._size = 0
        # the size from which on it is worth to look for a cut
        self._enough = piece

    def feed(self, chunk: bytes) -> Iterator[JsonObject]:
        """Yield the items that are complete with this chunk, or leave them for later.

        Take all of them: the chunk is not looked at before, and large ones are parsed bit by bit.
        """
        for start in range(0, len(chunk), self._piece):
            piece = chunk[start : start + self._piece]
            self._pending.append(piece)
            self._size += len(piece)
            if self._size >= self._enough:
                yield from self._cut()

    def finish(self) -> Rest:
        """Parse what is left. Raises UnexpectedAnswer when the list is not whole, or none."""
        # what was cut off was whole items: without them, the document is still a list
        document = object_of(self._head + b"".join(self._pending))
        metadata, items = document.get("metadata"), document.get("items")
        if not isinstance(metadata, dict) or not isinstance(items, list):
            raise UnexpectedAnswer("a list without metadata or items")
        token = metadata.get("continue") or None
        if not isinstance(token, str | None):
            raise UnexpectedAnswer("a list whose continue token is no text")
        return Rest(items, revision_of(metadata), token)

    def _cut(self) -> list[Any]:
        """Cut off and return as many items as there are, as far as can be seen."""
        text = b"".join(self._pending)
        start = 0
        if not self._head and (head := _HEAD.match(text)):
            start = head.end()
        items: list[Any] | None = None
        if self._head or start:
            end = text.rfind(_SEAM, start) + 1
            items = _array(memoryview(text)[start:end]) if end else None
        if items is None:
            # each attempt costs as much as what is pending: with as much again before the next, all cost twice the list
            self._enough = 2 * len(text)
            self._pending = [text]
            return []
        self._head = self._head or text[:start]
        rest = text[end + 1 :]
        self._pending, self._size, self._enough = [rest], len(rest), self._piece
        return items


def _array(text: memoryview) -> list[Any] | None:
    try:
        items: list[Any] = orjson.loads(b"".join((b"[", text, b"]")))
    except orjson.JSONDecodeError:
        return None
    return items


def revision_of(metadata: JsonObject) -> int:
    """Return the resourceVersion that metadata tells. Raises UnexpectedAnswer."""
    try:
        return int(metadata["resourceVersion"])
    except (LookupError, TypeError, ValueError):
        raise UnexpectedAnswer("no resourceVersion that is a number") from None
