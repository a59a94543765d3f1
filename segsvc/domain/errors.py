"""What the domain refuses, as data: sentences and status codes are the HTTP layer's business."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: where (``metadata.displayName``, ``labels[1]``, ``pagesize``) and why.

    ``reason`` is a phrase that completes "Parameter 'NAME' ...": no capital, no full stop.
    """

    name: str
    reason: str


class DomainError(Exception):
    """The base of all that the domain refuses."""


class InvalidParameters(DomainError):
    """The caller sent something that cannot be; ``problems`` is all of it and never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.name} {problem.reason}" for problem in self.problems))


class SegmentNotFound(DomainError):
    """There is no such segment, or none that the API may show."""

    def __init__(self, segment_id: str) -> None:
        self.segment_id = segment_id
        super().__init__(segment_id)


class SegmentExists(DomainError):
    """The id is taken; ``display_name`` is the one that was sent."""

    def __init__(self, segment_id: str, display_name: str) -> None:
        self.segment_id = segment_id
        self.display_name = display_name
        super().__init__(segment_id)


class AccessDenied(DomainError):
    """The caller lacks the roles."""


class SegmentModified(DomainError):
    """The segment changed under the caller: ``precondition`` tells a failed If-Match from a lost race."""

    def __init__(self, segment_id: str, *, precondition: bool) -> None:
        self.segment_id = segment_id
        self.precondition = precondition
        super().__init__(segment_id)
