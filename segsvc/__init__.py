"""segsvc: a REST API for segment jobs, in front of ``Segment`` custom resources in Kubernetes."""

__version__ = "0.1.0"
