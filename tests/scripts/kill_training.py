"""Training killed at random instants of its life ends, resumed, with the bits of a whole run.

`python tests/scripts/kill_training.py [KILLS]`: 25 by default, some three minutes. Each kill is a
SIGKILL of a `python -m minigrad train`: a third of them some time after the start of the process,
the others a part of an epoch's time after some epoch is logged, all drawn by a fixed seed, so that
a busy machine does no harm. (cli/test_checkpoint.py kills at every system call of saving instead.)
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minigrad as mg

EPOCHS = 60
TRAIN = [sys.executable, "-m", "minigrad", "train", "diabetes", "--epochs", str(EPOCHS)]
FILES = ("checkpoint.npz", "weights", "log")


def command(folder: Path) -> list[str]:
    files = ["--checkpoint", "checkpoint.npz", "--save", "weights", "--log", "log"]
    names = [str(folder / x) if i % 2 else x for i, x in enumerate(files)]
    return [*TRAIN, *names, "--resume"]


def epochs_in(file: Path) -> int:
    return len(mg.load(file)["progress"]["history"]) if file.exists() else 0


def start(folder: Path) -> subprocess.Popen:
    folder.mkdir()
    return subprocess.Popen(command(folder), stdout=subprocess.DEVNULL)


def logged(process: subprocess.Popen, folder: Path, epochs: int) -> None:
    """Wait until so many epochs are in the log, or for the end of the process."""
    log = folder / "log"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= epochs):
        time.sleep(0.0005)


def main(kills: int = 25) -> int:
    draw, different, cut = random.Random(0), 0, 0
    with tempfile.TemporaryDirectory() as name:
        start(Path(name) / "first").wait()  # which may compile
        whole, began = Path(name) / "whole", time.perf_counter()
        process = start(whole)
        logged(process, whole, 1)
        first = time.perf_counter() - began
        assert process.wait() == 0
        life = time.perf_counter() - began
        print(f"a whole run takes {life:.2f} s, {first:.2f} s to the first epoch")
        early = kills // 3
        for kill in range(kills):
            folder = Path(name) / str(kill)
            process = start(folder)
            epoch = 0 if kill < early else draw.randrange(1, EPOCHS)
            if epoch:
                delay = (life - first) / EPOCHS * draw.random()
                logged(process, folder, epoch)
            else:
                delay = first * (kill + draw.random()) / early
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
            moment = (
                f"{ending} {delay:.3f} s after {'epoch ' + str(epoch) if epoch else 'the start'}"
            )
            result = f"{left} unfinished file, resumed: {'same bits' if same else 'OTHER BITS'}"
            print(f"{kill + 1:3}: {moment}, {epochs:2} epochs kept, {result}", flush=True)
    print(f"{kills} runs, {cut} killed, {different} with other bits")
    return int(different > 0 or cut < kills // 2)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
