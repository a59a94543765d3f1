"""Fixtures that more than one part of the suite uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.envtest import RealCluster, assets_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[RealCluster]:
    """Yield a running kube-apiserver without any CustomResourceDefinition (see `RealCluster.install_crd`).

    Skips where KUBEBUILDER_ASSETS is unset; fails where it is set and the API server does not start.
    """
    assets = assets_directory()
    if assets is None:
        pytest.skip("KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    with RealCluster(assets) as cluster:
        yield cluster
