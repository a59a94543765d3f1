"""A soak: the service as a process, under load and among faults for a quarter of an hour, and what it looks like then.

``tox run -e soak`` (or ``python -m tests.soak``) runs it, prints figures and a verdict, and ends with 1 when memory,
tasks or descriptors grow, an answer was none that there should be, or tells of a segment as it never stood in the
cluster, or the index differs from the cluster at the end. It runs in front of a real API server where
KUBEBUILDER_ASSETS names one, else in front of the emulator.
"""
