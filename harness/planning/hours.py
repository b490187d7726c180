"""How long a stage takes on a GPU, from operations, bytes, and the shares of both that are reached.

Training a weight costs 2 operations a token forwards, 2 backwards for what came in, and 2 for its gradient where it
is trained; gradient checkpointing computes forwards once more, and so does DPO's reference (the count of arXiv
2001.08361, app. B, without attention's own, a few percent at these lengths). Reading costs 2. Writing is bound by
memory: each step reads all weights and the keys and values so far, and takes no less than the engine's own work.
"""

from harness.planning.architecture import Architecture, trained
from harness.planning.assumptions import Gpu, assumptions
from harness.planning.load import Launch, Load
from harness.planning.machine import Machine
from harness.planning.memory import BYTES, seen


def hours(load: Load, architecture: Architecture, launch: Launch, machine: Machine) -> float | None:
    """Estimate the hours a stage takes from start to end; None where nothing is known of the GPU.

    Args:
        load: what it computes.
        architecture: of its model.
        launch: the GPUs that train.
        machine: what each GPU can do, and how many there are for an engine that takes all.
    """
    gpu, shares = machine.gpu, assumptions().shares
    if gpu is None:
        return None
    if load.work == "train":
        return operations(load, architecture) / (gpu.peak * shares.training * launch.processes) / 3600
    sight = seen(load, architecture)
    prompt = (sight.tokens + load.prompt) * _reading(architecture) + sight.patches * _sight(architecture)
    reached = shares.reading if sight.patches else shares.scoring
    seconds = load.rows / load.draws * prompt / (gpu.peak * reached)
    if load.work == "write":
        seconds += _steps(load) * _step(load, architecture, gpu)
    return seconds / (load.place.gpus or machine.gpus) / 3600


def leaves_idle(load: Load, launch: Launch, machine: Machine) -> bool:
    """Tell whether some of the GPUs have nothing to do in a stage."""
    at_work = launch.processes if load.work == "train" else load.place.gpus or machine.gpus
    return at_work < machine.gpus


def _reading(architecture: Architecture) -> int:
    """Operations that one token costs forwards: each weight of the layers and of the output once."""
    return 2 * (architecture.language.parameters + architecture.head)


def _sight(architecture: Architecture) -> int:
    return 2 * architecture.vision.parameters if architecture.vision else 0


def operations(load: Load, architecture: Architecture) -> float:
    """Count the operations of a training, without attention's own and the adapter's."""
    assert load.judge is not None
    part = trained(architecture, load.judge)
    again = int(load.checkpointing) + int(load.sequences == 2)
    of_text = 2 + again + (0 if load.judge.lora else 1)
    of_sight = 1 + (1 if load.sequences == 2 else 0) + (2 + int(load.checkpointing) if part.vision else 0)
    sight = seen(load, architecture)
    tokens = sight.tokens + load.prompt + load.answer
    row = tokens * _reading(architecture) * of_text + sight.patches * _sight(architecture) * of_sight
    return float(load.rows * load.sequences * row)


def _steps(load: Load) -> float:
    """Count the steps: batch by batch, each as long as its longest answer, or all answers under way in turn."""
    if load.place.under_way:
        return load.rows * load.answer / load.place.under_way
    per_batch = max(1, load.batch // load.draws) * load.draws
    return -(-load.rows // per_batch) * load.at_most


def _step(load: Load, architecture: Architecture, gpu: Gpu) -> float:
    known = assumptions()
    size = BYTES[load.precision]
    together = load.place.under_way or load.batch
    tokens = together * (seen(load, architecture).tokens + load.prompt + load.answer)
    cache = 2 * architecture.language.layers * architecture.language.keys * size * tokens
    bound = (architecture.parameters * size + cache) / (gpu.bandwidth * known.shares.writing)
    return max(known.step.get(load.place.engine, 0.0), bound)
