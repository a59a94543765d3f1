"""The embedded cluster: a Kubernetes API emulator, a token issuer and sample segments, for development and tests."""

from segsvc.devcluster.cluster import EmbeddedCluster
from segsvc.devcluster.journal import JournalError
from segsvc.devcluster.status import ApiError

__all__ = ["ApiError", "EmbeddedCluster", "JournalError"]
