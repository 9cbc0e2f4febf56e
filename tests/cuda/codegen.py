"""What every CUDA kernel compiles to for an H200 (sm_90), without a GPU or its driver.

python tests/cuda/codegen.py --write    make the table anew (tests/cuda/sm_90.md)

Needs numba-cuda with NVVM and nvJitLink in the versions of tests/cuda/requirements.txt, for others
may use other registers.
"""

import re
import sys
from pathlib import Path

import driver
import numpy as np

TABLE = Path(__file__).with_name("sm_90.md")
CLASSES = (2, 3, 10, 32, 100, 256, 512, 1000, 2048, 4096, 8192, 16384, 32768, 50257, 65536, 128256)
F4, F8 = np.dtype("float32"), np.dtype("float64")
REGISTERS, THREADS = 65536, 2048  # of an SM
COLUMNS = (
    "kernel", "registers", "stack", "spills", "16-byte loads", "16-byte stores", "local", "calls",
    "float64", "KB in flight",
)  # fmt: skip


def kernels(device):
    """(name, kernel, bytes that a thread asks for before the first use, dynamic shared memory)."""
    from minigrad.kernels import LOSSES, optimizers
    from minigrad.kernels.cuda import elementwise, pointwise
    from minigrad.nn import functional
    from minigrad.scalar import rules

    losses = {name: loss.rule for name, loss in LOSSES.items() if name != "cross_entropy"}
    losses["huber (derived)"] = functional.HUBER.rule
    for dtype in (F4, F8):
        ahead = 2 * pointwise.AHEAD * 16
        for name, rule in losses.items():
            numbers = (rule, dtype, None, "host", True, False, True)
            yield f"{name} {dtype}", device.pointwise_kernel(*numbers), ahead, 0
    of_losses = {"log_cosh_loss": (), "quantile_loss": (0.3,), "sigmoid_focal_loss": (0.3, 1.5)}
    for name, parameters in of_losses.items():
        loss = rules.derive(name, getattr(functional, name).__wrapped__, len(parameters))
        numbers = len(loss.combine(*parameters) if loss.combine else parameters)
        options = loss.rule, F4, numbers if numbers > 1 else None, "host", True, False, True
        yield f"{name} (derived) float32", device.pointwise_kernel(*options), ahead, 0
    weighted = (losses["bce_with_logits"], F4, None, "each", True, True, True)
    yield (
        "bce_with_logits, weights, values",
        device.pointwise_kernel(*weighted),
        ahead * 3 // 2,
        0,
    )
    yield (
        "mse, forward",
        device.pointwise_kernel(losses["mse"], F4, None, "host", True, False, False),
        ahead,
        0,
    )
    for dtype in (F4, F8):
        for classes in CLASSES:
            layout = device.class_layout(classes, dtype.itemsize, driver.SHARED)
            kernel = device.class_kernel(dtype, tuple(layout.items()), False, False, True)
            ahead = layout["VECTORS"] * 16
            shared = layout.get("STAGED", 0) * layout["threads"] * 16
            yield f"cross_entropy {classes} {dtype}", kernel, ahead, shared
    layout = tuple(device.class_layout(1000, 4, driver.SHARED).items())
    yield (
        "cross_entropy 1000, weights, values",
        device.class_kernel(F4, layout, True, True, True),
        128,
        0,
    )
    rule = LOSSES["cross_entropy"].rule
    for team in (32, 256):
        kernel = device.weight_kernel(rule, F4, team, True, True, True)
        yield f"cross_entropy, every class's weight, {team} threads a row", kernel, None, 0
    yield "count_classes", device.count_kernel(F4, True), None, 0
    for rule, numbers, present in (
        (optimizers.sgd, 5, (True, False, False)), (optimizers.adam, 9, (True, True, False)),
        (optimizers.rmsprop, 7, (True, True, True)),
    ):  # fmt: skip
        kernel = device.loop_kernel(elementwise.update, F4, f"xxxxx{numbers}", rule, present)
        yield rule.__name__, kernel, None, 0
    for kernel, kinds in (
        (elementwise.zero_below, "xxx"), (elementwise.erf, "xx"), (elementwise.add_runs, "xiix")
    ):  # fmt: skip
        yield kernel.__name__, device.loop_kernel(kernel, F4, kinds, None, (False,) * 3), None, 0


def measure(kernel, ahead, shared):
    """The row of the table for a kernel, but for its name."""
    ((_, compiled),) = kernel.overloads.items()
    ptx = compiled._codelibrary.get_asm_str()
    threads = int(re.search(r"\.maxntid (\d+)", ptx)[1])
    info = link(ptx.encode())

    def number(pattern):
        found = re.search(pattern, info)
        return int(found[1]) if found else 0

    def count(pattern):
        return len(re.findall(pattern, ptx))

    registers, static = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
    resident = min(
        REGISTERS // (-(-registers // 8) * 8 * threads),
        THREADS // threads,
        driver.SHARED // (static + shared + 1024),
    )
    return [
        registers, number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes spill stores"),
        count(r"ld\.global\S*\.v[24]\."), count(r"st\.global\S*\.v[24]\."), count(r"\.local\."),
        count(r"\bcall\b"), count(r"\b(?:add|mul|fma|div|cvt)\S*\.f64"),
        "" if ahead is None else round(resident * threads * ahead / 1000),
    ]  # fmt: skip


def link(ptx):
    """What the linker tells of a kernel."""
    from cuda.bindings import nvjitlink

    options = ["-arch=sm_90a", "-O3", "-verbose"]
    handle = nvjitlink.create(len(options), options)
    nvjitlink.add_data(handle, nvjitlink.InputType.PTX, ptx, len(ptx), "kernel")
    nvjitlink.complete(handle)
    info = bytearray(nvjitlink.get_info_log_size(handle))
    nvjitlink.get_info_log(handle, info)
    nvjitlink.destroy(handle)
    return info.decode()


def table():
    """Lines of the table."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    with driver.without_a_gpu() as device:
        for name, *kernel in kernels(device):
            lines.append(f"| {name} | {' | '.join(map(str, measure(*kernel)))} |")
    return lines


if __name__ == "__main__":
    lines = table()
    print("\n".join(lines))
    if "--write" in sys.argv:
        TABLE.write_text("\n".join(lines) + "\n")
