"""The wheel carries tasks and recipes, and works outside the clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.toys import ROOT


def test_the_wheel_works_in_another_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.stat().st_size < 14 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HARNESS_RESULTS": str(tmp_path / "results")}

    def harness(*arguments: str) -> str:
        command = [sys.executable, "-m", "harness", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    code = "import harness; print(harness.__file__)"
    found = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert str(tmp_path) in found.stdout
    assert (tmp_path / "site/harness/py.typed").exists()
    told = "docs/statistics.md is here: "
    assert Path(harness("compare", "--help").split(told)[1].splitlines()[0]).is_file()
    assert "vlrewardbench" in harness("ls", "tasks")
    assert "carevl" in harness("ls", "recipes")
    assert "openbmb/RLAIF-V-Dataset" in harness("ls", "preferences")
    assert "Skywork/Skywork-VL-Reward-7B" in harness("ls", "judges")
    small = ["--set", "world.items=4", "--baseline", "none"]
    assert "8 answers" in harness("run", "--recipe", "zero-shot", "--tasks", "vlrewardbench", *small)
    assert "Gemini-1.5-Pro" in harness("leaderboard", "--task", "vlrewardbench", "--published", "--format", "html")
