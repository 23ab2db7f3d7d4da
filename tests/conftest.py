"""Fixtures that every test file may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this computer's user has pulled changes no test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUCLI_WEIGHTS", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("AUCLI_OFFLINE", raising=False)
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of optional material beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no shared/ folder beside the checkout")
    return folder
