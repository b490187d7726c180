"""Runs vLLM's server under the interpreter of vLLM's own environment; stops when the harness is gone.

Standard library only, since nothing of the harness is installed there. The harness holds the other end of
standard input: when it closes, however the harness ended, the whole process group goes.
"""

import os
import runpy
import signal
import threading


def _stop_with_parent() -> None:
    # nobody writes to it, so that this returns when its other end is closed
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


# vLLM starts processes of its own, which read this file again under another name. They watch too, since whoever ends
# a worker of Ray's ends the server by its number and leaves those it started
threading.Thread(target=_stop_with_parent, daemon=True).start()
if __name__ == "__main__":
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
