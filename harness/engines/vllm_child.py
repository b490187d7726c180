"""Runs vLLM's server under the interpreter of vLLM's own environment; stops when the harness is gone.

Standard library only, since nothing of the harness is installed there. The harness holds the other end of
standard input: when it closes, however the harness ended, the whole process group goes.
"""

import contextlib
import os
import runpy
import signal


def _watch() -> None:
    """Wait for the end of the harness in a process apart, in no group of the server's, and end that group."""
    group = os.getpgrp()
    if os.fork():
        return
    os.setsid()
    # nobody writes to it, so that this returns when its other end is closed
    os.read(0, 1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    os._exit(0)


# vLLM starts processes of its own, which may read this file again under another name
if __name__ == "__main__":
    # no thread of the server's: Ray ends a worker's child by its number, and with it the thread, but not its children
    _watch()
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
