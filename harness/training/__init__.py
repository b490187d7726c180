"""The stages of training, one file each, in the order of `recipes/carevl/recipe.py`; and what carries them out.

Stages: `sources` `captions` `experts` `confidence` `sft` `sampling` `scoring` `negatives` `dpo`; before `sft`,
`rationales`, where the judge is to say what its base says.
Baselines: `relabel`; `reward`, whose loss is in `bradley_terry`; `experts_alone`, which trains nothing.
Figures that decide nothing: `agreement`; beside the embedded world's `truth`, `filter_accuracy` and `scorer_accuracy`.
The cache that runs them: `stages`. What they leave to the next as JSON lines: `lines`.
The loss of labels that may be wrong: `soft`. A training as long as another recipe's: `matching`.
Rows of a training: `rows` (what is shown), `lengths` (what fits), `updates` (how many).
A training on one process or many: `jobs` (what is trained), `trainers` (through TRL), `held_out` (judging on the
way), `saving`; `launch` starts others, `worker` and `ranks` are one of them, `join` is another machine.
"""
