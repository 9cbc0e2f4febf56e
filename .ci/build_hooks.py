"""What hatchling cannot know by itself: links for an editable install, and pictures in README.

`kernels/` and `benchmarks/` lie beside `minigrad/` and are imported as its sub-packages. A wheel
has them there. An editable install is the checkout as an entry of `sys.path`, which type checkers
and editors understand, unlike an import hook; so the checkout gets links, which git ignores.
Windows lets everybody make junctions, but not symbolic links.
"""

import os
import re
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

LINKED = ("kernels", "benchmarks")


class Links(BuildHookInterface):
    """Makes the links, if the install is to be editable."""

    def initialize(self, version, build_data):
        if version == "editable":
            for name in LINKED:
                link(Path(self.root, "minigrad", name), Path(self.root, name))


class Description(MetadataHookInterface):
    """README as an index shows it: a picture in the repository is out of its sight."""

    def update(self, metadata):
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        words = r"(Chart, in the source distribution: `\2`, \1.)"
        text = re.sub(r"!\[(.*?)\]\((.*?)\)", words, text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def link(path: Path, folder: Path) -> None:
    """Let `path` be a link to `folder`, whatever link it was; what is no link is left alone."""
    if is_link(path):
        if path.exists() and path.samefile(folder):
            return
        path.unlink()  # of a checkout that was moved
    elif path.exists():
        raise FileExistsError(
            f"{path} is in the place of a link to {folder}: move it away and install again"
        )
    try:
        if os.name == "nt":
            import _winapi

            _winapi.CreateJunction(str(folder), str(path))
        else:
            path.symlink_to(os.path.relpath(folder, path.parent), target_is_directory=True)
    except OSError as error:
        raise OSError(
            f"no link {path} to {folder} could be made ({error}): install without -e, or from a "
            "checkout that is yours to write, on a file system that has links"
        ) from error


def is_link(path: Path) -> bool:
    """Whether it is a symbolic link or a junction; Path.is_junction came with Python 3.12."""
    try:
        path.readlink()
    except OSError:
        return False
    return True
