"""The service among faults: whatever happens to the cluster and to the way there, nothing is lost or stays stale."""
