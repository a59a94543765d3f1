"""The embedded cluster: a Kubernetes API emulator, a token issuer and sample segments, for development and tests."""
