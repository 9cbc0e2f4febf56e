"""Softmax cross-entropy's kernels, which keep a row on the chip while they read it once.

A row's numbers: top, its largest logit; rest, the sum of e^(x - top) without one term, so that
log(1 + rest) and a slope -rest / s keep their digits however sure the row is (see kernels/cpu).
"""

from numba import cuda, float64, int32, int64

from .primitives import as_new, copy16, fresh
from .sums import fold, team_reduce

ALIGNMENT = 16  # of arrays in shared memory that are accessed by 16 bytes; Numba's is an element's

# Bound anew for each build (binding.py). WIDTH: elements in 16 bytes. TEAM: threads that share a
# row, TEAMS of them in a block; each keeps VECTORS x 16 bytes in registers (KEPT elements) and
# STAGED x 16 bytes in shared memory, and reads what is BEYOND twice. CLASSES: how many, if that is
# constant; EACH: rows that a thread then takes, TILE elements in all. WEIGHTED, VALUES, SLOPES:
# whether classes have weights, and which outputs there are; KEEP: whether rows may be left out.
point = exp = exp_gap = log1p = real = kind = infinity = None
BLOCK = WIDTH = KEPT = TILE = TEAM = TEAMS = VECTORS = STAGED = BEYOND = CLASSES = EACH = None
WEIGHTED = VALUES = SLOPES = KEEP = None


def count_classes(target, weight, ignore, n, classes, part, ticket, count, status):
    """The weight of the targets (n,) that are not ignored, NaN if there are none, to count[0].

    Where status[0] is below 0, it gets the first position of a class outside [0, classes) and
    status[1], status[2] that class and `classes`.
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
        part[cuda.gridDim.x + cuda.blockIdx.x] = first_bad
    last, sum = fold(sum, part, ticket)
    if last:
        block = cuda.threadIdx.x
        while block < cuda.gridDim.x:
            first_bad = min(first_bad, fresh(part, cuda.gridDim.x + block))
            block += cuda.blockDim.x
        first_bad = -team_reduce(-first_bad, True)
        if cuda.threadIdx.x == 0:
            count[0] = sum if sum != 0 else float64(infinity - infinity)
            if first_bad < n and status[0] < 0:
                status[0] = int64(first_bad)
                status[1] = target[int64(first_bad)]
                status[2] = classes


def few_classes(
    x, target, weight, ignore, up, n, classes, count, values, slopes, part, ticket, total
):
    """class_rows for a few classes: a thread to a row, BLOCK * EACH of which are staged at a time.

    Whatever the number of classes, so many rows begin at a multiple of 16 bytes.
    """
    tile = cuda.shared.array(TILE, kind, ALIGNMENT)
    kept = cuda.local.array(KEPT, kind)
    scale = real(up / count[0])
    sum = float64(0)
    first = int64(cuda.blockIdx.x * (BLOCK * EACH))
    while first < n:
        thread = as_new(cuda.threadIdx.x)
        start, size = first * CLASSES, int32(min(BLOCK * EACH, n - first) * CLASSES)
        for k in range(VECTORS):
            i = int32((k * BLOCK + thread) * WIDTH)
            if i + WIDTH <= size:
                copy16(kept, k * WIDTH, x, start + i)
            else:
                for q in range(WIDTH):
                    if i + q < size:
                        kept[k * WIDTH + q] = x[start + i + q]
        # An odd number of classes: as the rows lie in x. One loop for both would spill the others.
        if CLASSES % 2:
            for k in range(VECTORS):
                i = int32((k * BLOCK + thread) * WIDTH)
                if i + WIDTH <= size:
                    copy16(tile, i, kept, k * WIDTH)
                else:
                    for q in range(WIDTH):
                        if i + q < size:
                            tile[i + q] = kept[k * WIDTH + q]
        else:
            for j in range(KEPT):
                i = int32((j // WIDTH * BLOCK + thread) * WIDTH + j % WIDTH)
                if i < size:
                    tile[place_of(i)] = kept[j]
        cuda.syncthreads()
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
    last, sum = fold(sum, part, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count[0])


def place_of(i):
    """Where element i of the rows is staged: strides are odd, or threads would share a bank."""
    return i + i // CLASSES * (1 - CLASSES % 2)


def one_row(tile, row, y, weight, ignore, scale):
    """The value of the row that begins at tile[row]; puts its slopes in its place."""
    if y == ignore or y < 0 or y >= CLASSES:
        for c in range(CLASSES):
            tile[row + c] = real(0)
        return real(0)
    top = tile[row]
    for c in range(1, CLASSES):
        top = max(top, tile[row + c])
    rest = real(0)
    gap, e_y = tile[row + y] - top, exp_gap(tile[row + y], top)
    for c in range(CLASSES):
        e = exp_gap(tile[row + c], top)
        tile[row + c] = e
        rest += real(0) if c == y else e
    own = real(1)
    if WEIGHTED:
        own = weight[y]
    share = own / (rest + e_y) * scale
    for c in range(CLASSES):
        tile[row + c] = -rest * share if c == y else tile[row + c] * share
    return own * (log1p(rest if gap == 0 else rest + e_y - real(1)) - gap)


def class_rows(
    x, target, weight, ignore, up, n, classes, count, values, slopes, part, ticket, total
):
    """Softmax cross-entropy of x (n, C) and class indices target (n,), a team of threads to a row.

    weight: (C,); up / count[0] is the upstream gradient; values (n,), slopes (n, C); total[0] is
    the sum of the values / count[0]. Rows of class `ignore`, or of no class at all, give 0.

    A row is read through a window of 16-byte places that covers it, wherever it begins.
    """
    kept = cuda.local.array(KEPT, kind)
    four = cuda.local.array(WIDTH, kind)
    staged = cuda.shared.array(0, kind, ALIGNMENT)
    lane = int32(cuda.threadIdx.x & (TEAM - 1))
    # What lives through every row is kept here: in registers it would crowd out the row.
    sums = cuda.shared.array(TEAMS, float64)
    scale = cuda.shared.array(1, kind)
    if lane == 0:
        sums[cuda.threadIdx.x // TEAM] = 0.0
    if cuda.threadIdx.x == 0:
        scale[0] = up / count[0]
    cuda.syncthreads()
    row = int32(cuda.blockIdx.x * TEAMS + cuda.threadIdx.x // TEAM)
    # For all lanes of a warp or for none: they exchange numbers.
    while row - (cuda.threadIdx.x // TEAM if TEAM < 32 else 0) < n:
        begin = int32(int64(row) * classes & (WIDTH - 1))
        start, end = int64(row) * classes - begin, int32(begin + classes)
        mark = int32(-1)  # the target's place in the window
        if row < n:
            y = target[row]
            if y != ignore and y >= 0 and y < classes:
                mark = int32(begin + y)
        else:
            end = int32(0)  # no element
        top = -infinity
        for k in range(VECTORS):
            read(kept, k * WIDTH, x, start, int32((k * TEAM + lane) * WIDTH), begin, end)
        for j in range(KEPT):
            top = max(top, kept[j])
        for k in range(STAGED):
            place = int32((k * TEAM + lane) * WIDTH)
            read(four, 0, x, start, VECTORS * TEAM * WIDTH + place, begin, end)
            copy16(staged, place, four, 0)
            for q in range(WIDTH):
                top = max(top, four[q])
        peak, rest = -infinity, real(0)  # of what is beyond
        if BEYOND:
            place = ((VECTORS + STAGED) * TEAM + lane) * WIDTH
            while place < end:
                read(four, 0, x, start, place, begin, end)
                high = peak
                for q in range(WIDTH):
                    high = max(high, four[q])
                if high > peak:
                    rest *= exp(peak - high)
                    peak = high
                for q in range(WIDTH):
                    e = exp_gap(four[q], peak if peak > -infinity else real(0))
                    rest += real(0) if place + q == mark else e
                place += TEAM * WIDTH
            top = max(top, peak)
        top = team_reduce(top, True)
        if BEYOND:
            rest *= exp(peak - top)
        own_place = int32(mark - lane * WIDTH)
        for j in range(KEPT):
            e = exp_gap(kept[j], top)
            kept[j] = e
            rest += real(0) if own_place == j // WIDTH * (TEAM * WIDTH) + j % WIDTH else e
        for k in range(STAGED):
            place = int32((k * TEAM + lane) * WIDTH)
            copy16(four, 0, staged, place)
            for q in range(WIDTH):
                e = exp_gap(four[q], top)
                four[q] = e
                rest += real(0) if VECTORS * TEAM * WIDTH + place + q == mark else e
            copy16(staged, place, four, 0)
        rest = team_reduce(rest, False)
        value, share = real(0), real(0)
        if mark >= 0:
            own = real(1)
            if WEIGHTED:
                own = weight[y]
            own_x = x[start + mark]
            gap, e = own_x - top, exp_gap(own_x, top)
            value = own * (log1p(rest if gap == 0 else rest + e - real(1)) - gap)
            share = own / (rest + e) * scale[0]
        if lane == 0 and row < n:
            sums[cuda.threadIdx.x // TEAM] += value
            if VALUES:
                values[row] = value
        if SLOPES:
            for k in range(VECTORS):
                place = int32((k * TEAM + lane) * WIDTH)
                for q in range(WIDTH):
                    slope = kept[k * WIDTH + q] * share if mark >= 0 else real(0)
                    kept[k * WIDTH + q] = -rest * share if place + q == mark else slope
                write(slopes, start, place, kept, k * WIDTH, begin, end)
            for k in range(STAGED):
                place = int32((k * TEAM + lane) * WIDTH)
                copy16(four, 0, staged, place)
                place += VECTORS * TEAM * WIDTH
                for q in range(WIDTH):
                    slope = four[q] * share if mark >= 0 else real(0)
                    four[q] = -rest * share if place + q == mark else slope
                write(slopes, start, place, four, 0, begin, end)
            if BEYOND:
                place = ((VECTORS + STAGED) * TEAM + lane) * WIDTH
                while place < end:
                    read(four, 0, x, start, place, begin, end)
                    for q in range(WIDTH):
                        slope = exp_gap(four[q], top) * share if mark >= 0 else real(0)
                        four[q] = -rest * share if place + q == mark else slope
                    write(slopes, start, place, four, 0, begin, end)
                    place += TEAM * WIDTH
        row = as_new(int32(row + cuda.gridDim.x * TEAMS))
    last, sum = fold(sums[cuda.threadIdx.x // TEAM] if lane == 0 else float64(0), part, ticket)
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


def write(slopes, start, place, source, j, begin, end):
    """The row's part of the window's 16 bytes at `place` = source[j : j + WIDTH]."""
    if begin <= place and place + WIDTH <= end:
        copy16(slopes, start + place, source, j)
    else:
        for q in range(WIDTH):
            if begin <= place + q and place + q < end:
                slopes[start + place + q] = source[j + q]


def weight_rows(x, t, keep, up, n, classes, count, values, slopes, part, ticket, total):
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
        # Of the threads that saw a largest logit the first leaves one out, the others count theirs.
        mine, top = top, real(team_reduce(float64(top), True))
        first = team_reduce(float64(-lane if mine == top else -TEAM), True)
        if -lane != first:
            rest = (rest + real(1)) * exp_gap(mine, top)
        rest, whole = real(team_reduce(float64(rest), False)), team_reduce(whole, False)
        # The largest term is 1, or NaN of an infinite logit.
        log_s, share = log1p(rest), real(whole) / (rest + exp_gap(top, top))
        scale, value = real(up / count[0]), float64(0)
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
    last, sum = fold(sum, part, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count[0])


HELPERS = (place_of, one_row, read, write)
