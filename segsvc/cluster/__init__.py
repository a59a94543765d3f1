"""The Kubernetes side: the only importer of kubernetes_asyncio."""
