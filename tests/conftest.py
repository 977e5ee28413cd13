"""Fixtures that every test may use."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("muniment", deadline=None)
settings.load_profile("muniment")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the product does."""
    return "asyncio"
