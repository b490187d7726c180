"""The experts as the judge, with nothing trained: the base judge captions each image, the majority decides."""

from harness.training import experts_alone, sources

SECTIONS, SEEDED = {"world", "captions", "experts"}, False


def train(run, config, seed):
    base = sources.open_judge(run, config)
    return run(experts_alone.experts_judge, base, config.judge.untrained(), config.captions, config.experts)
