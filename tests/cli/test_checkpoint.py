"""Nothing is lost: training goes on, bit for bit, after a kill, a full disk, Ctrl-C or a NaN."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from helpers import TESTS
from helpers.faults import fault_at
from minigrad import cli, datasets
from minigrad.cli import checkpoint

TRAIN = ["train", "diabetes", "--epochs", "3", "--hidden", "8"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(TESTS)}


def run(folder: Path, *extra: str) -> int:
    """Train into weights and log of a folder."""
    files = ["--save", folder / "weights", "--log", folder / "log"]
    return cli.main([*TRAIN, *map(str, files), *extra])


def assert_same_run(folder, other):
    for name in ("weights", "log"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def without_seconds(text):
    return re.sub(r", [\d.]+ s$", "", text.strip(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder) == 0
    return folder


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("file", ["checkpoint", "checkpoint.npz"])
def test_a_run_goes_on_where_an_epoch_ended(epochs, file, whole, tmp_path, capsys):
    kept = ["--checkpoint", str(tmp_path / file)]
    assert run(tmp_path, *kept, "--epochs", str(epochs)) == 0
    assert run(tmp_path, *kept, "--resume") == 0
    assert_same_run(tmp_path, whole)
    assert f"going on from {tmp_path / file}: {epochs} epochs are done" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("data", ["digits", "cancer"])
def test_every_optimizer_goes_on(data, optimizer, tmp_path, capsys):
    arguments = ["train", data, "--optimizer", optimizer, "--hidden", "8,4", "--batch-size", "100"]
    kept = ["--checkpoint", str(tmp_path / "checkpoint")]
    assert cli.main([*arguments, "--epochs", "3", "--save", str(tmp_path / "whole")]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert cli.main([*arguments, "--epochs", "1", *kept]) == 0
    resumed = [*kept, "--epochs", "3", "--resume", "--save", str(tmp_path / "weights")]
    assert cli.main([*arguments, *resumed]) == 0
    assert (tmp_path / "weights").read_bytes() == (tmp_path / "whole").read_bytes()
    assert without_seconds(line) in without_seconds(capsys.readouterr().out)


def test_resume_starts_where_there_is_nothing_to_resume(whole, tmp_path):
    assert run(tmp_path, "--checkpoint", str(tmp_path / "checkpoint"), "--resume") == 0
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["cancer"], "was made with DATA diabetes, not cancer"),
        (["--loss", "l1"], "was made with --loss mse, not l1"),
        (["--hidden", "8,8"], "was made with --hidden 8, not 8,8"),
        (["--optimizer", "sgd"], "was made with --optimizer adamw, not sgd"),
        (["--lr", "0.5"], "was made with --lr 0.001, not 0.5"),
        (["--batch-size", "16"], "was made with --batch-size 32, not 16"),
        (["--seed", "1"], "was made with --seed 0, not 1"),
        (["--epochs", "2"], "holds 3 epochs, more than --epochs 2"),
    ],
)
def test_other_options_are_refused(changed, words, tmp_path, capsys):
    file = tmp_path / "checkpoint"
    assert run(tmp_path, "--checkpoint", str(file)) == 0
    before = file.read_bytes()
    arguments = ["train", *changed] if changed == ["cancer"] else [*TRAIN, *changed]
    capsys.readouterr()
    assert cli.main([*arguments, "--checkpoint", str(file), "--resume"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"minigrad: {file} {words}")
    assert error.count("\n") == 1
    assert file.read_bytes() == before


def test_a_checkpoint_is_not_overwritten_by_another_run(tmp_path, capsys):
    file = tmp_path / "checkpoint"
    assert run(tmp_path, "--checkpoint", str(file)) == 0
    before = file.read_bytes()
    assert run(tmp_path, "--checkpoint", str(file)) == 2
    assert f"{file} exists: add --resume" in capsys.readouterr().err
    assert run(tmp_path, "--resume") == 2
    assert "--resume needs --checkpoint" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_a_damaged_checkpoint_is_refused(cut, tmp_path, capsys):
    file = tmp_path / "checkpoint"
    assert run(tmp_path, "--checkpoint", str(file)) == 0
    file.write_bytes(file.read_bytes()[:cut])
    assert run(tmp_path, "--checkpoint", str(file), "--resume") == 2
    error = capsys.readouterr().err
    assert f"{file} is not a complete safetensors or .npz file of tensors" in error
    assert error.count("\n") == 1


def damage(state, *keys):
    """Remove what lies at the end of the keys."""
    for key in keys[:-1]:
        state = state[key]
    del state[keys[-1]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: damage(s, "settings"), "lacks 'settings'"),
        (lambda s: damage(s, "settings", "--lr"), "lacks '--lr'"),
        (lambda s: damage(s, "progress", "rows"), "lacks 'rows'"),
        (lambda s: damage(s, "generator", "state"), "state"),
        (lambda s: damage(s, "model", "0.bias"), 'Missing key(s) in state_dict: "0.bias"'),
        (lambda s: s["model"].update({"0.bias": mg.ones(9)}), "size mismatch for 0.bias"),
        (lambda s: damage(s, "optimizer", "state", 1, "exp_avg"), "lacks state.1.exp_avg"),
    ],
)
def test_what_is_missing_in_a_checkpoint_is_named(change, words, tmp_path, capsys):
    file = tmp_path / "checkpoint"
    assert run(tmp_path, "--checkpoint", str(file)) == 0
    state = mg.load(file)
    change(state)
    mg.save(state, file)
    capsys.readouterr()
    assert run(tmp_path, "--checkpoint", str(file), "--resume") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"minigrad: {file} is no checkpoint of this run: ")
    assert words in error
    assert error.count("\n") == 1


# --- kills -------------------------------------------------------------------------------------

# A fresh process that forks: importing takes longer than the runs.
KILLS = """
import os, signal, sys, itertools
from contextlib import nullcontext
from pathlib import Path
from helpers.faults import fault_at
from minigrad import cli
import minigrad as mg

def child(work, call):
    "Whether it was killed at this system call; all other ends but success are the parent's too."
    process = os.fork()
    if not process:
        status = 1
        try:
            with fault_at(call, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                status = work()
        finally:
            os._exit(status)
    status = os.waitpid(process, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), status
    return os.WIFSIGNALED(status)
"""


def forked(code, *arguments):
    command = [sys.executable, "-c", KILLS + code, *map(str, arguments)]
    found = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout


TRAINING = """
folder = Path(sys.argv[1])
cli.main(sys.argv[2:])  # imports and kernels, once for all children
for call in itertools.count(1):
    part = folder / str(call)
    part.mkdir()
    files = ["--save", part / "weights", "--log", part / "log", "--checkpoint", part / "checkpoint"]
    def work():
        return cli.main([*sys.argv[2:], *map(str, files), "--resume"])
    if not child(work, call):
        break
    assert not child(work, None)
"""


def test_a_kill_at_every_system_call_of_saving_loses_nothing(whole, tmp_path):
    forked(TRAINING, tmp_path, *TRAIN)
    parts = list(tmp_path.iterdir())
    assert len(parts) > 25  # three checkpoints and the weights
    for part in parts:
        assert_same_run(part, whole)


SAVING = """
path = Path(sys.argv[1])
old, new = {"x": mg.zeros(1000), "y": mg.zeros(3)}, {"x": mg.ones(1000), "y": mg.ones(3)}
found = []
for call in itertools.count(1):
    mg.save(old, path)
    killed = child(lambda: mg.save(new, path) or 0, call)
    state = mg.load(path)
    (value,) = {v for tensor in state.values() for v in tensor.tolist()}
    assert state.keys() == old.keys()
    found.append(value)
    if not killed:
        break
print(found)
"""


@pytest.mark.parametrize("name", ["file.npz", "file.safetensors"])
def test_a_kill_in_save_leaves_the_old_file_or_the_new_one(name, tmp_path):
    found = json.loads(forked(SAVING, tmp_path / name))
    assert set(found) == {0, 1}
    assert found == sorted(found)
    assert len(found) >= 8


# --- disks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("name", ["file.npz", "file.safetensors"])
def test_a_fault_at_every_system_call_of_save_keeps_a_whole_file(name, number, tmp_path):
    def fault():
        raise OSError(number, os.strerror(number))

    path = tmp_path / name
    old, new = {"x": mg.zeros(1000)}, {"x": mg.ones(1000)}
    mg.save(old, path)
    before = path.read_bytes()
    for call in range(1, 1000):
        with fault_at(call, fault) as made:
            error = None
            try:
                mg.save(new, path)
            except OSError as caught:
                error = caught
        if error is None:
            break
        assert (error.errno, error.filename) == (number, str(path))
        assert os.listdir(tmp_path) == [name]
        if "replace" not in made[: call - 1]:
            assert path.read_bytes() == before
        mg.load(path)
    assert mg.load(path)["x"].tolist() == [1] * 1000
    assert call > 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_ends_training_in_one_sentence(number, whole, tmp_path, capsys, monkeypatch):
    file, rows = tmp_path / "checkpoint", datasets.load("diabetes").x_train.tobytes()
    saves, save = [], mg.save

    def full(*args):
        saves.append(args)
        if len(saves) == 2:
            with fault_at(2, fault):
                return save(*args)
        return save(*args)

    def fault():
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(mg, "save", full)
    assert run(tmp_path, "--checkpoint", str(file)) == 2
    reason = f"cannot write {file}: {os.strerror(number)}; what it held before is still there"
    assert capsys.readouterr().err == f"minigrad: {reason}\n"
    assert len(mg.load(file)["progress"]["history"]) == 1
    assert datasets.load("diabetes").x_train.tobytes() == rows
    assert run(tmp_path, "--checkpoint", str(file), "--resume") == 0
    assert_same_run(tmp_path, whole)


def test_the_system_refuses_to_write_more(tmp_path):
    """A real refusal, of a limit on the size of files: no patched function."""
    file, code = tmp_path / "checkpoint", "import resource, sys; from minigrad import cli; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(cli.main())"
    command = [sys.executable, "-c", code, *TRAIN, "--checkpoint", str(file)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr == f"minigrad: cannot write {file}: {os.strerror(errno.EFBIG)}\n"
    assert os.listdir(tmp_path) == []


def test_save_keeps_links_modes_and_what_is_no_file(tmp_path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    mg.save({"x": mg.zeros(1)}, real)
    real.chmod(0o600)
    link.symlink_to(real)
    mg.save({"x": mg.ones(1)}, link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert mg.load(real)["x"].tolist() == [1]
    null = os.stat("/dev/null")
    mg.save({"x": mg.ones(1)}, "/dev/null")
    assert os.stat("/dev/null").st_ino == null.st_ino
    with pytest.raises(IsADirectoryError):
        mg.save({"x": mg.ones(1)}, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere/x\.npz'$"):
        mg.save({"x": mg.ones(1)}, tmp_path / "nowhere" / "x.npz")
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "real.npz"]


# --- Ctrl-C ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 5, 12, 13, 30])  # an epoch is 12 steps
def test_a_signal_stops_after_saving(number, step, whole, tmp_path, capsys, monkeypatch):
    steps, stepped = [], mg.optim.AdamW.step

    def step_(self):
        steps.append(1)
        if len(steps) == step:
            os.kill(os.getpid(), number)
        stepped(self)

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    kept = ["--checkpoint", str(tmp_path / "checkpoint")]
    monkeypatch.setattr(mg.optim.AdamW, "step", step_)
    assert run(tmp_path, *kept) == 128 + number
    epoch, advice = (step - 1) // 12 + 1, "add --resume to the command to go on"
    sentence = f"stopped in epoch {epoch}, which {tmp_path / 'checkpoint'} holds so far: {advice}"
    assert capsys.readouterr().err == f"minigrad: {sentence}\n"
    assert len(steps) == step
    assert run(tmp_path, *kept, "--resume") == 0
    assert len(steps) == 36  # none was lost
    assert_same_run(tmp_path, whole)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_signals_that_are_ignored_or_not_ours_stay_so(whole, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the shell does for `command &`
    try:
        with checkpoint.signals() as caught:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert caught == [signal.SIGTERM]
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # the second time it acts
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    codes, arguments = [], ["--checkpoint", str(tmp_path / "checkpoint")]
    thread = threading.Thread(target=lambda: codes.append(run(tmp_path, *arguments)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert_same_run(tmp_path, whole)


def test_ctrl_c_as_a_process(tmp_path):
    command = [sys.executable, "-m", "minigrad", *TRAIN, "--epochs", "100000"]
    file, log = tmp_path / "checkpoint", tmp_path / "log"
    command += ["--checkpoint", str(file), "--log", str(log)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert re.fullmatch(r"minigrad: stopped in epoch \d+, which .* add --resume .*\n", error)
    assert len(mg.load(file)["progress"]["history"]) >= 1


# --- NaN ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_stops_and_keeps_the_last_good_checkpoint(bad, whole, tmp_path, capsys, monkeypatch):
    """A weight goes bad in step 20, in the second epoch."""
    steps, stepped = [], mg.optim.AdamW.step

    def step_(self):
        stepped(self)
        steps.append(1)
        if len(steps) == 19:
            self.param_groups[0]["params"][-1].detach().fill_(bad)

    file = tmp_path / "checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(mg.optim.AdamW, "step", step_)
        assert run(tmp_path, "--checkpoint", str(file)) == 2
    found = re.fullmatch(
        r"minigrad: training diverged at step 20 \(epoch 2\): loss (nan|inf), largest gradient "
        r"(nan|inf); try a smaller --lr; (.*) holds the last good state\n",
        capsys.readouterr().err,
    )
    assert found[1] == str(bad)
    assert found[3] == str(file)
    assert len(mg.load(file)["progress"]["history"]) == 1
    assert run(tmp_path, "--checkpoint", str(file), "--resume") == 0
    assert_same_run(tmp_path, whole)


def test_the_largest_gradient_is_named(tmp_path, capsys, monkeypatch):
    """The loss is finite still, and a gradient is not."""
    backward = mg.Tensor.backward

    def poisoned(self):
        backward(self)
        models[0].grad[0] = -np.inf

    models, optimizer = [], mg.optim.AdamW.__init__

    def remembered(self, params, **options):
        models.extend(params)
        optimizer(self, models, **options)

    monkeypatch.setattr(mg.Tensor, "backward", poisoned)
    monkeypatch.setattr(mg.optim.AdamW, "__init__", remembered)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert re.search(r"at step 1 \(epoch 1\): loss [\d.]+, largest gradient inf; try", error)
