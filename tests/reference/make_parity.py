"""Store PyTorch's outcome of drawn cases of every loss: python tests/reference/make_parity.py.

parity.npz holds `outcomes`, JSON: for each case its loss and number and the shapes of its value and
gradients, or PyTorch's exception; `values`, all these arrays in float64, one after the other; and
`about`, PyTorch's version. Run again after a change of helpers/parity.py.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from helpers import parity


def main():
    outcomes, values = [], []
    for loss in parity.LOSSES:
        for number in range(parity.STORED_PER_LOSS):
            outcome = parity.by_torch(torch, parity.drawn(loss, number))
            if not isinstance(outcome, str):
                values += [a.reshape(-1) for a in outcome.values()]
                outcome = {name: a.shape for name, a in outcome.items()}
            outcomes.append((f"{loss}-{number}", outcome))
    np.savez_compressed(
        parity.CORPUS,
        outcomes=np.array(json.dumps(outcomes)),
        values=np.concatenate(values),
        about=np.array(f"PyTorch {torch.__version__}, float64"),
    )
    print(f"{parity.CORPUS.name}: {len(outcomes)} cases, {parity.CORPUS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
