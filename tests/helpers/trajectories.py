"""Training runs of 20 steps: run(m, optimizer, loss), m the library, PyTorch or minigrad."""

import numpy as np

STEPS, ROWS, FEATURES, HIDDEN, OUT = 20, 16, 8, 12, 5
SEED = 2013
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam_decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    "adamw": ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
    "rmsprop": ("RMSprop", {"lr": 0.002}),
    "rmsprop_momentum": ("RMSprop", {"lr": 0.005, "momentum": 0.8, "weight_decay": 0.05}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.005, "alpha": 0.9, "eps": 1e-3, "centered": True}),
}
LOSSES = (
    "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss", "L1Loss", "MSELoss", "SmoothL1Loss",
)  # fmt: skip


def start():
    """The first weights, the inputs and the targets: float32 (the classes int64)."""
    rng = np.random.default_rng(SEED)
    shapes = (HIDDEN, FEATURES), (HIDDEN,), (OUT, HIDDEN), (OUT,)
    weights = [rng.uniform(-0.5, 0.5, shape).astype(np.float32) for shape in shapes]
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    return weights, x, rng.random((ROWS, OUT)).astype(np.float32), rng.integers(OUT, size=ROWS)


def run(m, optimizer, loss):
    """The losses of 20 steps of a perceptron, and its last output layer's weights."""
    weights, x, y, classes = start()
    model = m.nn.Sequential(
        m.nn.Linear(FEATURES, HIDDEN), m.nn.Tanh(), m.nn.Linear(HIDDEN, OUT),
        *([m.nn.Sigmoid()] if loss == "BCELoss" else []),
    )  # fmt: skip
    with m.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(m.tensor(w))
    x, y = m.tensor(x), m.tensor(classes if loss == "CrossEntropyLoss" else y)
    name, options = OPTIMIZERS[optimizer]
    stepper = getattr(m.optim, name)(model.parameters(), **options)
    criterion, losses = getattr(m.nn, loss)(), []
    for _ in range(STEPS):
        stepper.zero_grad()
        value = criterion(model(x), y)
        value.backward()
        stepper.step()
        losses.append(value.item())
    return np.array(losses, np.float32), model[2].weight.detach().numpy()
