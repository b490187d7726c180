"""Plain distillation with as many optimiser updates as CAREVL, trained first, makes in all."""

from harness.registry import sibling

carevl, distill = sibling(__file__, "carevl"), sibling(__file__, "distill")
SECTIONS = carevl.SECTIONS


def train(run, config, seed):
    carevl.train(run, config, seed)
    updates = sum(stage.info.get("updates", 0) for stage in run.records if stage.seed == seed)
    return distill.train(run, config, seed, updates)
