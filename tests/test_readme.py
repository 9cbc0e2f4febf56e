"""README's words hold: its code blocks run, its commands exist, its table is the stored one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
if not README.is_file():
    pytest.skip("needs the source checkout", allow_module_level=True)
TEXT = README.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_blocks():
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0])
def test_block_runs(block, capsys):
    """It runs, and what a comment says a print shows is what it shows."""
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    shown = capsys.readouterr().out.split("\n")
    promised = re.findall(r"^print\(.*?\)\s+# (.*)$", block, re.MULTILINE)
    assert promised == shown[: len(promised)]


def test_smooth_l1_is_quoted_as_it_is():
    """But for its types and its docstring."""
    source = (ROOT / "kernels" / "losses" / "smooth_l1.py").read_text()
    for left_out in (
        ": Real", ": Math", " -> Point",
        '    """Scalar math: point(x, y, beta, upstream) -> value, slope by x * upstream."""\n',
    ):  # fmt: skip
        assert left_out in source
        source = source.replace(left_out, "")
    assert next(block for block in BLOCKS if "def rule" in block) in source


def test_tables_are_the_stored_ones():
    """The whole file after each marker; after it, nothing but its chart."""
    shown = re.findall(r"<!-- benchmarks/results/(\w+)\.md -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert {"accuracy", "losses", "train"} <= {what for what, _ in shown}
    for what, block in shown:
        stored = (ROOT / "benchmarks" / "results" / f"{what}.md").read_text()
        rest = block.removeprefix(stored)
        assert rest != block, f"{what}: README and benchmarks/results/{what}.md differ"
        assert re.fullmatch(rf"(\n!\[.*\]\(benchmarks/results/{what}\.png\)\n)?", rest)


def test_pictures_exist():
    for path in re.findall(r"!\[.*?\]\((\S+?)\)", TEXT):
        assert (ROOT / path).is_file(), path
