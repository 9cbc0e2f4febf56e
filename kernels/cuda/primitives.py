"""What a kernel says for which Numba has no word: five instructions, written as PTX or LLVM."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda, types
from numba.cuda.extending import intrinsic

INT64, INT32, FLOAT32, FLOAT64 = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.DoubleType()


def device(function: Callable) -> Any:
    """A function for kernels to call; LLVM puts its body where it is called."""
    return cuda.jit(device=True, forceinline=True)(function)  # type: ignore[call-arg]


def _address(context, builder, kind, value, index_type, index):
    """The address of an element of a pointer or an array."""
    index = context.cast(builder, index, index_type, types.intp)
    if not isinstance(kind, types.CPointer):
        value = context.make_array(kind)(context, builder, value=value).data
    return builder.gep(value, [index])


@intrinsic
def copy16(typingctx, to, i, source, j):
    """to[i : i + W] = source[j : j + W] in one access of 16 bytes: W is 4 float32 or 2 float64.

    Both places are multiples of 16 bytes. Numba makes no such access of its own accord, and one of
    4 bytes a thread keeps too few bytes in flight to fill the memory's bandwidth.
    """

    def codegen(context, builder, signature, arguments):
        element = context.get_value_type(to.dtype)
        vector = ir.VectorType(element, 16 // (to.dtype.bitwidth // 8)).as_pointer()
        kinds = signature.args
        read = _address(context, builder, kinds[2], arguments[2], kinds[3], arguments[3])
        write = _address(context, builder, kinds[0], arguments[0], kinds[1], arguments[1])
        value = builder.load(builder.bitcast(read, vector))
        value.align = 16
        builder.store(value, builder.bitcast(write, vector)).align = 16
        return context.get_dummy_value()

    return types.void(to, i, source, j), codegen


@intrinsic
def divide(typingctx, a, b):
    """a / b: of float32 within 2 ulp, where the exact one has a branch for every quotient."""

    def codegen(context, builder, signature, arguments):
        if a == types.float64:
            return builder.fdiv(*arguments)
        kind = ir.FunctionType(FLOAT32, [FLOAT32, FLOAT32])
        return builder.call(ir.InlineAsm(kind, "div.full.f32 $0, $1, $2;", "=f,f,f"), arguments)

    return a(a, a), codegen


@intrinsic
def take_ticket(typingctx, counter, last):
    """The number of blocks that came before; `last` sets the counter back to 0. A uint32 pointer.

    Writes before it, with a fence, are seen by whoever takes a later one.
    """

    def codegen(context, builder, signature, arguments):
        text = "atom.acq_rel.gpu.global.inc.u32 $0, [$1], $2;"
        kind = ir.FunctionType(INT32, [INT64, INT32])
        assembly = ir.InlineAsm(kind, text, "=r,l,r,~{memory}", side_effect=True)
        return builder.call(assembly, [builder.ptrtoint(arguments[0], INT64), arguments[1]])

    return types.uint32(counter, types.uint32), codegen


@intrinsic
def fresh(typingctx, pointer, i):
    """pointer[i] of float64, written by another block: past the first-level cache."""

    def codegen(context, builder, signature, arguments):
        address = _address(context, builder, pointer, arguments[0], i, arguments[1])
        kind = ir.FunctionType(FLOAT64, [INT64])
        text = "ld.relaxed.gpu.global.f64 $0, [$1];"
        assembly = ir.InlineAsm(kind, text, "=d,l,~{memory}", side_effect=True)
        return builder.call(assembly, [builder.ptrtoint(address, INT64)])

    return types.float64(pointer, i), codegen


@intrinsic
def as_new(typingctx, i):
    """The int32 i, of which the compiler knows nothing.

    Or it would carry an address for each access from one round of a loop to the next: in registers
    that a row of logits needs.
    """

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(INT32, [INT32])
        assembly = ir.InlineAsm(kind, "mov.b32 $0, $1;", "=r,r", side_effect=True)
        return builder.call(assembly, arguments)

    return types.int32(types.int32), codegen
