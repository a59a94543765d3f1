"""What can go wrong with a call to the Kubernetes API, in one family.

Nothing of the client library's or of aiohttp's own errors leaves `segsvc.cluster`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that the cluster finds wrong with a resource: the field's path (``spec.cronjob``) and why."""

    field: str
    message: str


class ClusterError(Exception):
    """The base of all of them.

    ``unclear`` tells whether a write that ended so may have been carried out all the same.
    """

    unclear = False


class ClusterConfigInvalid(ClusterError):
    """There is no usable kubeconfig, nor a service account to use instead."""


class ResourceNotFound(ClusterError):
    """There is no such resource."""


class AlreadyExists(ClusterError):
    """A resource of this name exists, be it one that is being deleted."""


class Conflict(ClusterError):
    """The resource is no longer the version that the request was made for."""


class InvalidResource(ClusterError):
    """The cluster finds the resource invalid; ``causes`` may be empty, the message never is."""

    def __init__(self, causes: tuple[Cause, ...], message: str) -> None:
        self.causes = causes
        super().__init__(message)


class ResourceTooLarge(ClusterError):
    """The resource is more than the cluster stores."""


class Expired(ClusterError):
    """The resourceVersion or the continue token is of no use to the cluster (any more): list anew."""


class EventTooLarge(ClusterError):
    """The watch sent an event that is longer than what is taken in; it would again from the same resourceVersion."""


class ClusterUnavailable(ClusterError):
    """The cluster cannot be reached, or cannot answer now; ``retry_after`` is in seconds, where it said."""

    def __init__(self, reason: str, retry_after: float | None = None, *, unclear: bool = True) -> None:
        self.reason = reason
        self.retry_after = retry_after
        self.unclear = unclear
        super().__init__(reason)


class WatchBroken(ClusterUnavailable):
    """An open watch broke off."""


class WatchStalled(ClusterUnavailable):
    """An open watch has sent nothing for longer than a live one can be silent."""


class ClusterForbids(ClusterError):
    """The cluster refuses this to the service's account. The message is for the log: it tells of our rights."""


class UnexpectedAnswer(ClusterError):
    """The answer is none that the Kubernetes API gives, or a refusal for a reason that is not known here."""

    def __init__(self, reason: str, *, unclear: bool = True) -> None:
        self.unclear = unclear
        super().__init__(reason)
