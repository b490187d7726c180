"""What each verb of the command does: one function a verb, of the verb's name, called with the parsed options."""

from harness.verbs.caching import cache
from harness.verbs.contamination import contamination
from harness.verbs.elsewhere import audit, score
from harness.verbs.finished import baseline, compare, diff, gate, leaderboard, power, report
from harness.verbs.judging import judge
from harness.verbs.listing import ls
from harness.verbs.planning import validate
from harness.verbs.removing import rm
from harness.verbs.running import run
from harness.verbs.sharing import export, serve
from harness.verbs.sweeping import sweep
from harness.verbs.viewing import view

__all__ = [
    "audit",
    "baseline",
    "cache",
    "compare",
    "contamination",
    "diff",
    "export",
    "gate",
    "judge",
    "leaderboard",
    "ls",
    "power",
    "report",
    "rm",
    "run",
    "score",
    "serve",
    "sweep",
    "validate",
    "view",
]
