"""A GPU for tests: it runs the PTX that a kernel is compiled to, on the CPU, and watches.

Every register is a NumPy array with a place for each thread of the launch; the threads that are at
the same instruction run it together, and those that are furthest behind run first. What would be
wrong on a GPU, or right by luck, raises Fault:

- an access outside the arrays that the launch was given, or at a place that is no multiple of its
  size; one to shared memory or a register that nobody wrote;
- two threads at one word, one of them writing, with no barrier of their block between them; and,
  between blocks, a number that is read before its writer's fence;
- a barrier or a shuffle to which a thread of the block or the warp does not come.

Instructions that approximate (exp2, 1 / x, quotients) are rounded exactly here, so results differ
from a GPU's by their few ulp. Source: NVIDIA's manual "Parallel Thread Execution ISA".
"""

import ctypes
import re
from functools import partial

import numpy as np

F4, F8, I4, I8, U4, U8 = map(np.dtype, ("f4", "f8", "i4", "i8", "u4", "u8"))
PREDICATE = np.dtype(bool)
KINDS = {
    "f32": F4, "f64": F8, "s16": np.dtype("i2"), "s32": I4, "s64": I8, "u8": np.dtype("u1"),
    "u16": np.dtype("u2"), "u32": U4, "u64": U8, "b16": np.dtype("u2"), "b32": U4, "b64": U8,
    "pred": PREDICATE,
}  # fmt: skip
SPECIAL = ("%tid.x", "%ctaid.x", "%ntid.x", "%nctaid.x", "%dynamic_smem_size")
WARP = 32


class Fault(Exception):
    """What a GPU would not do, or not always."""


# --- arithmetic ---------------------------------------------------------------------------------


def rounded(exact, towards):
    """float64 as float32: to nearest, to zero ("rz") or down ("rm")."""
    near = exact.astype(F4)
    if towards == "rz":
        return np.where(abs(near.astype(F8)) > abs(exact), np.nextafter(near, F4.type(0)), near)
    if towards == "rm":
        return np.where(near > exact, np.nextafter(near, F4.type(-np.inf)), near)
    return near


def fma(kind, mode, a, b, c):
    if kind == F4:
        return rounded(np.multiply(a, b, dtype=F8) + c, mode)
    # Dekker's product and Knuth's sum: what a * b and the sum leave over is added last.
    product = a * b
    high_a, high_b = (v * 134217729.0 - (v * 134217729.0 - v) for v in (a, b))
    low_a, low_b = a - high_a, b - high_b
    left = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    total = product + c
    back = total - product
    left = left + ((product - (total - back)) + (c - back))
    return np.where(np.isfinite(left), total + left, total)


def flushed(x):
    """Numbers too small for 23 bits as 0."""
    return np.where(abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


def add(kind, mode, a, b):
    return rounded(np.add(a, b, dtype=F8), mode) if mode == "rz" else a + b


def multiply(kind, mode, a, b):
    if mode == "hi":
        return np.array([int(p) * int(q) >> 64 for p, q in np.broadcast(a, b)], kind)
    if mode == "wide":
        return np.multiply(a, b, dtype=f"{kind.kind}{2 * kind.itemsize}")
    return a * b


def divide(kind, mode, a, b):
    if kind.kind == "f":
        return (np.asarray(a, F8) / b).astype(kind)
    if not np.all(b):
        raise Fault("an integer is divided by 0")
    if kind.kind == "u":
        return a // b
    quotient = abs(a) // abs(b)  # towards 0
    return np.where((a < 0) != (b < 0), -quotient, quotient)


def remainder(kind, mode, a, b):
    return a - b * divide(kind, mode, a, b)


def reciprocal(kind, mode, a):
    if mode == "approx" and kind == F8:  # the upper half of its bits alone
        return flushed(1 / a).view(U8) & U8.type(0xFFFFFFFF << 32)
    return (1 / a.astype(F8)).astype(kind)


def shift(kind, mode, a, by, left):
    by, bits = np.broadcast_arrays(by, a)[0].astype(U8), 8 * kind.itemsize
    beyond = by >= bits
    by = np.where(beyond, bits - 1, by).astype(kind)
    if left:
        return np.where(beyond, kind.type(0), a << by)
    return np.where(beyond, a >> by >> kind.type(1), a >> by)


def insert_bits(kind, mode, a, b, start, length):
    mask = kind.type((1 << int(length)) - 1 << int(start))
    return (b & ~mask) | ((a << kind.type(start)) & mask)


ROUND = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def convert(to, kind, mode, a):
    if mode == "sat":
        return np.where(np.isnan(a), 0, np.clip(a, 0, 1)).astype(to)
    if mode in ROUND:
        a = ROUND[mode](a)
        if to.kind in "iu":  # out of range: the nearest there is; NaN: 0
            limits = np.iinfo(to)
            inside = np.where(np.isnan(a), 0, np.clip(a, limits.min, limits.max))
            over = inside >= float(limits.max)
            return np.where(over, limits.max, np.where(over, 0, inside).astype(to)).astype(to)
    return a.astype(to)


COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


def compare(kind, mode, a, b):
    if kind.kind == "f" and mode == "ne":
        return (a != b) & ~(np.isnan(a) | np.isnan(b))
    if kind.kind == "f" and len(mode) == 3:  # or one of them is no number
        return COMPARE[mode[:2]](a, b) | np.isnan(a) | np.isnan(b)
    return COMPARE[mode](a, b)


def plain(function):
    return lambda kind, mode, *args: function(*args)


OPERATIONS = {  # (kind, mode, operands) -> the result
    "abs": plain(np.abs), "add": add, "and": plain(np.bitwise_and), "bfi": insert_bits,
    "cvta": plain(lambda a: a), "copysign": plain(lambda a, b: np.copysign(b, a)), "div": divide,
    "ex2": plain(lambda a: flushed(np.exp2(flushed(a).astype(F8)).astype(F4))), "fma": fma,
    "mad": lambda kind, mode, a, b, c: multiply(kind, mode, a, b) + c,
    "lg2": plain(lambda a: np.log2(flushed(a).astype(F8)).astype(F4)),
    "max": plain(lambda a, b: (np.fmax if a.dtype.kind == "f" else np.maximum)(a, b)),
    "min": plain(lambda a, b: (np.fmin if a.dtype.kind == "f" else np.minimum)(a, b)),
    "mov": plain(lambda a: a), "mul": multiply, "neg": plain(np.negative),
    "not": plain(np.invert), "or": plain(np.bitwise_or), "rcp": reciprocal, "rem": remainder,
    "selp": plain(lambda a, b, condition: np.where(condition, a, b)), "setp": compare,
    "shl": partial(shift, left=True), "shr": partial(shift, left=False),
    "sqrt": plain(np.sqrt), "sub": plain(np.subtract), "xor": plain(np.bitwise_xor),
}  # fmt: skip
# Kinds of the operands that are not of the instruction's own.
OTHERS = {
    "selp": (None, None, "pred"), "shl": (None, "u32"), "shr": (None, "u32"),
    "bfi": (None, None, "u32", "u32"),
}  # fmt: skip
# What may follow an instruction's name and changes nothing here.
IGNORED = {"rn", "lo", "ftz", "full", "uni"}


# --- a kernel's text ----------------------------------------------------------------------------


class Kernel:
    """PTX, ready to run: `code` are functions of (launch, which threads), which give None or, where
    they have moved threads themselves, True."""

    def __init__(self, text):
        text = re.sub(r"//.*", "", text)
        found = re.search(r"\.entry\s+(\w+)\(([^)]*)\)[^{]*\{", text)
        self.parameters = [p.split()[-2:] for p in found[2].split(",") if p.strip()]
        self.widths, self.symbols, self.shared, self.local = {}, {}, 0, 0
        # Every array begins where its alignment allows, and no greater one would.
        arrays = re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d*)\]", text)
        for align, symbol, size in sorted(arrays, key=lambda array: not array[2]):  # dynamic: last
            align = int(align)
            self.shared += -self.shared % align
            self.shared += align if self.shared % (2 * align) == 0 else 0
            self.symbols[symbol] = self.shared
            self.shared += int(size or 0)
        lines, self.labels = [], {}
        for line in map(str.strip, text[found.end() :].split("\n")):
            if line.startswith(".reg"):
                _, kind, names = line.rstrip(";").split(None, 2)
                for name in names.split(","):
                    self.widths[re.sub(r"<\d+>", "", name.strip())] = KINDS[kind[1:]]
            elif line.startswith(".local"):
                symbol, size = re.search(r"(\w+)\[(\d+)\]", line).groups()
                self.symbols[symbol], self.local = 0, int(size)
            elif line.endswith(":"):
                self.labels[line[:-1]] = len(lines)
            elif line.endswith(";") and not line.startswith(".pragma"):
                lines.append(line[:-1])
            elif line not in ("", "{", "}") and not line.startswith(".pragma"):
                raise Fault(f"PTX that is not known here: {line}")
        self.code = [self.instruction(i, line) for i, line in enumerate(lines)]

    def instruction(self, i, line):
        """That at place i as a function."""
        guard, name, rest = re.match(r"(?:@(!?%\w+)\s+)?([\w.:]+)\s*(.*)", line).groups()
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
        base, *suffixes = name.split(".")
        if base in ("bra", "ret"):
            target = self.labels[operands[0]] if base == "bra" else -1
            condition = guard and self.read(guard.lstrip("!"), "pred")
            wanted = not (guard or "").startswith("!")
            return partial(Launch.jump, i=i, target=target, condition=condition, wanted=wanted)
        assert guard is None, f"a guard of what is no branch: {line}"
        if base == "bar":
            return partial(Launch.barrier, i=i)
        if base == "membar":
            return Launch.fence
        if base == "shfl":
            assert suffixes == ["sync", "bfly", "b32"], line
            to, *inputs = operands
            inputs = [self.read(operand, "u32") for operand in inputs]
            return partial(Launch.shuffle, i=i, to=to.partition("|")[0], inputs=inputs)
        if base == "atom":
            assert suffixes[-2:] == ["inc", "u32"], line
            to, place, last = operands
            last = self.read(last, "u32")
            return partial(Launch.increment, to=to, address=self.address(place), last=last)
        if base in ("ld", "st"):
            return self.access(base, suffixes, operands)
        if base == "mov" and "{" in rest:
            return self.halves(*(re.findall(r"%\w+", operand) for operand in operands))
        if base == "cvt":
            to, kind = (KINDS[s] for s in suffixes[-2:])
            operation = partial(convert, to)
        elif base in OPERATIONS:
            kind, operation = KINDS[suffixes[-1]], OPERATIONS[base]
        else:
            raise Fault(f"PTX that is not known here: {line}")
        mode = next((s for s in suffixes if s not in IGNORED and s not in KINDS), None)
        others = (*OTHERS.get(base, ()), *operands)
        inputs = [
            self.read(operand, other if other in KINDS else kind)
            for operand, other in zip(operands[1:], others, strict=False)
        ]

        def run(launch, at):
            values = (read(launch, at) for read in inputs)
            launch.put(operands[0], at, operation(kind, mode, *values))

        return run

    def halves(self, to, source):
        """64 bits from two registers of 32, or the other way round."""
        reads = [self.read(name, "u32" if len(source) == 2 else "u64") for name in source]

        def join(launch, at):
            low, high = (read(launch, at).astype(U8) for read in reads)
            launch.put(to[0], at, low | high << U8.type(32))

        def split(launch, at):
            whole = reads[0](launch, at)
            launch.put(to[0], at, whole.astype(U4))
            launch.put(to[1], at, (whole >> U8.type(32)).astype(U4))

        return join if len(source) == 2 else split

    def access(self, base, suffixes, operands):
        """A load or a store."""
        memory = next(s for s in ("param", "global", "shared", "local") if s in suffixes)
        place, value = operands[::-1] if base == "ld" else operands
        names, kind = re.findall(r"[^{},\s]+", value), KINDS[suffixes[-1]]
        if memory == "param":
            which = [name for _, name in self.parameters].index(place.strip("[]"))
            return lambda launch, at: launch.put(names[0], at, launch.arguments[which])
        options = {"memory": memory, "kind": kind, "address": self.address(place)}
        if base == "ld":
            return partial(Launch.load, to=names, published="relaxed" in suffixes, **options)
        return partial(Launch.store, values=[self.read(name, kind) for name in names], **options)

    def address(self, place):
        name, _, offset = place.strip("[]").partition("+")
        read, offset = self.read(name, "u64"), np.int64(offset or 0).astype(U8)
        return lambda launch, at: read(launch, at) + offset

    def read(self, operand, kind):
        """A function of (launch, threads) that gives an operand's values."""
        kind = KINDS.get(kind, kind)
        if operand in SPECIAL:
            return lambda launch, at: launch.special[operand][at]
        if operand.startswith("%"):
            return lambda launch, at: launch.get(operand, at, kind)
        if operand in self.symbols:
            number = self.symbols[operand]
        elif operand[:2] in ("0f", "0d"):
            number = int(operand[2:], 16)
        elif kind is PREDICATE:
            number = operand != "0"
        else:
            number = int(operand) % 2 ** (8 * kind.itemsize)
        value = np.array(number, f"u{kind.itemsize}").view(kind)[()]
        return lambda launch, at: value

    def width(self, register):
        return self.widths.get(register) or self.widths[register.rstrip("0123456789")]


# --- memory -------------------------------------------------------------------------------------


class Watch:
    """Who wrote each word of a memory last and who read it since, and when."""

    def __init__(self, words):
        self.writer, self.wrote = np.full(words, -1), np.full(words, -1)
        self.first, self.last, self.looked = (np.full(words, -1) for _ in range(3))
        self.time = np.zeros(words, int)

    def check(self, launch, words, threads, published=False):
        """Of reads; threads: whose; published: past the first-level cache."""
        writer = self.writer[words]
        if (writer >= 0).any():
            unordered = ~launch.ordered(writer, self.wrote[words], threads)
            if published:  # it is enough that the writer went through a fence
                unordered &= launch.fenced[writer] <= self.time[words]
            if unordered.any():
                raise Fault("a race: another thread wrote here, and no barrier is between")
        epoch = launch.epoch[launch.block[threads]]
        fresh = words[self.looked[words] < epoch]
        self.first[fresh], self.last[fresh] = len(launch.block), -1
        np.minimum.at(self.first, words, threads)
        np.maximum.at(self.last, words, threads)
        self.looked[words] = epoch

    def mark(self, launch, words, threads):
        """The same of writes."""
        for who, when in (
            (self.writer, self.wrote), (self.first, self.looked), (self.last, self.looked)
        ):  # fmt: skip
            if not launch.ordered(who[words], when[words], threads).all():
                raise Fault("a race: another thread was here, and no barrier is between")
        if len(np.unique(words)) < len(words):
            raise Fault("a race: two threads write here at once")
        self.writer[words], self.wrote[words] = threads, launch.epoch[launch.block[threads]]
        self.time[words] = launch.clock


def regions(arrays):
    """(start, bytes) of the memory that arrays lie in, each once, in order."""
    found = []
    for start, end in sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays if a.size):
        if found and start < found[-1][1]:
            found[-1][1] = max(end, found[-1][1])
        else:
            found.append([start, end])
    return [
        (start, np.ctypeslib.as_array((ctypes.c_uint8 * (end - start)).from_address(start)))
        for start, end in found
    ]


# --- running ------------------------------------------------------------------------------------


class Launch:
    """One launch of a kernel.

    arguments: NumPy's numbers, addresses as uint64; arrays: what it may read and write; dynamic:
    bytes of dynamic shared memory; random: the order of blocks, all at once or one after another.
    """

    def __init__(self, kernel, blocks, threads, arguments, arrays, dynamic, random):
        assert threads % WARP == 0, "our kernels have whole warps"
        for value, (kind, _) in zip(arguments, kernel.parameters, strict=True):
            assert value.dtype == KINDS[kind[1:]], f"a {value.dtype} for a parameter {kind}"
        self.kernel, self.arguments, self.threads = kernel, arguments, threads
        self.random = random
        self.everyone = np.arange(blocks * threads)
        self.block, self.warp = self.everyone // threads, self.everyone // WARP
        numbers = self.everyone % threads, self.block, threads, blocks, dynamic
        self.special = {
            name: np.broadcast_to(value, self.everyone.shape).astype(U4)
            for name, value in zip(SPECIAL, numbers, strict=True)
        }
        self.registers = {}
        self.at, self.waiting = np.zeros_like(self.everyone), self.everyone < 0
        self.queue = []  # of blocks that have not begun
        if self.random.random() < 0.5:
            self.queue = self.random.permutation(blocks).tolist()
            self.waiting[:] = True
        self.clock, self.epoch = 0, np.zeros(blocks, np.int64)  # barriers that a block has passed
        self.fenced = np.zeros_like(self.everyone)  # when each thread's last fence was
        size = kernel.shared + dynamic
        self.shared = np.zeros((blocks, size + -size % 16), np.uint8)
        self.written = np.zeros(self.shared.size // 4, bool)
        self.local = np.zeros((len(self.everyone), kernel.local), np.uint8)
        self.arrays = regions(arrays)
        self.starts = np.array([start for start, _ in self.arrays], U8)
        self.watched = [Watch(-(-len(data) // 4)) for _, data in self.arrays]
        self.watched.append(Watch(self.shared.size // 4))

    def run(self):
        code, end = self.kernel.code, len(self.kernel.code)
        with np.errstate(all="ignore"):
            while True:
                ready = self.at[~self.waiting]
                here = ready.min(initial=end)
                if here == end:
                    if not self.queue:
                        break
                    self.waiting[self.block == self.queue.pop()] = False
                    continue
                there = (self.at == here) & ~self.waiting
                at = slice(None) if there.all() else there.nonzero()[0]
                others = ready[ready > here].min(initial=end)
                while here < others:
                    self.clock += 1
                    if code[here](self, at):
                        break
                    here += 1
                else:
                    self.at[at] = here
        if self.waiting.any():
            where = sorted(set(self.at[self.waiting].tolist()))
            raise Fault(f"threads wait for others that never come, at instructions {where}")

    # --- registers

    def put(self, name, at, values):
        values, width = np.asarray(values), self.kernel.width(name)
        if values.dtype.itemsize != width.itemsize:
            values = values.astype(f"{values.dtype.kind}{width.itemsize}")
        if name not in self.registers:
            self.registers[name] = np.zeros(len(self.at), width)
        self.registers[name][at] = values.view(width)

    def get(self, name, at, kind):
        if name not in self.registers:
            raise Fault(f"register {name} is read before anybody wrote it")
        values = self.registers[name][at]
        if kind.itemsize < values.dtype.itemsize:
            values = values.astype(f"u{kind.itemsize}")
        return values.view(kind)

    # --- where threads go

    def jump(self, at, i, target, condition, wanted):
        target = len(self.kernel.code) if target < 0 else target
        taken = np.array(True) if condition is None else condition(self, at) == wanted
        if not taken.any():
            return None
        self.at[at] = np.where(taken, target, i + 1)
        return True

    def meet(self, at, i, groups, size):
        """Of threads that come to instruction i, those whose group is now complete; others wait."""
        self.at[at] = i
        here = self.at == i
        complete = here & (np.bincount(groups[here], minlength=groups[-1] + 1) == size)[groups]
        self.waiting[here] = ~complete[here]
        return complete.nonzero()[0]

    def barrier(self, at, i):
        met = self.meet(at, i, self.block, self.threads)
        self.epoch[np.unique(self.block[met])] += 1
        self.at[met] = i + 1
        return True

    def fence(self, at):
        self.fenced[at] = self.clock

    def shuffle(self, at, i, to, inputs):
        met = self.meet(at, i, self.warp, WARP)
        value, offset, clamp, members = (read(self, met) for read in inputs)
        assert (clamp == WARP - 1).all(), "of the whole warp"
        assert (members == 2**32 - 1).all(), "of the whole warp"
        # Where a thread's neighbour is among those that met: warps are complete and in order.
        lane = self.everyone[met] % WARP
        place = np.arange(len(met)) - lane + (lane ^ offset)
        self.put(to, met, value[place])
        self.at[met] = i + 1
        return True

    # --- memory

    def places(self, memory, at, address, kind, count=1):
        """Where accesses go: (whose of these threads, an array and their places in it, the words
        they touch and whose they are, what watches over them); memory by memory."""
        threads = self.everyone[at]
        address, size = np.broadcast_to(address(self, at), threads.shape), kind.itemsize * count
        if (address % U8.type(size)).any():
            raise Fault(f"{size} bytes at a place that is no multiple of {size}")
        if memory == "global":
            which = np.searchsorted(self.starts, address, "right") - 1
            if (which < 0).any():
                raise Fault("an access outside every array")
            found = [(which == k, *self.arrays[k], self.watched[k]) for k in np.unique(which)]
        else:
            local = memory == "local"
            each, data = (threads, self.local) if local else (self.block[threads], self.shared)
            if (address + U8.type(size) > data.shape[1]).any():
                raise Fault(f"an access outside {memory} memory")
            address = address + (each * data.shape[1]).astype(U8)
            found = [(slice(None), 0, data.reshape(-1), None if local else self.watched[-1])]
        for chosen, start, data, watch in found:
            offset = address[chosen].astype(np.int64) - start
            if (offset < 0).any() or (offset > len(data) - size).any():
                raise Fault("an access outside every array")
            words = (offset // 4 + np.arange(max(1, size // 4))[:, None]).ravel()
            owners = np.tile(threads[chosen], max(1, size // 4))
            data = data[: len(data) // kind.itemsize * kind.itemsize].view(kind)
            places = offset // kind.itemsize + np.arange(count)[:, None]
            yield chosen, data, places, words, owners, watch

    def load(self, at, to, memory, kind, address, published):
        out = np.empty((len(to), len(self.everyone[at])), kind)
        found = self.places(memory, at, address, kind, len(to))
        for chosen, data, places, words, owners, watch in found:
            if memory == "shared" and not self.written[words].all():
                raise Fault("shared memory that nobody wrote is read")
            if watch:
                watch.check(self, words, owners, published)
            out[:, chosen] = data[places]
        for name, values in zip(to, out, strict=True):
            self.put(name, at, values)

    def store(self, at, values, memory, kind, address):
        given = np.empty((len(values), len(self.everyone[at])), kind)
        for row, read in zip(given, values, strict=True):
            row[:] = read(self, at)
        found = self.places(memory, at, address, kind, len(values))
        for chosen, data, places, words, owners, watch in found:
            if memory == "shared":
                self.written[words] = True
            if watch:
                watch.mark(self, words, owners)
            data[places] = given[:, chosen]

    def increment(self, at, to, address, last):
        """atom.inc: in any order of the threads, all at the same address."""
        ((_, data, ((place, *_),), *_),) = self.places("global", at, address, U4)
        lasts = np.broadcast_to(last(self, at), self.everyone[at].shape)
        before = np.empty_like(lasts)
        for k in self.random.permutation(len(before)):
            before[k] = data[place]
            data[place] = 0 if before[k] >= lasts[k] else before[k] + 1
        self.put(to, at, before)

    def ordered(self, others, when, threads):
        """Whether barriers are between what other threads (-1: none) did and these threads."""
        mine = self.block[threads]
        barrier = (self.block[others] == mine) & (when < self.epoch[mine])
        return (others < 0) | (others == threads) | barrier
