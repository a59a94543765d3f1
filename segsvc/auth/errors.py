"""What can go wrong between a token and its principal: the token is at fault, or there are no keys to judge it by.

Both carry data for the layer above, which owns status codes and sentences; neither ever carries a part of the token,
so that logging one cannot leak a credential.
"""

from typing import Literal

Reason = Literal[
    "malformed",
    "too_long",
    "token_type",
    "critical_header",
    "algorithm",
    "unknown_key",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",
    "claims",
]
"""Why a token was refused: a closed set, fit for a metric's label."""


class TokenInvalid(Exception):
    """The token proves nothing; `reason` is for the log, not for the caller."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class KeysUnavailable(Exception):
    """There is no key of the issuer to judge a token by; another try is worth it after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"no keys of the issuer at hand, retry after {retry_after} s")
        self.retry_after = retry_after
