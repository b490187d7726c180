"""Shared by all tests: offline, a results folder of their own, small runs of the embedded world."""

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder shared by the session, so that stages are computed once."""
    folder = tmp_path_factory.mktemp("results")
    os.environ["HARNESS_RESULTS"] = str(folder)
    return folder
