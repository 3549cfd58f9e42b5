"""What all crash tests need before anything of theirs starts."""

from __future__ import annotations

import contextlib

import pytest

from crash.disk import NoDiskError, keep_mounts_to_oneself


@pytest.fixture(scope="session", autouse=True)
def own_mounts():
    """A run that is killed leaves no disk mounted: it could not be removed, which would fail the runs after it."""
    with contextlib.suppress(NoDiskError):
        keep_mounts_to_oneself()
