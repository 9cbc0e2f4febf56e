"""The commands as a person types them: results, files, and one sentence for what won't do."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.utils import optional


def last_line(capsys) -> str:
    return capsys.readouterr().out.strip().splitlines()[-1]


@pytest.mark.parametrize(("data", "floor"), [("digits", 0.97), ("cancer", 0.95)])
def test_classifiers_reach_their_accuracy(data, floor, capsys):
    assert cli.main(["train", data]) == 0
    line = last_line(capsys)
    assert float(re.search(r"test accuracy ([\d.]+)", line)[1]) >= floor, line


@pytest.mark.parametrize("loss", ["mse", "l1", "smooth_l1"])
def test_regression_takes_a_third_off_the_mean(loss, capsys):
    assert cli.main(["train", "diabetes", "--loss", loss]) == 0
    line = last_line(capsys)
    error, mean = map(int, re.search(r"MSE (\d+), predicting the mean (\d+)", line).groups())
    assert error <= mean * 2 / 3, line


@pytest.mark.parametrize("data", ["digits", "cancer", "diabetes"])
def test_files(data, tmp_path, capsys):
    plot, log, weights = (tmp_path / name for name in ("run.png", "run.jsonl", "weights"))
    arguments = f"train {data} --epochs 2 --hidden 16,8 --plot {plot} --log {log} --save {weights}"
    assert cli.main(arguments.split()) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert records[1]["train_loss"] < records[0]["train_loss"]
    assert ("test_accuracy" in records[0]) == (data != "diabetes")
    state = mg.load(weights)
    assert [tuple(state[f"{layer}.bias"].shape) for layer in (0, 2)] == [(16,), (8,)]


def test_a_seed_gives_the_same_run_again(tmp_path):
    logs = [tmp_path / name for name in ("a", "b", "other")]
    for log, seed in zip(logs, "778", strict=True):
        assert (
            cli.main(["train", "cancer", "--epochs", "2", "--seed", seed, "--log", str(log)]) == 0
        )
    first, again, other = (log.read_text() for log in logs)
    assert first == again
    assert first != other


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_learns(optimizer, capsys):
    arguments = f"train cancer --loss bce --epochs 10 --batch-size 16 --optimizer {optimizer}"
    assert cli.main(arguments.split()) == 0
    assert float(re.search(r"test accuracy ([\d.]+)", last_line(capsys))[1]) > 0.9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "COMMAND"),
        ("train", "DATA"),
        ("train mnist", "invalid choice: 'mnist'"),
        ("fly", "invalid choice: 'fly'"),
        ("train digits --loss mse", "--loss mse does not fit digits: expected cross_entropy"),
        ("train digits --epochs 0", "--epochs: expected a whole number from 1"),
        ("train digits --epochs -3", "--epochs: expected a whole number from 1"),
        ("train digits --batch-size 2.5", "--batch-size: expected a whole number"),
        ("train digits --lr -0.1", "--lr: expected a number from 0"),
        ("train digits --lr nan", "--lr: expected a number from 0"),
        ("train digits --hidden 64,", "--hidden: expected a whole number"),
        ("train digits --hidden 0", "--hidden: expected a whole number"),
        ("train digits --seed x", "--seed: expected a whole number"),
        ("train digits --optimizer lion", "invalid choice: 'lion'"),
        ("train digits --device tpu", "tpu"),
        ("train digits --plot nowhere/run.png", "--plot: there is no folder 'nowhere'"),
        ("train digits --log .", "--log: '.' is a folder"),
        ("train digits --save", "--save"),
        ("train diabetes --lr 1000 --optimizer sgd", "try a smaller --lr"),
        ("train cancer --loss bce --lr 1000 --hidden 8,8,8,8,8,8", "try a smaller --lr"),
        ("info now", "now"),
    ],
)
def test_one_sentence_and_exit_code_2(arguments, words, capsys):
    assert cli.main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("minigrad: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_output_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    assert cli.main(["train", "digits", "--save", str(tmp_path / "weights")]) == 2
    assert "is not writable" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["sklearn", "tqdm", "matplotlib"])
def test_a_missing_extra(missing, tmp_path, monkeypatch, capsys):
    load = optional.importlib.import_module

    def import_module(module):
        if module.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return load(module)

    monkeypatch.setattr(optional.importlib, "import_module", import_module)
    assert cli.main(["train", "cancer", "--plot", str(tmp_path / "run.png")]) == 2
    expected = f'minigrad: {missing} is not installed: run pip install "minigrad[train]"\n'
    assert capsys.readouterr().err == expected


def test_ctrl_c(monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "fit", interrupt)
    assert cli.main(["train", "digits"]) == 130
    assert capsys.readouterr().err == "minigrad: interrupted\n"


def test_info_as_a_process():
    found = subprocess.run(
        [sys.executable, "-m", "minigrad", "info"], capture_output=True, text=True, check=True
    )
    rows = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in found.stdout.splitlines())
    assert rows["numpy"] == np.__version__
    assert rows["threads"].endswith("layer)")
    assert {"minigrad", "SIMD", "kernel cache", "CUDA", "scikit-learn", "torch"} <= rows.keys()
    assert found.stderr == ""


def test_a_bad_argument_as_a_process():
    found = subprocess.run(
        [sys.executable, "-m", "minigrad", "train", "mnist"], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.startswith("minigrad: argument DATA: invalid choice: 'mnist'")


def test_warmup_leaves_nothing_to_compile(tmp_path, monkeypatch):
    pieces = list(cli.warmup.work())
    assert len(pieces) > 100
    cross_entropy = next(p for p in pieces if p[0] == "cross_entropy" and p[1] == (1, 3))
    adam = next(p for p in pieces if p[0] == "Adam")
    monkeypatch.setattr(cli.warmup, "work", lambda: iter([cross_entropy, adam]))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    builds = []
    for _ in range(2):
        assert cli.main(["warmup"]) == 0
        builds.append(set(tmp_path.rglob("*.nbc")))
    assert builds[0] == builds[1]
    assert {"few_classes", "update", "count_classes"} <= {p.name.split(".")[1] for p in builds[0]}
