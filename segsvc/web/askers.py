"""Who asks, and how: what the header fields of a read say.

Whoever polls sends the same fields each time, byte for byte. What was made of them is kept, so that the next request
that has the same need not be parsed. None of it is a token, or tells anything of the caller but the digest of theirs:
who that is, the verifier is asked each time.
"""

from sys import getsizeof
from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping, istr

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.principal import Principal
from segsvc.auth.verifier import token_digest
from segsvc.index.lru import LruCache
from segsvc.web.api import Verifier
from segsvc.web.conditional import known_tags
from segsvc.web.cors import Cors
from segsvc.web.credentials import bearer_token
from segsvc.web.errors import TokenMissing
from segsvc.web.links import Addresses
from segsvc.web.representation import accepts_gzip

BUDGET = 8 * 2**20
"""How many bytes may take what is kept: of ten thousand different requests or so."""
_ENTRY_BYTES = 450
"""What each takes beside its texts."""

TRACEPARENT = istr("traceparent")


class Asker(NamedTuple):
    """What the header fields of a request say, as far as the answer to a read depends on them."""

    caller: Principal
    base: str
    """As `segsvc.web.links.base_url` has it."""
    gzip: bool
    """Whether the answer may be compressed."""
    tags: str | None
    """As `segsvc.web.conditional.known_tags` has it."""
    granted: bytes
    """As `segsvc.web.cors.Cors.lines` has it."""
    traceparent: str | None = None


class _Kept(NamedTuple):
    """The same, but for the caller, who is told by the digest of the token."""

    credential: bytes
    base: str
    gzip: bool
    tags: str | None
    granted: bytes

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep."""
        return _ENTRY_BYTES + getsizeof(self.base) + getsizeof(self.tags) + getsizeof(self.granted)


class Askers:
    """Reads header fields, and keeps what it made of them: a `segsvc.web.server.FieldReader`."""

    def __init__(self, verifier: Verifier, addresses: Addresses, cors: Cors) -> None:
        self._verifier = verifier
        self._addresses = addresses
        self._cors = cors
        self._kept: LruCache[bytes, _Kept] = LruCache(BUDGET, lambda kept: kept.size)

    def known(self, headers: MultiMapping[str]) -> Principal | None:
        """Return who sends these fields, if their token has been verified before."""
        credential = _credential(headers)
        return None if credential is None else self._verifier.recalled(credential)

    def read(self, headers: MultiMapping[str], key: bytes | None) -> Asker | None:
        """Read fields, and keep what they say if there is a key for them.

        None where a handler is to see them: the token or the address has not been met, or something is expected.
        """
        if hdrs.EXPECT in headers:
            return None
        credential, base = _credential(headers), self._addresses.known(headers)
        caller = None if credential is None else self._verifier.recalled(credential)
        if credential is None or caller is None or base is None:
            return None
        traceparent = headers.get(TRACEPARENT)
        gzip, tags, granted = accepts_gzip(headers), known_tags(headers), self._cors.lines(headers)
        if key is not None and traceparent is None:  # each trace is another, and such fields come once
            self._kept.put(key, _Kept(credential, base, gzip, tags, granted))
        return Asker(caller, base, gzip, tags, granted, traceparent)

    def recall(self, key: bytes) -> Asker | None:
        """Return what was made of the fields with this key, if that is kept and the caller's token still holds."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        credential, base, gzip, tags, granted = kept
        caller = self._verifier.recalled(credential)
        if caller is None:
            self._kept.remove(key)
            return None
        return Asker(caller, base, gzip, tags, granted)


def _credential(headers: MultiMapping[str]) -> bytes | None:
    """Return the digest of the token that these fields have, if they have one."""
    try:
        return token_digest(bearer_token(headers))
    except (TokenMissing, TokenInvalid):
        return None
