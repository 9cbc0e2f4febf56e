"""Store PyTorch's training runs: python tests/reference/make_trajectories.py.

trajectories.npz holds, for each optimizer and loss of helpers/trajectories.py, the losses of 20
steps and the last weights of the output layer. `about` records PyTorch's version, the seed and the
dtype.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from helpers import trajectories  # noqa: E402

ABOUT = f"PyTorch {torch.__version__}, float32, numpy seed {trajectories.SEED}"


def main():
    stored = {"about": np.array(ABOUT)}
    for optimizer in trajectories.OPTIMIZERS:
        for loss in trajectories.LOSSES:
            losses, weight = trajectories.run(torch, optimizer, loss)
            stored[f"{optimizer}/{loss}/losses"] = losses
            stored[f"{optimizer}/{loss}/weight"] = weight
    np.savez_compressed(HERE / "trajectories.npz", **stored)
    print(f"trajectories.npz: {len(stored) // 2} runs; {ABOUT}")


if __name__ == "__main__":
    main()
