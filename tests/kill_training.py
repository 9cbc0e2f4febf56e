"""Training killed at random instants of its life ends, resumed, with the bits of a whole run.

`python tests/kill_training.py [KILLS]`: 25 by default, some three minutes. Each kill is a SIGKILL of
a `python -m minigrad train` after a part of the time that a whole run takes, imports included. The
instants are drawn one from each 25th of it, by a fixed seed. (tests/test_checkpoint.py kills at
every system call of saving instead.)
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minigrad as mg

TRAIN = [sys.executable, "-m", "minigrad", "train", "diabetes", "--epochs", "60"]
FILES = ("checkpoint.npz", "weights", "log")


def command(folder: Path) -> list[str]:
    files = ["--checkpoint", "checkpoint.npz", "--save", "weights", "--log", "log"]
    names = [str(folder / x) if i % 2 else x for i, x in enumerate(files)]
    return [*TRAIN, *names, "--resume"]


def epochs_in(file: Path) -> int:
    return len(mg.load(file)["progress"]["history"]) if file.exists() else 0


def main(kills: int = 25) -> int:
    draw, different, cut = random.Random(0), 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        subprocess.run(command(whole), check=True)  # the first run of all may compile
        (whole / "checkpoint.npz").unlink()
        started = time.perf_counter()
        subprocess.run(command(whole), check=True)
        life = time.perf_counter() - started
        print(f"a whole run takes {life:.2f} s")
        for kill in range(kills):
            folder = Path(name) / str(kill)
            folder.mkdir()
            delay = life * (kill + draw.random()) / kills
            process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL)
            try:
                process.wait(delay)
                ending = "was over"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                ending, cut = "killed", cut + 1
            epochs, left = epochs_in(folder / "checkpoint.npz"), len(list(folder.glob("*.tmp")))
            subprocess.run(command(folder), check=True, stdout=subprocess.DEVNULL)
            same = all((folder / x).read_bytes() == (whole / x).read_bytes() for x in FILES)
            different += not same
            result = "same bits" if same else "OTHER BITS"
            print(
                f"{kill + 1:3}: {ending} after {delay:.3f} s, {epochs:2} epochs kept, "
                f"{left} unfinished file, resumed: {result}"
            )
    print(f"{kills} runs, {cut} killed, {different} with other bits")
    return int(different > 0 or cut < kills // 2)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
