"""Who asks, and how: what the header fields of a read say.

Whoever polls sends the same fields each time, byte for byte. What was made of them is kept, so that the next request
that has the same need not be parsed. None of it is a token: a caller is known by the digest of theirs, and for no
longer than the verifier knows them by it.
"""

from typing import NamedTuple

from aiohttp import hdrs
from multidict import CIMultiDict, MultiMapping, istr

from segsvc.auth.errors import TokenInvalid
from segsvc.auth.principal import Principal
from segsvc.auth.verifier import token_digest
from segsvc.index.lru import LruCache
from segsvc.web.api import Verifier
from segsvc.web.cors import Cors
from segsvc.web.credentials import bearer_token
from segsvc.web.errors import TokenMissing
from segsvc.web.links import Addresses
from segsvc.web.representation import accepts_gzip

BUDGET = 8 * 2**20
"""How many bytes may take what is kept: of ten thousand different requests or so."""
_ENTRY_BYTES = 600
"""What each takes beside texts of the caller's."""

_TRACEPARENT = istr("traceparent")
_NOTHING: MultiMapping[str] = CIMultiDict()


class Asker(NamedTuple):
    """What the header fields of a request say, as far as the answer to a read depends on them."""

    caller: Principal
    credential: bytes
    """The digest of the caller's token."""
    base: str
    """As `segsvc.web.links.base_url` has it."""
    gzip: bool
    """Whether the answer may be compressed."""
    conditions: MultiMapping[str]
    """If-None-Match."""
    traceparent: str | None
    granted: bytes
    """As `segsvc.web.cors.Cors.lines` has it."""

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep, but for what others keep anyway."""
        texts = len(self.base) + len(self.granted) + sum(map(len, self.conditions.values()))
        return _ENTRY_BYTES + texts


class Askers:
    """Reads header fields, and keeps what it made of them: `segsvc.web.server.AtOnce` tells by which keys."""

    def __init__(self, verifier: Verifier, addresses: Addresses, cors: Cors) -> None:
        self._verifier = verifier
        self._addresses = addresses
        self._cors = cors
        self._kept: LruCache[bytes, Asker] = LruCache(BUDGET, lambda asker: asker.size)

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
        tags = headers.getall(hdrs.IF_NONE_MATCH, ())
        asker = Asker(
            caller,
            credential,
            base,
            accepts_gzip(headers),
            CIMultiDict([(hdrs.IF_NONE_MATCH, tag) for tag in tags]) if tags else _NOTHING,
            headers.get(_TRACEPARENT),
            self._cors.lines(headers),
        )
        if key is not None and asker.traceparent is None:  # each trace is another, and such fields come once
            self._kept.put(key, asker)
        return asker

    def recall(self, key: bytes) -> Asker | None:
        """Return what was made of the fields with this key, if that is kept and the caller's token still holds."""
        asker = self._kept.get(key)
        if asker is None:
            return None
        if self._verifier.recalled(asker.credential) is None:
            self._kept.remove(key)
            return None
        return asker


def _credential(headers: MultiMapping[str]) -> bytes | None:
    """Return the digest of the token that these fields have, if they have one."""
    try:
        return token_digest(bearer_token(headers))
    except (TokenMissing, TokenInvalid):
        return None
