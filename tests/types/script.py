"""A user's training script: it runs, and type checkers and editors understand every line."""

import os
import tempfile

import numpy as np

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.utils.data import DataLoader, TensorDataset


class Classifier(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Dropout(p=0.1))
        self.head = nn.Linear(16, classes)
        self.scale = nn.Parameter(mg.ones(1))
        self.register_buffer("calls", mg.tensor(0.0))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        self.calls += 1
        hidden: mg.Tensor = self.body(x)
        logits: mg.Tensor = self.head(hidden) * self.scale
        return logits


@mg.no_grad()
def accuracy(model: Classifier, x: mg.Tensor, y: mg.Tensor) -> float:
    right: mg.Tensor = model(x).argmax(1) == y
    return float(right.float().mean().item())


@mg.compile
def total_loss(model: Classifier, x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
    return F.cross_entropy(model(x), y, reduction="sum")


mg.manual_seed(0)
x = mg.randn(64, 4)
w = mg.rand(4, 3, dtype=mg.float32, requires_grad=True)
shifted: mg.Tensor = 2 * x + 1 - x / 2
y: mg.Tensor = (mg.exp(x) @ w).argmax(dim=1)
penalty: mg.Tensor = w.square().sum() + mg.relu(w).mean(dim=0).sum() + F.softmax(w, dim=1).max()
penalty.requires_grad_().backward()
slope: mg.Tensor | None = w.grad
rows: np.ndarray = mg.stack([x, shifted])[0, 1:3].T.reshape(-1).detach().numpy()
(again,) = mg.autograd.grad((w**2).sum(), w)

model = Classifier(features=4, classes=3)
criterion = nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0, 1.0]), label_smoothing=0.1)
optimizer = optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)

for _epoch in range(10):
    for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
        optimizer.zero_grad()
        loss: mg.Tensor = criterion(model(inputs), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
    scheduler.step()

with mg.no_grad():
    total: mg.Tensor = total_loss(model.eval(), x, y) + F.mse_loss(x, shifted)
path = os.path.join(tempfile.mkdtemp(), "model.npz")
mg.save(model.state_dict(), path)
model.load_state_dict(mg.load(path))
shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
device: mg.device = model.head.weight.device
print(accuracy(model, x, y), total.item(), len(shapes), device, again.shape, rows.dtype)
