"""What is said of processes that ended badly."""

from pathlib import Path

import pytest

from harness.errors import last_words

VLLM = """\
(APIServer pid=7) WARNING [system_utils.py:255] This can cause fd limit errors like `OSError: [Errno 24] Too many`.
(Worker pid=8) ERROR [multiproc_executor.py:1063] Traceback (most recent call last):
(Worker pid=8) ERROR [multiproc_executor.py:1063] RuntimeError: CPU Generator does not use offset
(APIServer pid=7) ERROR [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore had an issue.
INFO:     127.0.0.1:37804 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error
"""
TORCHRUN = """\
[rank1]: Traceback (most recent call last):
[rank1]: ValueError: no row is left
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (VLLM, "RuntimeError: CPU Generator does not use offset"),
        (TORCHRUN, "ValueError: no row is left"),
        ("loading\n\nkilled\n\n", "killed"),
        ("x" * 999, "x" * 300),
        ("", "it said nothing"),
    ],
    ids=["vllm", "torchrun", "no-error", "long", "empty"],
)
def test_the_first_error_of_a_log_is_the_cause(log: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    assert last_words(tmp_path / "log") == said
