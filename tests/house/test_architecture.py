"""Who may import whom. The rooms and their arrows are drawn in CONTRIBUTING.md."""

import ast
import subprocess
import sys

import pytest

from helpers import ROOT

if not (ROOT / "kernels").is_dir():
    pytest.skip("needs the source checkout", allow_module_level=True)

FILES = {
    ".".join(["minigrad", *path.relative_to(ROOT / folder).with_suffix("").parts])
    if folder == "minigrad"
    else ".".join(["minigrad", *path.relative_to(ROOT).with_suffix("").parts]): path
    for folder in ("minigrad", "kernels", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
PACKAGES = {name.removesuffix(".__init__") for name in FILES if name.endswith(".__init__")}

# Room -> the rooms it may import. Below each other on the page as in the drawing.
ALLOWED = {
    "generated": set(),
    "methods": set(),
    "quiet": set(),
    "optional": set(),
    "devices": {"optional"},
    "tape": set(),
    "printing": set(),
    "dtypes": set(),
    "cuda": {"devices"},
    "kernels": set(),
    "autograd": {"quiet", "tape", "devices", "kernels"},
    "ops": {"generated", "quiet", "tape", "devices", "dtypes", "kernels"},
    "holder": {"methods", "devices", "kernels", "tape"},
    "numpy_calls": {"holder", "dtypes", "ops"},
    "tensor": {
        *("holder", "numpy_calls", "autograd", "tape", "ops", "devices", "dtypes", "printing"),
    },
    "functions": {"tensor", "methods", "ops", "devices", "dtypes"},
    "scalar": {"generated", "kernels", "tensor"},
    "guards": {"tensor", "devices"},
    "recording": {*("guards", "autograd", "tape", "tensor", "quiet", "devices"), "generated", "nn"},
    "creation": {"tensor", "devices", "dtypes", "ops", "quiet"},
    "random": {"creation", "tensor", "tape", "methods", "devices", "dtypes"},
    "utils": {"tensor", "creation", "random", "ops", "devices"},
    "serialization": {"tensor", "devices", "dtypes", "optional"},
    "nn": {
        *("tensor", "functions", "tape", "creation", "random", "autograd", "dtypes", "ops"),
        *("kernels", "devices", "scalar", "generated"),
    },
    "optim": {"tensor", "creation", "tape", "autograd", "devices", "dtypes", "kernels"},
    "datasets": {"optional"},
    "benchmarks": {"minigrad", "kernels", "optional"},  # the public interface, and the references
}

LATE = {"minigrad.kernels.cpu.binding", "minigrad.kernels.cpu.threads"}  # with a first kernel


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "minigrad"


def imports(name: str):
    """(module imported, at module level?) for every import of ours in a file, but those that
    annotations alone need: they do not happen when the program runs."""
    package = name if name in PACKAGES else name.rpartition(".")[0]
    tree = ast.parse(MODULES[name].read_text())
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.Lambda))
        for child in ast.walk(node)
    }
    typed = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        found = []
        if node in typed:
            continue
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join([*base, node.module] if node.module else base)
            start = start if node.level else node.module
            found = [
                f"{start}.{alias.name}" if f"{start}.{alias.name}" in MODULES else start
                for alias in node.names
            ]
        for module in found:
            yield module, node not in inside


OURS = [
    (name, module)
    for name in MODULES
    for module, _ in imports(name)
    if module.split(".")[0] == "minigrad"
]


def test_the_reader_sees_the_imports():
    assert ("minigrad.tensor", "minigrad.autograd.graph") in OURS
    assert ("minigrad.kernels.cpu", "minigrad.kernels.cpu.memory") in OURS
    assert len(OURS) > 60


@pytest.mark.parametrize("name", MODULES)
def test_imports_follow_the_arrows(name):
    if room(name) in ("cli", "minigrad", "__main__"):
        return  # the top of the house sees everything
    for importer, module in OURS:
        if importer == name and room(module) != room(name):
            assert room(module) in ALLOWED[room(name)], f"{name} imports {module}"


def test_no_circle():
    graph = {name: {m for i, m in OURS if i == name and m in MODULES} for name in MODULES}
    graph = {name: targets - {name} for name, targets in graph.items()}
    while graph:
        free = {name for name, targets in graph.items() if not targets & graph.keys()}
        assert free, f"these import each other in a circle: {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in free}


@pytest.mark.parametrize("name", MODULES)
def test_imports_are_at_the_top(name):
    """Inside a function, only an optional library is imported, and what imports Numba."""
    for module, top in imports(name):
        late = top or module in LATE or module.split(".")[0] != "minigrad"
        assert late, f"{name} hides an import of {module}"


@pytest.mark.parametrize("name", MODULES)
def test_no_bare_kernels_and_no_torch(name):
    for module, _ in imports(name):
        assert module.split(".")[0] not in ("kernels", "torch"), f"{name} imports {module}"


def test_kernels_know_no_tensor():
    for name, path in MODULES.items():
        if room(name) == "kernels":
            assert "Tensor(" not in path.read_text()


def test_import_loads_only_the_core():
    """`import minigrad` needs numpy alone; Numba, which is slow, comes with a first kernel."""
    code = (
        "import sys, minigrad\n"
        "extra = {'torch', 'sklearn', 'tqdm', 'matplotlib', 'safetensors', 'cupy', 'jax'}\n"
        "assert not extra & set(sys.modules), extra & set(sys.modules)\n"
        "assert not {'kernels', 'minigrad.benchmarks', 'minigrad.cli'} & set(sys.modules)\n"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
