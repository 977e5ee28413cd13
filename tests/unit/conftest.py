"""Fixtures of several unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kube_api import KubeApi, serving


@pytest.fixture
def cluster() -> Iterator[KubeApi]:
    """A small Kubernetes API server."""
    with serving(KubeApi()) as api:
        yield api
