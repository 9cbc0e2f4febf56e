"""Learning-rate schedules give PyTorch's sequence of rates, number for number."""

import copy
import math
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim import lr_scheduler as ours

RATES = (0.5, 0.02)
METRICS = [1.0, 0.9, 0.9, 0.95, 0.89999, 0.8, 0.9, 1.2, 0.9, math.nan, 0.9, 0.7, 0.7, 0.7, 0.7, 0.9]
CASES = {
    "step": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "milestones": ("MultiStepLR", {"milestones": [7, 2, 2, 11], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    "cosine-1": ("CosineAnnealingLR", {"T_max": 1}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    "lambdas": ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (epoch + 1), lambda epoch: epoch]}),
    "plateau": ("ReduceLROnPlateau", {"patience": 1, "factor": 0.5}),
    "plateau-max": ("ReduceLROnPlateau", {"mode": "max", "patience": 0, "cooldown": 2}),
    "plateau-abs": (
        "ReduceLROnPlateau",
        {"threshold": 0.05, "threshold_mode": "abs", "patience": 1, "min_lr": [0.1, 0.01]},
    ),
    "plateau-eps": ("ReduceLROnPlateau", {"patience": 0, "min_lr": 0.015, "eps": 0.01}),
}


def optimizer(optim, library):
    groups = [{"params": [library.zeros(1, requires_grad=True)], "lr": lr} for lr in RATES]
    return optim.SGD(groups, lr=1.0)


def sequence(scheduler, optimizer, epochs=range(16), by_hand=None):
    """Every group's rate after each epoch; `by_hand` halves the first one after that epoch."""
    rates = []
    for epoch in epochs:
        optimizer.step()
        scheduler.step(*([METRICS[epoch]] if type(scheduler).__name__.endswith("Plateau") else []))
        assert scheduler.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        rates.append(scheduler.get_last_lr())
        if epoch == by_hand:
            optimizer.param_groups[0]["lr"] /= 2
    return rates


def ours_for(case):
    name, options = CASES[case]
    sgd = optimizer(optim, mg)
    return getattr(ours, name)(sgd, **options), sgd


@pytest.mark.parametrize(
    ("case", "expected"),  # of the first group, from the definitions
    [
        ("step", [0.5 * 0.5 ** (t // 3) for t in range(1, 17)]),
        ("exponential", [0.5 * 0.9**t for t in range(1, 17)]),
        ("milestones", [0.5, *[0.045] * 5, *[0.0135] * 4, *[0.00405] * 6]),
        ("cosine", [0.01 + 0.49 * (1 + math.cos(math.pi * t / 5)) / 2 for t in range(1, 17)]),
        ("lambda", [0.5 * 0.95**t for t in range(1, 17)]),
        (
            "plateau",
            [*[0.5] * 3, *[0.25] * 4, *[0.125] * 2, *[0.0625] * 4, *[0.03125] * 2, 0.015625],
        ),
    ],
)
def test_rates(case, expected):
    got = [rates[0] for rates in sequence(*ours_for(case))]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("by_hand", [None, 4])
@pytest.mark.parametrize("case", CASES)
def test_rates_are_pytorchs(case, by_hand):
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    name, options = CASES[case]
    sgd = optimizer(torch.optim, torch)
    theirs = getattr(torch.optim.lr_scheduler, name)(sgd, **options)
    np.testing.assert_allclose(
        sequence(*ours_for(case), by_hand=by_hand),
        sequence(theirs, sgd, by_hand=by_hand),
        rtol=1e-12,
        atol=1e-17,
    )


@pytest.mark.parametrize("case", CASES)
def test_state_resumes_the_sequence(case):
    whole = sequence(*ours_for(case))
    scheduler, sgd = ours_for(case)
    sequence(scheduler, sgd, range(6))
    state, rates = scheduler.state_dict(), sgd.state_dict()
    assert "optimizer" not in state
    resumed, sgd = ours_for(case)
    sgd.load_state_dict(rates)
    resumed.load_state_dict(state)
    assert resumed.last_epoch == 6
    assert sequence(resumed, sgd, range(6, 16)) == whole[6:]


@pytest.mark.parametrize("case", ["step", "exponential", "cosine"])
def test_last_epoch_resumes_without_a_state(case):
    name, options = CASES[case]
    whole = sequence(*ours_for(case))
    sgd = optimizer(optim, mg)
    for group, lr, rate in zip(sgd.param_groups, RATES, whole[6], strict=True):
        group["initial_lr"], group["lr"] = lr, rate
    resumed = getattr(ours, name)(sgd, **options, last_epoch=6)
    assert resumed.get_last_lr() == whole[6]
    np.testing.assert_allclose(sequence(resumed, sgd, range(7, 16)), whole[7:], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: ours.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda o: ours.StepLR(o, 1, last_epoch=4), KeyError, "'initial_lr' is not specified"),
        (lambda o: ours.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        (lambda o: ours.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
        (lambda o: ours.ReduceLROnPlateau(o, "up"), ValueError, "mode up is unknown"),
        (lambda o: ours.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x"),
        (lambda o: ours.ReduceLROnPlateau(o, min_lr=[0]), ValueError, "expected 2 min_lrs, got 1"),
    ],
)
def test_faults_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizer(optim, mg))


class Warm:
    """A callable object: its attributes are the schedule's state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 1 / self.calls


def test_a_callable_objects_state_is_kept():
    """PyTorch's state dict: the object's attributes, None for a function."""
    sgd = optimizer(optim, mg)
    scheduler = ours.LambdaLR(sgd, [Warm(), lambda epoch: 0.5])
    scheduler.step()
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"calls": 2}, None]
    resumed = ours.LambdaLR(optimizer(optim, mg), [Warm(), lambda epoch: 0.5])
    resumed.load_state_dict(state)
    resumed.step()
    scheduler.step()
    assert resumed.get_last_lr() == scheduler.get_last_lr() == [RATES[0] / 3, RATES[1] / 2]
    assert state["lr_lambdas"] == [{"calls": 2}, None]


def test_plateau_after_a_group_is_added():
    sgd = optimizer(optim, mg)
    scheduler = ours.ReduceLROnPlateau(sgd, patience=0, factor=0.5, min_lr=0.2)
    sgd.add_param_group({"params": [mg.zeros(1, requires_grad=True)], "lr": 0.3})
    for metric in (1.0, 2.0):
        scheduler.step(metric)
    assert [group["lr"] for group in sgd.param_groups] == [0.25, 0.02, 0.2]
    sgd = optimizer(optim, mg)
    scheduler = ours.ReduceLROnPlateau(sgd, patience=0, min_lr=[0, 0])
    sgd.add_param_group({"params": [mg.zeros(1, requires_grad=True)], "lr": 0.3})
    scheduler.step(1.0)
    with pytest.raises(RuntimeError, match=r"2 min_lrs, its optimizer has 3 .*set scheduler\.min"):
        scheduler.step(2.0)
    scheduler.min_lrs = [0, 0, 0.1]
    scheduler.step(2.0)
    assert sgd.param_groups[2]["lr"] == 0.1


def test_groups_that_came_after_the_scheduler():
    """Schedules of the rates there are take them along; others say what to do."""
    sgd = optimizer(optim, mg)
    step, each = ours.StepLR(sgd, 1, 0.5), ours.LambdaLR(sgd, lambda epoch: 1.0)
    sgd.add_param_group({"params": [mg.zeros(1, requires_grad=True)], "lr": 0.3})
    step.step()
    assert [group["lr"] for group in sgd.param_groups] == [0.25, 0.01, 0.15]
    with pytest.raises(
        ValueError, match="LambdaLR has rates for 2 parameter groups, its optimizer"
    ):
        each.step()
    assert each.last_epoch == 0


@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith("lambda")])
@pytest.mark.parametrize("through", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_by_itself(case, through):
    whole = sequence(*ours_for(case))
    scheduler, sgd = ours_for(case)
    sequence(scheduler, sgd, range(6))
    twin = through(scheduler)
    assert sequence(twin, twin.optimizer, range(6, 16)) == whole[6:]
    assert sgd.param_groups[0]["lr"] == whole[5][0]


def test_the_last_rates_are_those_of_the_last_step():
    sgd = optimizer(optim, mg)
    scheduler = ours.ExponentialLR(sgd, 0.5)
    sgd.param_groups[0]["lr"] = 7.0
    assert scheduler.get_last_lr() == list(RATES)
    scheduler.step()
    assert scheduler.get_last_lr() == [3.5, 0.01]


def test_a_rate_that_is_a_tensor_is_changed_in_place():
    sgd = optimizer(optim, mg)
    sgd.param_groups[0]["lr"] = rate = mg.tensor(0.5)
    scheduler = ours.ExponentialLR(sgd, 0.5)
    scheduler.step()
    assert sgd.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert scheduler.base_lrs[0].item() == 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: ours.StepLR(o, 0), ZeroDivisionError, "step_size: expected .* >= 1, got 0"),
        (lambda o: ours.StepLR(o, "3"), TypeError, "step_size: expected a number, got str"),
        (lambda o: ours.CosineAnnealingLR(o, 0), ZeroDivisionError, "T_max: expected .* got 0"),
        (lambda o: ours.ExponentialLR(o, None), TypeError, "gamma: .*number, got NoneType"),
        (lambda o: ours.MultiStepLR(o, 5), TypeError, "milestones: .*list of epochs, got int"),
        (lambda o: ours.LambdaLR(o, 0.9), TypeError, "lr_lambda should be a function, .*float"),
        (lambda o: ours.ReduceLROnPlateau(o, factor="a"), TypeError, "factor: .*number, got str"),
        (lambda o: ours.ReduceLROnPlateau(o).step(None), TypeError, "metrics: .*got NoneType"),
        (lambda o: ours.StepLR(o, 1).load_state_dict(3), TypeError, "state_dict: .*got int"),
    ],
)
def test_options_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizer(optim, mg))
