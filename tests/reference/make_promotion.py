"""Store PyTorch's answers to helpers/promotion.py: python tests/reference/make_promotion.py."""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from helpers import promotion  # noqa: E402

if __name__ == "__main__":
    stored = {"about": f"PyTorch {torch.__version__}", **promotion.table(torch)}
    (HERE / "promotion.json").write_text(json.dumps(stored, indent=1) + "\n")
