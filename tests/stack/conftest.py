"""The examples, built once for all files."""

from __future__ import annotations

import pytest

from support.service.examples import Examples


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """The examples in other languages, each built when it is first asked for."""
    return Examples(tmp_path_factory.mktemp("checkout"))
