"""Shared by all tests: offline, a results folder of their own, small runs of the embedded world."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # the cores are the workers'
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# how quick a machine is tells nothing about what is tested
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder shared by the session, its workers included, so that stages are computed once."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "results"
    folder.mkdir(exist_ok=True)
    os.environ["HARNESS_RESULTS"] = str(folder)
    return folder
