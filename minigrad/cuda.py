"""What scripts ask before they choose a device."""


def is_available() -> bool:
    """Whether tensors can live on a GPU: not in this version, which computes on the CPU."""
    return False
