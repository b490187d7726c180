"""Commands run as Ray tasks: each has its own exit code and its own words."""

from pathlib import Path

from harness.engines.ray_commands import RayCommands
from harness.sweep.pool import Job, carry_out


def test_commands_end_with_their_own_code_and_words(tmp_path: Path) -> None:
    jobs = [Job(name, (name,), tmp_path / f"{name}.txt") for name in ("--version", "nonsense")]
    place = RayCommands(workers=2, address=None, gpus=0, results=tmp_path)
    codes = {job.label: code for job, code, _ in carry_out(jobs, place, 2)}
    assert codes == {"--version": 0, "nonsense": 2}
    assert (tmp_path / "--version.txt").read_text().startswith("harness ")
    assert "invalid choice" in (tmp_path / "nonsense.txt").read_text()
