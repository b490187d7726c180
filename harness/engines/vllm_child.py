"""Runs vLLM's server under the interpreter of vLLM's own environment; stops when the harness is gone.

Standard library only, since nothing of the harness is installed there. The harness holds the other end of
standard input: when it closes, however the harness ended, the whole process group goes.
"""

import os
import runpy
import signal
import sys
import threading


def _stop_with_parent() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


# vLLM starts processes of its own, which read this file again under another name
if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
