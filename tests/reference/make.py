"""Store PyTorch's outputs and gradients for every case: python tests/reference/make.py.

operations.npz holds, for each case of helpers/cases.py, the output and the gradient of each input
in float64 for the case's own upstream gradient; losses.npz the same for helpers/loss_cases.py.
`about` records PyTorch's version, the seeds and the dtype. Run again after adding a case.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from helpers.cases import CASES  # noqa: E402
from helpers.loss_cases import LOSS_CASES  # noqa: E402

ABOUT = f"PyTorch {torch.__version__}, float64, inputs seeded by crc32 of the case's name"


def evaluate(case) -> dict[str, np.ndarray]:
    """Output and gradients of one case by PyTorch; an input without a gradient is left out."""
    inputs = [torch.tensor(a, requires_grad=True) for a in case.inputs()]
    out = case.run(torch, *inputs)
    out.backward(torch.tensor(case.upstream(tuple(out.shape))))
    found = {"out": out.detach().numpy()}
    found |= {f"grad{i}": x.grad.numpy() for i, x in enumerate(inputs) if x.grad is not None}
    return {f"{case.name}/{key}": value for key, value in found.items()}


def main():
    for file, cases in (("operations", CASES), ("losses", LOSS_CASES)):
        stored = {"about": np.array(ABOUT)}
        for case in cases:
            stored |= evaluate(case)
        np.savez_compressed(HERE / f"{file}.npz", **stored)
        print(f"{file}.npz: {len(cases)} cases; {ABOUT}")


if __name__ == "__main__":
    main()
