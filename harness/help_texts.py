"""What `--help` of each verb teaches: what it is for, examples from easy to hard, and its exit codes."""

RUN_HELP = """\
Train a judge by a recipe (or take a given model), ask it a benchmark, and compare it with a baseline.

  harness run --recipe carevl --tasks vlrewardbench
      on a plain CPU, offline, in minutes: the embedded synthetic world

  harness run --recipe carevl --tasks vlrewardbench --profile qwen2.5-vl-7b --seeds 0,1,2
      a real judge on a GPU, with data from the hub

  harness run --recipe carevl --tasks vlrewardbench --preferences pairs.parquet --data bench.jsonl
      your own training pairs (id, image, question, chosen, rejected, caption) and your own benchmark

  harness run --recipe carevl --tasks vlrewardbench --preferences pairs.jsonl --map question=prompt,chosen=good
      the same, with columns of other names; `--preferences rlaif-v` takes a published source (harness ls preferences)

  harness run --recipe carevl --tasks vlrewardbench --set confidence.rule=majority --set dpo.beta=0.2
      one thing changed; whatever is not touched by it comes from the cache

  harness run --model qwen2_5_vl --model-args pretrained=Qwen/Qwen2.5-VL-7B-Instruct --tasks vlrewardbench --data hub
      any lmms-eval model as it is

  harness run --model judge:skywork-vl-reward --tasks vlrewardbench --data hub
      a published judge, asked and read as its authors do; `harness ls judges` lists them

  harness run --model openai --model-args base_url=http://127.0.0.1:8000/v1,model=NAME --tasks vlrewardbench --data hub
      a model behind an OpenAI-compatible server (vLLM, SGLang, a provider's); its key in OPENAI_API_KEY

  ... --max-minutes 60, --max-requests 1000, --max-cost 5
      stops there and keeps what is done; the last line is the command that goes on (docs/limits.md)

Exit codes: 0 done, whatever the figures say; 2 usage; 4 incomplete (--resume goes on); 70 internal.
"""
LS_HELP = """\
List what there is.

  harness ls recipes      what can be trained, and what each is compared with
  harness ls tasks        the benchmarks, their data and protocols
  harness ls sweeps       settings varied over cells, and what each asks
  harness ls profiles     models, data and sizes for the recipes
  harness ls preferences  published training pairs, their licences, and the benchmarks that they overlap
  harness ls judges       published judges that can be asked by name: licences, and what each needs
  harness ls runs         finished and unfinished runs, newest first, each with the first metric of its first task
  harness ls runs carevl complete
                          only those with both words in their name or status; --format json writes their fields
  harness ls baselines    runs accepted as baselines, and why
"""
SWEEP_HELP = """\
Run a recipe under several settings, and say which of them make a difference, and at what cost.

  harness sweep ablation --dry-run
      its cells, the runs that are done, and what is owed; `harness ls sweeps` lists them

  harness sweep ablation --workers 2
      two cells at a time, in processes that share the cores and the cache; run it again and it goes on

  harness sweep mine.yaml --ray-address head:6379 --workers 8 --gpus-per-cell 1
      on a cluster whose machines share the results folder (--on ray alone: Ray on this machine)

  harness sweep ablation --show --format md -o ablation.md
      the table of the cells that are finished, where nothing can be trained too; says which are missing

A sweep is a YAML file:

  # How far does the learning rate matter?       the first line is what it asks
  recipe: carevl                                 recipe, tasks, seeds, profile, preferences, data, protocol, limit:
  tasks: [vlrewardbench]                         as `harness run` takes them
  seeds: [0, 1, 2]
  set: {world.split: dev}                        settings of every cell
  grid:                                          every combination is a cell; `recipe` may be varied too
    dpo.learning_rate: [0.00005, 0.0001, 0.0002]
  baseline: {dpo.learning_rate: 0.0001}          what a cell is compared with: the one that is like it but for that,
                                                 or the cell of a label; else the first
  plot: {x: dpo.learning_rate}                   a curve; without it, each cell's difference with its interval

or cells by label, `cells: {default: {}, weak: {dpo.beta: 0.5}}`; beside a grid, each of its combinations has them,
and its own reference.

Each cell is an ordinary run in results/runs, so that compare, gate and report work on it. Table, plot and page
are in results/sweeps/NAME. docs/sweeps.md says more.
Exit codes: 0 done, whatever the figures say; 2 usage; 4 a cell failed or the sweep was stopped (run it again).
"""
VALIDATE_HELP = """\
Say what a profile needs before anything is downloaded or run: parameters, what an adapter is put on, tokens,
memory of each GPU by stage, updates and GPU hours.

  harness validate qwen2.5-vl-7b
      for the GPU that the profile names, under the recipe carevl

  harness validate qwen2.5-vl-7b --recipe distill --memory 24
      would it fit 24 GiB? Names the stage that does not, and what would make it fit

  harness validate mine.yaml --gpu a100-80gb --set dpo.micro_batch_size=1
      your own profile, on another card of harness/planning/throughput.yaml

Each model is built without weights, from its configuration: the folder's, the hub's cache's, or one that comes with
the harness. Weights, gradients and moments are arithmetic; activations and hours are estimates, and say so.
Exit codes: 0 told, also where something does not fit; 2 usage.
"""
COMPARE_HELP = """\
Compare finished runs with a baseline, on the items they share: paired, clustered by image, crossed with seeds.

  harness compare distill-embedded-vlrewardbench-1a2b3c4d carevl-embedded-vlrewardbench-5e6f7a8b
  harness compare results/runs/distill-... results/runs/carevl-... --format md -o comparison.md
  harness compare BASE CAND1 CAND2 CAND3 --correct bh

Prints, for each metric and slice, the difference with its deciding interval, p (Holm over slices; Holm or
Benjamini-Hochberg over candidates) and the smallest difference that data like these show; each seed;
and what the comparison does not speak of. Runs on other data, or asked by another protocol or in other
words, are refused. docs/statistics.md says how each figure is made and when not to trust it.
Exit codes: 0 done, whatever the figures say (`harness gate` judges); 2 usage; 4 a run is incomplete.
"""
POWER_HELP = """\
Say what two finished runs could have shown, and how many items, repeats or seeds would show an effect.

  harness power BASE CAND --effect 0.02
      two points of the first metric, in 4 cases of 5
  harness power BASE CAND --effect 0.05 --metric reasoning
      in one slice

Nothing is guessed: discordance, clusters, repeats and seeds are those of these very runs.
"""
GATE_HELP = """\
Judge a finished run by a baseline: one verdict, one exit code, three lines of why.

  harness gate distill-embedded-vlrewardbench-1a2b3c4d carevl-embedded-vlrewardbench-5e6f7a8b
      not worse than the baseline by more than the margin, of two points of accuracy

  harness gate carevl results/runs/mine --margin 0.03 --metric hallucination
      against the accepted baseline `carevl` (harness ls baselines), on one slice

  harness gate distill mine --require improvement --alpha 0.01
      better than the baseline, beyond doubt

  harness gate carevl mine --junit gate.xml --markdown gate.md --json gate.json
      for CI; each FILE is replaced, also where nothing could be ruled

Nothing in a run's files is believed that can be derived again (docs/gate.md): a run that contradicts itself, items
that differ, answers that are the baseline's own (but for --same) or were made elsewhere (but for --imported) end in a
line and 2 or 4. A pass has to hold, too, where answers without a verdict count as wrong.

[L, U] is the interval of candidate - baseline (turned round where lower is better), m the margin:

  exit code          by default           --require improvement
  0  pass            L > -m               L > 0
  1  regression      U < -m               U <= 0 (no improvement)
  3  inconclusive    else; line three     else; line three says what would settle it
  2  usage           4  a run is incomplete           70  an internal error
"""
BASELINE_HELP = """\
Keep a finished run as a baseline, deliberately, and why; check those that are kept.

  harness baseline accept results/runs/carevl-... --reason "captions twice as long, +1.2 points"
      replaces results/baselines/carevl; --name says another name

  harness ls baselines
      what there is, since when, and why

  harness baseline check --since ../main/results/baselines
      each is what was accepted last; those that differ from the base branch's were accepted anew, with a reason

The run is copied, without its log; accepted.json beside it keeps every acceptance: date, reason, run,
figures, the harness's revision, and what stood there before. Commit the folder.
"""
CACHE_HELP = """\
What stages computed is kept in results/cache and never computed twice. See what lies there, check it, make room.

  harness cache ls
      by stage: how much, and how much that no run names; --every lists each artifact

  harness cache check
      hold every file against the hash that it was written with; 4 if one differs (a run computes it again by itself)

  harness cache prune --unused --older-than 30 --dry-run
      what no run names and nobody used for 30 days; without --dry-run it goes

  harness cache prune --down-to 20
      the longest unused, until 20 GiB are left; what a run names stays, but for --used-too

A run's trained judge is an artifact, too: it stays as long as the run is in results/runs or results/baselines.
"""
DIFF_HELP = """\
Show the settings in which runs differ, finished or not.

  harness diff carevl-embedded-vlrewardbench-5e6f7a8b carevl-embedded-vlrewardbench-1a2b3c4d
  harness diff RUN RUN RUN --format csv
"""
RM_HELP = """\
Remove runs from results/runs. What they trained stays in results/cache until `harness cache prune` takes it.

  harness rm carevl-embedded-vlrewardbench-5e6f7a8b
      asks first; --yes does not

Accepted baselines and folders elsewhere are never removed.
"""
REPORT_HELP = """\
Write one self-contained page about a finished run, alone or against a baseline: verdict, intervals, slices,
position bias, reliability, training, cost, and every item with both runs' answers.

  harness report carevl-embedded-vlrewardbench-5e6f7a8b
  harness report distill-... carevl-... -o carevl.html
      the baseline first, as for compare and gate

Below the verdict stand the items that only one of the two judges has right, with both answers side by side and the
words that differ marked. What is filtered and opened stands in the address, so that it can be sent as a link.
The page fetches nothing, and what a judge wrote is shown as text. Images come from the stage cache, the
embedded world or the data file, where they are still there. A report is replaced, another file never.
"""
VIEW_HELP = """\
Look at all runs in a browser: a leaderboard with its intervals drawn; a click leads to a run's report, two ticks to
the report that compares both.

  harness view
      every run and baseline; prints the address, which only this machine can open, and serves it until Ctrl-C

  harness view distill carevl --port 0 --open
      these runs, on a free port, opened in the browser at once

Runs that finish while it is served appear when the page is loaded again. Nothing is fetched from the net, nothing is
changed, and a run that cannot be read is one line that hides no other. docs/report.md says how to read the pages.
Exit codes: 0 ended by Ctrl-C; 2 usage.
"""
AUDIT_HELP = """\
Find the whole numbers behind a published row: on which split of the items it was counted, and how many
items it left out. A row that nothing explains cannot have all its columns right.

  harness audit --task vlrewardbench 63.84 85.71 64.78 --overall 71.92 --macro 71.44
      General, Hallucination and Reasoning in percent, with the decimals that were printed

  harness audit --file results/published/vlrewardbench.jsonl
      every row of a file of published figures; --write keeps each verdict in the file

No model and no data are needed. The counts are those of the first release (1,250 items).
"""


LEADERBOARD_HELP = """\
Set finished runs side by side: ranks as far as the data tell them, tie groups, every figure.

  harness leaderboard
      every finished run under results/runs, a table for each task, data and protocol

  harness leaderboard --task mllm_judge
      the three tasks of MLLM-as-a-Judge, sources in the paper's order

  harness leaderboard distill-embedded-vlrewardbench-1a2b3c4d carevl-embedded-vlrewardbench-5e6f7a8b
      these runs and no others

  harness leaderboard --task vlrewardbench --published -o table.html
      beside the published figures; a page to sort and search, that fetches nothing (likewise .md, .tex, .csv, .json)

Runs on other data, items or protocols are in tables of their own, and are never ranked against each other.
md, html, csv and json hold every column; rich and latex leave some out where there is no room, and rich says which.
csv and json hold the figures unrounded, shares from 0 to 1, with the ends of their intervals.
"""
SCORE_HELP = """\
Read judgments made elsewhere into a finished run; no model is asked, and torch is not needed.

  harness score Qwen2-VL-7B-1025.jsonl --task vlrewardbench
      the output of VL_RewardBench's inference_hf.py: official:K, with accuracy over the first K votes

  harness score Qwen2-VL-7B-1025.jsonl --task vlrewardbench --protocol official:5 --data bench.parquet
      the first five votes, labels and image ids from the benchmark, so that there are intervals

  harness score logs/20260101_samples_vl_rewardbench.jsonl --task vlrewardbench
      lmms-eval's --log_samples, of its own task or of ours

  harness score eval-set-scores/MODEL.json --task rewardbench2 --data rewardbench2.parquet
      the scores that RewardBench 2's run_v2.py writes; Omni-RewardBench's own file is read too, without --data

  harness score answers.jsonl --task vlrewardbench --data bench.jsonl --name my-judge
      your own, a line an answer; the items come from --data, in the task's fields, images optional:
      {"id": "mmmu-12", "text": "... Overall Judgment: Answer 1 is better.", "order": [1, 0], "repeat": 0}
      order: the places, in the file's responses, of those shown ("swapped": true is [1, 0]);
      p_first: P(the response shown first is better), for --protocol logprob (a text may be left out) or
               reasoned

Texts are read again, by the protocol's reader. Then: harness compare RUN OTHER.
Exit codes: 0 done; 2 usage, or a file that is wrong in the row named; 4 answers that the protocol counts are missing.
"""


JUDGE_HELP = """\
Ask a judge about responses of your own: which is best, how sure it is, and what it says.

  harness judge run:carevl-embedded-vlrewardbench-59387d31 pairs.jsonl -o verdicts.jsonl
      the judge that a run trained; :1 behind the name is another seed's than the first

  harness judge checkpoints/mine candidates.jsonl -o verdicts.jsonl --as-preferences labelled.parquet
      a folder; of each row the best response against the worst becomes a pair to train the next judge with

  harness judge OWNER/NAME pairs.jsonl -o verdicts.jsonl --set engine=vllm
      from the hub, answered by vLLM; a model that was not trained here is asked in plain words of ours

  harness judge judge:r1-reward=models/R1-Reward pairs.jsonl -o verdicts.jsonl
      a published judge, asked in its authors' words (harness ls judges); behind = a copy of its weights

A line of FILE is a question: {"id": "7", "image": "7.png", "question": "...", "responses": ["...", "...", "..."]}
in place of responses also chosen and rejected; VL-RewardBench's own fields are read too. In place of image, a list
images, with places <image_1> in question and responses.
Every two responses are shown in both orders. A line of the output has the place of the best response (null where two
share it), each response's score, the mean probability that it is better than another (or its reward, where the judge
has a reward head), and every answer. Verdicts are written as they come: after a crash, --resume asks the rest.
Exit codes: 0 done; 2 usage, or a row that is wrong; 4 some rows have no verdict (--resume).
"""


EXPORT_HELP = """\
Write a trained judge as a folder that others can use: weights, processor, chat template, the words it is asked in, and
a model card with its figures.

  harness export carevl-embedded-vlrewardbench-59387d31 my-judge
      the first seed's checkpoint; --seed 2, or run:carevl-embedded-vlrewardbench-59387d31:2, is another's

  harness export RUN my-judge --merge --license apache-2.0
      a LoRA adapter merged into its base; without --merge it stays an adapter that names its base on the hub

  harness export RUN my-judge --push-to-hub OWNER/NAME
      shows which files would be sent, and sends them, private, once you say yes

The card compares the run with its baseline: by default the newest finished run of the recipe's own baseline with the
same settings, seeds and code, as `harness run` trains it. Figures are counted anew from the run's files, and files of
the checkpoint whose hashes do not match are not exported. A folder that holds anything else is never overwritten.
Exit codes: 0 done; 2 usage; 4 the run is unfinished.
"""


SERVE_HELP = """\
Serve a judge at an OpenAI-compatible address, for programs that speak to one.

  harness serve run:carevl-embedded-vlrewardbench-59387d31
      at http://127.0.0.1:8000/v1, until Ctrl-C; it also prints the line by which vLLM would serve the same files

  harness serve my-judge --engine vllm --port 8001
      answered by vLLM, where there is one

  export JUDGE_TOKEN=...; harness serve my-judge --host 0.0.0.0 --token JUDGE_TOKEN
      for other machines; they must send the token that the variable holds

Answered are /v1/models, /v1/chat/completions (one user message of texts and images, the images as data URLs) and
/health. Greedy unless a request says a temperature. Nothing is ever fetched.
Exit codes: 0 stopped by Ctrl-C or SIGTERM; 2 usage.
"""


CONTAMINATION_HELP = """\
Find the training pairs that a benchmark holds too. A pair is an item where image and question are: images are known
again re-encoded and resized, questions whatever their case, spaces and punctuation.

  harness contamination pairs.parquet vlrewardbench --data bench.parquet
      how many, by task, and which

  harness contamination rlaif-v vlrewardbench,mllm_judge_pair --data hub -o found.csv
      a published source against two benchmarks; the ids in a table

  harness contamination pairs.jsonl vlrewardbench --data bench.jsonl --map question=prompt --fail
      for CI: exit code 1 where something is found

A run does this by itself and leaves out what it finds (--set contamination.pairs=report keeps it, and says so in
leaderboard and report). What shares an image alone or a question alone is counted, and kept.
Exit codes: 0 done, whatever was found; 1 found, under --fail; 2 usage.
"""
