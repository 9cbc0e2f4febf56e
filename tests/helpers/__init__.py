"""What tests share: cases, oracles, faults, stand-ins. `from helpers import layouts` in a test."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent  # the checkout, or what was unpacked
REFERENCE = TESTS / "reference"  # stored results of PyTorch
