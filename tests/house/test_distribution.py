"""What is built of a checkout: an editable install's links, the wheel, the source distribution."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("hatchling", reason="needs pip install -e '.[dev]'")
SPEC = importlib.util.spec_from_file_location("build_hooks", ROOT / ".ci" / "build_hooks.py")
build_hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build_hooks)


@pytest.fixture
def checkout(tmp_path):
    for name in ("minigrad", "kernels", "benchmarks"):
        (tmp_path / name).mkdir()
    (tmp_path / "kernels" / "mse.py").touch()
    return tmp_path


def install(checkout, version="editable"):
    build_hooks.Links(str(checkout), {}, None, None, "", "wheel").initialize(version, {})


def test_an_editable_install_makes_links(checkout):
    install(checkout)
    assert (checkout / "minigrad" / "kernels" / "mse.py").is_file()
    before = os.lstat(checkout / "minigrad" / "kernels")
    install(checkout)
    assert os.lstat(checkout / "minigrad" / "kernels") == before
    moved = checkout.rename(checkout.with_name("moved"))
    assert (moved / "minigrad" / "kernels" / "mse.py").is_file()


def test_no_other_build_makes_links(checkout):
    install(checkout, "standard")
    assert not list((checkout / "minigrad").iterdir())


@pytest.mark.parametrize("target", ["benchmarks", "nowhere"])
def test_a_stale_link_is_replaced(checkout, target):
    (checkout / "minigrad" / "kernels").symlink_to(checkout / target, target_is_directory=True)
    install(checkout)
    assert (checkout / "minigrad" / "kernels").samefile(checkout / "kernels")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_is_no_link_stays(checkout, make):
    make(checkout / "minigrad" / "kernels")
    with pytest.raises(FileExistsError, match="move it away and install again"):
        install(checkout)
    assert (checkout / "minigrad" / "kernels").exists()


def test_windows_makes_junctions(checkout, monkeypatch):
    def create_junction(target, link):
        os.symlink(target, link)

    monkeypatch.setitem(sys.modules, "_winapi", SimpleNamespace(CreateJunction=create_junction))
    monkeypatch.setattr(build_hooks, "os", SimpleNamespace(name="nt"))
    install(checkout)
    assert (checkout / "minigrad" / "kernels").readlink() == checkout / "kernels"
    install(checkout)


def test_a_file_system_without_links(checkout, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(
        OSError, match=r"kernels could be made \(no links here\): install without -e"
    ):
        install(checkout)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both distributions, and the names of the files in each. The checkout has
    the links where it is the one that the tests run in."""
    for name in ("build", "twine"):
        pytest.importorskip(name, reason="needs pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    for kind in ("--sdist", "--wheel"):  # one by one: both are made of the checkout
        subprocess.run([*build, kind], check=True, capture_output=True)
    ((sdist,), (wheel,)) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as file:
        source = [name.partition("/")[2] for name in file.getnames()]
    with zipfile.ZipFile(wheel) as file:
        return folder, source, file.namelist()


@pytest.mark.slow
def test_the_wheel_has_the_code_and_nothing_else(built):
    _, _, wheel = built
    sources = [
        path.relative_to(ROOT).as_posix()
        for folder in ("minigrad", "kernels", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyi", ".typed")
    ]
    tests = ("benchmarks/test_", "benchmarks/conftest", "minigrad/kernels/", "minigrad/benchmarks/")
    code = [name.removeprefix("minigrad/") for name in sources if not name.startswith(tests)]
    shipped = [name for name in wheel if ".dist-info/" not in name]
    assert sorted(shipped) == sorted(f"minigrad/{name}" for name in code)
    assert "minigrad/py.typed" in shipped


@pytest.mark.slow
def test_the_source_distribution_is_the_checkout(built):
    _, source, _ = built
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("needs a checkout with git's files")
    assert sorted(source) == sorted([*listed.stdout.splitlines(), "PKG-INFO"])


@pytest.mark.slow
def test_an_index_would_take_it(built):
    folder, _, _ = built
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, folder.glob("*grad*"))]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.stdout.count("PASSED") == 2, done.stdout


@pytest.mark.slow
def test_the_description_needs_no_picture_from_elsewhere(built):
    folder, _, _ = built
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/METADATA")]
        text = file.read(name).decode()
    assert "![" not in text
    assert "(Chart, in the source distribution: `benchmarks/results/losses.png`, Losses," in text
