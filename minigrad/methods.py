"""The operations as methods of Tensor: functions.py puts them here, one for each operation.

methods.pyi, which editors and type checkers read instead, lists them with arguments. Of `exp`:

    def exp(self) -> Tensor: ...
"""


class Methods:
    """A base class of Tensor: every operation of `minigrad.ops` that takes a Tensor first."""

    __slots__ = ()
