"""What an editor sees of an installed minigrad: of the wheel, and of an editable install."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("script.py").read_text()
TYPOS = {  # in the script -> as somebody's fingers have it
    "F.cross_entropy(model(x), y": "mg.crossentropy(model(x), y",
    "penalty.requires_grad_()": "penalty.reqires_grad_()",
    "CrossEntropyLoss(weight=": "CrossEntropyLoss(wieght=",
    "Adam(model.parameters(), lr=1e-2": "Adam(model.parameters(), learning_rate=1e-2",
}
NEEDED = ("build", "hatchling", "jedi", "mypy", "pyright")


def test_the_script_runs():
    exec(compile(SCRIPT, "script.py", "exec"), {"__name__": "script"})


def run(*command, cwd, codes=(0,)):
    """The output of a process that must end with one of the codes."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


def environment(folder, *install):
    """The Python of a new virtual environment with that installed, and the packages of this one."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    python = next(path for path in folder.glob("*/python*") if path.stem == "python")
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).strip()
    # Those that our own needs are in; a .pth file there, such as this checkout's, has no effect.
    needed = {str(Path(__import__(name).__file__).parents[1]) for name in ("numpy", "hatchling")}
    Path(purelib, "needed.pth").write_text("\n".join(sorted(needed)))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps")
    run(*pip, "--no-build-isolation", "--quiet", *install, cwd=folder)
    return python


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, tmp_path_factory):
    """A Python outside the checkout: with the wheel made of the source distribution, or with an
    editable install of that."""
    for name in NEEDED:
        pytest.importorskip(name, reason="needs pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp(request.param)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    if request.param == "wheel":
        return environment(folder / "env", wheel)
    run(sys.executable, "-m", "tarfile", "-e", source, folder, cwd=folder)
    return environment(folder / "env", "-e", folder / source.name.removesuffix(".tar.gz"))


def lines_in_error(checker, python, folder):
    """line -> message, of what a checker has to say about folder/script.py."""
    if checker == "mypy":
        options = ["--strict", "--no-incremental", "--config-file=", "--output=json"]
        options += ["--no-error-summary"]
        found = run(
            sys.executable, "-m", "mypy", *options, "--python-executable", python, "script.py",
            cwd=folder, codes=(0, 1),
        )  # fmt: skip
        errors = [json.loads(line) for line in found.splitlines() if line]
        return {error["line"]: error["message"] for error in errors}
    found = run(
        sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python, "script.py",
        cwd=folder, codes=(0, 1),
    )  # fmt: skip
    return {
        error["range"]["start"]["line"] + 1: error["message"]
        for error in json.loads(found)["generalDiagnostics"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_no_error_in_the_script(checker, python, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    assert lines_in_error(checker, python, tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_each_typo_is_found(checker, python, tmp_path):
    script = SCRIPT
    for right, wrong in TYPOS.items():
        assert script.count(right) == 1
        script = script.replace(right, wrong)
    (tmp_path / "script.py").write_text(script)
    changed = zip(SCRIPT.splitlines(), script.splitlines(), strict=True)
    planted = {i for i, (before, after) in enumerate(changed, 1) if before != after}
    assert len(planted) == len(TYPOS)
    assert lines_in_error(checker, python, tmp_path).keys() == planted


def seen_by_jedi(python, text):
    import jedi

    return jedi.Script(text, environment=jedi.create_environment(str(python), safe=False))


@pytest.mark.slow
def test_completion_offers_the_public_names(python):
    offered = {c.name for c in seen_by_jedi(python, "import minigrad as mg\nmg.").complete(2, 3)}
    public = {name for name in dir(mg) if not name.startswith("_")}
    assert {"Tensor", "exp", "float32", "nn", "tensor"} <= public <= offered
    assert not {"Any", "TYPE_CHECKING", "quiet", "tape"} & public  # jedi ignores __all__


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("tensor", "minigrad.creation"),
        ("relu", "minigrad"),
        ("nn.Linear", "minigrad.nn.layers"),
        ("optim.Adam", "minigrad.optim.adam"),
        ("kernels.LOSSES", "minigrad.kernels"),
        ("utils.data.DataLoader", "minigrad.utils.data"),
    ],
)
def test_a_jump_to_a_name_ends_where_it_is_defined(name, module, python):
    text = f"import minigrad as mg\nmg.{name}"
    line = text.splitlines()[1]
    (found,) = seen_by_jedi(python, text).goto(2, len(line) - 1, follow_imports=True)
    assert found.name == name.rpartition(".")[2]
    assert f"{found.module_name}.".startswith(f"{module}.")
