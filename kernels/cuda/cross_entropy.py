"""Softmax cross-entropy's kernels, which keep a row on the chip while they read it once.

The math of a row is told in cpu/cross_entropy.py: top is its largest logit, e_c = e^(x_c - top),
s the sum of all e_c, rest that of all but the target's e_y; w is the target's weight, and share
the upstream gradient times w / s.
"""

from numba import cuda, float64, int32, int64

from .bound import (  # isort: skip
    BEYOND, BLOCK, CLASSES, EACH, KEEP, KEPT, SLOPES, STAGED, TEAM, TEAMS, TILE, VALUES, VECTORS,
    WEIGHTED, WIDTH, exp, exp_gap, infinity, kind, log1p, point, real,
)  # fmt: skip
from .primitives import as_new, copy16, fresh
from .sums import grid_sum, team_reduce

ALIGNMENT = 16  # of arrays in shared memory that are accessed by 16 bytes; Numba's is an element's


def class_rows(
    x, target, weight, ignore, upstream, n, classes, count, values, slopes, block_sums, ticket,
    total,
):  # fmt: skip
    """Softmax cross-entropy of x (n, C) and class indices target (n,), a team of threads to a row.

    weight: (C,); upstream / count[0] is the upstream gradient; values (n,), slopes (n, C); total[0]
    is the sum of the values / count[0]. Rows of class `ignore`, or of no class at all, give 0.

    A row is read through a window of 16-byte places that covers it, wherever it begins. Of these
    places a thread has every TEAM-th: the first VECTORS lie in its registers, STAGED more in shared
    memory, and what is BEYOND is read again.
    """
    kept = cuda.local.array(KEPT, kind)
    staged = cuda.shared.array(0, kind, ALIGNMENT)
    vector = cuda.local.array(WIDTH, kind)  # the 16 bytes at hand, of those not in registers
    lane = int32(cuda.threadIdx.x & (TEAM - 1))
    # What lives through every row is kept here: in registers it would crowd out the row.
    sums = cuda.shared.array(TEAMS, float64)
    scale = cuda.shared.array(1, kind)
    if lane == 0:
        sums[cuda.threadIdx.x // TEAM] = 0.0
    if cuda.threadIdx.x == 0:
        scale[0] = upstream / count[0]
    cuda.syncthreads()
    row = int32(cuda.blockIdx.x * TEAMS + cuda.threadIdx.x // TEAM)
    # For all lanes of a warp or for none: they exchange numbers.
    while row - (cuda.threadIdx.x // TEAM if TEAM < 32 else 0) < n:
        # 1. The window begins at x[start]; the row is its elements begin ... end - 1, the target's
        # is at `mark`, or -1. Without a row there is no element.
        begin = int32(int64(row) * classes & (WIDTH - 1))
        start, end = int64(row) * classes - begin, int32(begin + classes)
        mark = int32(-1)
        if row < n:
            y = target[row]
            if y != ignore and y >= 0 and y < classes:
                mark = int32(begin + y)
        else:
            end = int32(0)
        # 2. top = max x. What is beyond is summed up as well: rest, relative to its own peak.
        top = -infinity
        for k in range(VECTORS):
            read(kept, k * WIDTH, x, start, int32((k * TEAM + lane) * WIDTH), begin, end)
        for j in range(KEPT):
            top = max(top, kept[j])
        for k in range(STAGED):
            place = int32((k * TEAM + lane) * WIDTH)
            read(vector, 0, x, start, VECTORS * TEAM * WIDTH + place, begin, end)
            copy16(staged, place, vector, 0)
            top = largest(vector, top)
        peak, rest = -infinity, real(0)
        if BEYOND:
            place = ((VECTORS + STAGED) * TEAM + lane) * WIDTH
            while place < end:
                read(vector, 0, x, start, place, begin, end)
                high = largest(vector, peak)
                if high > peak:
                    rest *= exp(peak - high)
                    peak = high
                rest = to_exp(vector, 0, peak if peak > -infinity else real(0), rest, mark, place)
                place += TEAM * WIDTH
            top = max(top, peak)
        top = team_reduce(top, True)
        if BEYOND:
            rest *= exp(peak - top)
        # 3. e_c in the place of x_c; rest = sum of e_c but for the target's.
        own = int32(mark - lane * WIDTH)
        for k in range(VECTORS):
            rest = to_exp(kept, k * WIDTH, top, rest, own, k * (TEAM * WIDTH))
        for k in range(STAGED):
            place = int32((k * TEAM + lane) * WIDTH)
            copy16(vector, 0, staged, place)
            rest = to_exp(vector, 0, top, rest, mark, VECTORS * TEAM * WIDTH + place)
            copy16(staged, place, vector, 0)
        rest = team_reduce(rest, False)
        # 4. value = w (log s - gap_y), log s = log1p(rest) where e_y = 1.
        value, share = real(0), real(0)
        if mark >= 0:
            w = real(1)
            if WEIGHTED:
                w = weight[y]
            x_y = x[start + mark]
            gap, e_y = x_y - top, exp_gap(x_y, top)
            value = w * (log1p(rest if gap == 0 else rest + e_y - real(1)) - gap)
            share = w / (rest + e_y) * scale[0]
        if lane == 0 and row < n:
            sums[cuda.threadIdx.x // TEAM] += value
            if VALUES:
                values[row] = value
        # 5. slope_c = e_c share, slope_y = -rest share.
        if SLOPES:
            for k in range(VECTORS):
                place = int32((k * TEAM + lane) * WIDTH)
                to_slopes(kept, k * WIDTH, rest, share, mark, place)
                write(slopes, start, place, kept, k * WIDTH, begin, end)
            for k in range(STAGED):
                place = int32((k * TEAM + lane) * WIDTH)
                copy16(vector, 0, staged, place)
                place += VECTORS * TEAM * WIDTH
                to_slopes(vector, 0, rest, share, mark, place)
                write(slopes, start, place, vector, 0, begin, end)
            if BEYOND:
                place = ((VECTORS + STAGED) * TEAM + lane) * WIDTH
                while place < end:
                    read(vector, 0, x, start, place, begin, end)
                    to_exp(vector, 0, top, rest, mark, place)
                    to_slopes(vector, 0, rest, share, mark, place)
                    write(slopes, start, place, vector, 0, begin, end)
                    place += TEAM * WIDTH
        row = as_new(int32(row + cuda.gridDim.x * TEAMS))
    last, sum = grid_sum(
        sums[cuda.threadIdx.x // TEAM] if lane == 0 else float64(0), block_sums, ticket
    )
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count[0])


def read(to, j, x, start, place, begin, end):
    """to[j : j + WIDTH] = the window's 16 bytes at `place`, -inf where they are not the row's."""
    if begin <= place and place + WIDTH <= end:
        copy16(to, j, x, start + place)
    else:
        for q in range(WIDTH):
            inside = begin <= place + q and place + q < end
            to[j + q] = x[start + place + q] if inside else -infinity


def largest(vector, top):
    """The largest of `top` and of a vector."""
    for q in range(WIDTH):
        top = max(top, vector[q])
    return top


def to_exp(a, j, top, rest, mark, place):
    """a[j : j + WIDTH], the window's 16 bytes at `place`, become e^(x - top); gives rest + their
    sum, but for the one at `mark`."""
    for q in range(WIDTH):
        e = exp_gap(a[j + q], top)
        a[j + q] = e
        rest += real(0) if mark == place + q else e
    return rest


def to_slopes(a, j, rest, share, mark, place):
    """a[j : j + WIDTH], e_c of the window's 16 bytes at `place`, become the slopes."""
    for q in range(WIDTH):
        slope = a[j + q] * share if mark >= 0 else real(0)
        a[j + q] = -rest * share if place + q == mark else slope


def write(slopes, start, place, source, j, begin, end):
    """The row's part of the window's 16 bytes at `place` = source[j : j + WIDTH]."""
    if begin <= place and place + WIDTH <= end:
        copy16(slopes, start + place, source, j)
    else:
        for q in range(WIDTH):
            if begin <= place + q and place + q < end:
                slopes[start + place + q] = source[j + q]


def few_classes(
    x, target, weight, ignore, upstream, n, classes, count, values, slopes, block_sums, ticket,
    total,
):  # fmt: skip
    """class_rows for a few classes: a thread to a row, BLOCK * EACH of which are staged at a time.

    Whatever the number of classes, so many rows begin at a multiple of 16 bytes.
    """
    tile = cuda.shared.array(TILE, kind, ALIGNMENT)
    kept = cuda.local.array(KEPT, kind)
    scale = real(upstream / count[0])
    sum = float64(0)
    first = int64(cuda.blockIdx.x * (BLOCK * EACH))
    while first < n:
        thread = as_new(cuda.threadIdx.x)
        start, size = first * CLASSES, int32(min(BLOCK * EACH, n - first) * CLASSES)
        # 1. The rows' elements, as they lie in x: to registers, all asked for before the first use.
        for k in range(VECTORS):
            i = int32((k * BLOCK + thread) * WIDTH)
            copy_part(kept, k * WIDTH, x, start + i, i, size)
        # 2. To shared memory. An odd number of classes: as the rows lie in x. One loop for both
        # would spill the others.
        if CLASSES % 2:
            for k in range(VECTORS):
                i = int32((k * BLOCK + thread) * WIDTH)
                copy_part(tile, i, kept, k * WIDTH, i, size)
        else:
            for j in range(KEPT):
                i = int32((j // WIDTH * BLOCK + thread) * WIDTH + j % WIDTH)
                if i < size:
                    tile[place_of(i)] = kept[j]
        cuda.syncthreads()
        # 3. Each thread's rows: values, and slopes in the place of the logits.
        for r in range(EACH):
            row = first + r * BLOCK + thread
            if row < n:
                value = one_row(
                    tile, place_of(int32((r * BLOCK + thread) * CLASSES)), target[row],
                    weight, ignore, scale,
                )  # fmt: skip
                sum += value
                if VALUES:
                    values[row] = value
        cuda.syncthreads()
        # 4. The slopes, the way that the logits came.
        if SLOPES:
            if CLASSES % 2:
                for k in range(VECTORS):
                    i = int32((k * BLOCK + thread) * WIDTH)
                    if i + WIDTH <= size:
                        copy16(kept, k * WIDTH, tile, i)
            else:
                for j in range(KEPT):
                    i = int32((j // WIDTH * BLOCK + thread) * WIDTH + j % WIDTH)
                    if i < size:
                        kept[j] = tile[place_of(i)]
            for k in range(VECTORS):
                i = int32((k * BLOCK + thread) * WIDTH)
                if i + WIDTH <= size:
                    copy16(slopes, start + i, kept, k * WIDTH)
                else:
                    for q in range(WIDTH):
                        if i + q < size:
                            slopes[start + i + q] = tile[place_of(i + q)]
        cuda.syncthreads()
        first += cuda.gridDim.x * (BLOCK * EACH)
    last, sum = grid_sum(sum, block_sums, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count[0])


def copy_part(to, a, source, b, i, size):
    """to[a : a + WIDTH] = source[b : b + WIDTH], which are elements i, i + 1, ... of `size`."""
    if i + WIDTH <= size:
        copy16(to, a, source, b)
    else:
        for q in range(WIDTH):
            if i + q < size:
                to[a + q] = source[b + q]


def place_of(i):
    """Where element i of the rows is staged: strides are odd, or threads would share a bank."""
    return i + i // CLASSES * (1 - CLASSES % 2)


def one_row(tile, row, y, weight, ignore, scale):
    """The value of the row that begins at tile[row]; puts its slopes in its place."""
    if y == ignore or y < 0 or y >= CLASSES:
        for c in range(CLASSES):
            tile[row + c] = real(0)
        return real(0)
    # 1. top = max x.
    top = tile[row]
    for c in range(1, CLASSES):
        top = max(top, tile[row + c])
    # 2. e_c in the place of x_c, rest = sum of e_c but for e_y.
    rest = real(0)
    gap, e_y = tile[row + y] - top, exp_gap(tile[row + y], top)
    for c in range(CLASSES):
        e = exp_gap(tile[row + c], top)
        tile[row + c] = e
        rest += real(0) if c == y else e
    # 3. slope_c = e_c share, slope_y = -rest share; value = w (log s - gap_y).
    w = real(1)
    if WEIGHTED:
        w = weight[y]
    share = w / (rest + e_y) * scale
    for c in range(CLASSES):
        tile[row + c] = -rest * share if c == y else tile[row + c] * share
    return w * (log1p(rest if gap == 0 else rest + e_y - real(1)) - gap)


def weight_rows(x, t, keep, upstream, n, classes, count, values, slopes, block_sums, ticket, total):
    """Softmax cross-entropy of x (n, C) and the weight of every class in every row, t (n, C).

    keep: (n,) bool, False for rows that give 0; the rest as in class_rows, but for the term that is
    left out: a largest one. The row is read twice, the second time mostly from the L2 cache.
    """
    lane = cuda.threadIdx.x % TEAM
    sum = float64(0)
    row = int64(cuda.blockIdx.x) * TEAMS + cuda.threadIdx.x // TEAM
    while row < n:
        start = row * classes
        kept = True
        if KEEP:
            kept = keep[row] != 0
        # 1. In one reading this thread's top, rest, scaled anew where top grows, and whole, the sum
        # of t.
        top, rest, whole = -infinity, real(0), float64(0)
        c = lane
        while c < classes:
            v = x[start + c]
            if v > top:
                rest = (rest + real(1)) * exp_gap(top, v)
                top = v
            elif v != -infinity:
                rest += exp_gap(v, top)
            whole += t[start + c]
            c += TEAM
        # 2. The team's. Of the threads that saw a largest logit the first leaves one out, the
        # others count theirs.
        mine, top = top, real(team_reduce(float64(top), True))
        first = team_reduce(float64(-lane if mine == top else -TEAM), True)
        if -lane != first:
            rest = (rest + real(1)) * exp_gap(mine, top)
        rest, whole = real(team_reduce(float64(rest), False)), team_reduce(whole, False)
        # 3. log s, and share = whole / s; the largest term is 1, or NaN of an infinite logit.
        log_s, share = log1p(rest), real(whole) / (rest + exp_gap(top, top))
        # 4. Each class's value and slope, by the rule.
        scale, value = real(upstream / count[0]), float64(0)
        c = lane
        while c < classes:
            gap, weight = x[start + c] - top, t[start + c]
            term, slope = point(gap, exp_gap(x[start + c], top), log_s, share, weight)
            value += term
            if SLOPES:
                if gap == 0 and rest < 1:  # where share may be close to the weight
                    slope = real(whole) - weight - share * rest
                slopes[start + c] = slope * scale if kept else real(0)
            c += TEAM
        value = team_reduce(value, False) if kept else float64(0)
        if lane == 0:
            sum += real(value)
            if VALUES:
                values[row] = value
        row += cuda.gridDim.x * TEAMS
    last, sum = grid_sum(sum, block_sums, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count[0])


def count_classes(target, weight, ignore, n, classes, block_sums, ticket, count, bad_class):
    """The weight of the targets (n,) that are not ignored, NaN if there are none, to count[0].

    Where bad_class[0] is below 0, it gets the first position of a class outside [0, classes) and
    bad_class[1], bad_class[2] that class and `classes`.
    """
    i = cuda.grid(1)
    sum, first_bad = float64(0), float64(n)
    while i < n:
        y = target[i]
        if y != ignore:
            if y < 0 or y >= classes:
                first_bad = min(first_bad, float64(i))
            elif WEIGHTED:
                sum += weight[y]
            else:
                sum += 1.0
        i += cuda.gridsize(1)
    # Positions are exact in float64. The largest of -position is that of the first.
    first_bad = -team_reduce(-first_bad, True)
    if cuda.threadIdx.x == 0:
        block_sums[cuda.gridDim.x + cuda.blockIdx.x] = first_bad
    last, sum = grid_sum(sum, block_sums, ticket)
    if last:
        block = cuda.threadIdx.x
        while block < cuda.gridDim.x:
            first_bad = min(first_bad, fresh(block_sums, cuda.gridDim.x + block))
            block += cuda.blockDim.x
        first_bad = -team_reduce(-first_bad, True)
        if cuda.threadIdx.x == 0:
            count[0] = sum if sum != 0 else float64(infinity - infinity)
            if first_bad < n and bad_class[0] < 0:
                bad_class[0] = int64(first_bad)
                bad_class[1] = target[int64(first_bad)]
                bad_class[2] = classes
