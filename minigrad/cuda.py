"""What scripts ask about the GPU, and how they wait for it: PyTorch's names."""

from .devices import CUDA, DeviceLike, cupy, find, missing


def is_available() -> bool:
    """Whether tensors can live on a GPU. Never raises; `python -m minigrad info` tells why not."""
    return missing() is None


def device_count() -> int:
    """1 or 0: minigrad uses one GPU, which CUDA_VISIBLE_DEVICES chooses."""
    return int(is_available())


def current_device() -> int:
    """The number of that GPU; RuntimeError if there is none."""
    return find(CUDA).index or 0


def get_device_name(device: DeviceLike = None) -> str:
    """What the maker calls it; RuntimeError if there is none."""
    name = cupy().cuda.runtime.getDeviceProperties(find(device or CUDA).index)["name"]
    return name.decode()


def synchronize(device: DeviceLike = None) -> None:
    """Wait until everything asked of the GPU is done; RuntimeError if there is none."""
    cupy().cuda.Device(find(device or CUDA).index).synchronize()
