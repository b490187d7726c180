"""How long a stage takes on a GPU, from operations, bytes, and the shares of both that are reached.

Training a weight costs 2 operations a token forwards, 2 backwards for what came in, and 2 for its gradient where it
is trained; gradient checkpointing computes forwards once more, and so does DPO's reference (the count of arXiv
2001.08361, app. B, without attention's own, a few percent at these lengths). Reading costs 2. Writing is bound by
memory: each step reads all weights and the keys and values so far, and takes no less than the engine's own work.
"""

from harness.planning.architecture import Architecture, trained
from harness.planning.assumptions import Gpu, assumptions
from harness.planning.load import Launch, Load
from harness.planning.memory import BYTES, seen


def hours(load: Load, architecture: Architecture, launch: Launch, gpu: Gpu) -> float:
    """Estimate the hours a stage takes from start to end, on all of its GPUs at once.

    Args:
        load: what it computes.
        architecture: of its model.
        launch: the GPUs that train; those that write or score are one, or with vLLM all.
        gpu: what each can do.
    """
    shares = assumptions().shares
    if load.work == "train":
        return _operations(load, architecture) / (gpu.peak * shares.training * launch.processes) / 3600
    sight = seen(load, architecture)
    prompt = (sight.tokens + load.prompt) * _reading(architecture) + sight.patches * _sight(architecture)
    seconds = load.rows / load.draws * prompt / (gpu.peak * shares.reading)
    if load.work == "write":
        seconds += _steps(load) * _step(load, architecture, gpu)
    return seconds / (launch.processes if spread(load) else 1) / 3600


def spread(load: Load) -> bool:
    """Tell whether a stage uses every GPU that there is: training does, and an engine that runs one on each."""
    return load.work == "train" or load.engine in assumptions().under_way


def _reading(architecture: Architecture) -> int:
    """Operations that one token costs forwards: each weight of the layers and of the output once."""
    return 2 * (architecture.language.parameters + architecture.head)


def _sight(architecture: Architecture) -> int:
    return 2 * architecture.vision.parameters if architecture.vision else 0


def _operations(load: Load, architecture: Architecture) -> float:
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
    under_way = assumptions().under_way.get(load.engine)
    if under_way:
        return load.rows * load.answer / under_way
    per_batch = max(1, load.batch // load.draws) * load.draws
    return -(-load.rows // per_batch) * load.at_most


def _step(load: Load, architecture: Architecture, gpu: Gpu) -> float:
    known = assumptions()
    size = BYTES[load.precision]
    together = known.under_way.get(load.engine, load.batch)
    tokens = together * (seen(load, architecture).tokens + load.prompt + load.answer)
    cache = 2 * architecture.language.layers * architecture.language.keys * size * tokens
    bound = (architecture.parameters * size + cache) / (gpu.bandwidth * known.shares.writing)
    return max(known.step.get(load.engine, 0.0), bound)
