"""The worker for tests: makes accelerate shard a model on a CPU, which it else drops without a word."""

import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from harness.training.worker import main

plain = AcceleratorState.__init__


def as_if_on_gpus(self: AcceleratorState, *arguments: object, **named: object) -> None:
    PartialState(cpu=True)
    # it is made anew many times, and knows by then what it made of this
    if PartialState._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    plain(self, *arguments, **named)


AcceleratorState.__init__ = as_if_on_gpus

if __name__ == "__main__":
    main(Path(sys.argv[1]))
