"""How long the commands take that should be quick: `.venv/bin/python benchmarks/startup.py`.

Whole processes, median of 15, beside an empty Python process and lmms-eval's help, in one run.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "harness --help": [str(BIN / "harness"), "--help"],
    "harness run --help": [str(BIN / "harness"), "run", "--help"],
    **{f"harness {verb} --help": [str(BIN / "harness"), verb, "--help"] for verb in ("gate", "leaderboard", "report")},
    "harness ls recipes": [str(BIN / "harness"), "ls", "recipes"],
    "harness run --dry-run": [
        str(BIN / "harness"), "run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run",
    ],
    "lmms-eval --help": [str(BIN / "lmms-eval"), "--help"],
}  # fmt: skip


def main() -> None:
    """Time each command and print a table."""
    print("| command | median s | min | max |\n| --- | --- | --- | --- |")
    for name, command in COMMANDS.items():
        taken = []
        for _ in range(15):
            started = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken.append(time.perf_counter() - started)
        print(f"| `{name}` | {statistics.median(taken):.3f} | {min(taken):.3f} | {max(taken):.3f} |")


if __name__ == "__main__":
    main()
