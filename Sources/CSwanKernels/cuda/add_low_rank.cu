// add_low_rank: a matrix with low-rank changes merged in, as LoRAs have them, on the matrix units of sm_80 and later.
//
//   y[r, c] = x[r, c] + sum_i factor_i * sum_k up_i[first + r, k] * down_i[k, c]
//
// Shapes    x SOURCE [rows, columns], some rows of a matrix from its row `first` on · y TARGET [rows, columns], which may
//           be x · values FACTOR, at a multiple of 16 bytes: of each change up [all rows, rank] and behind it down [rank,
//           columns] · list float32 [changes, 2]: rank and factor of each
// Launch    grid = (ceil(columns / 128), ceil(rows / 64)), block = 256; static shared memory of 27 KB.
// Defines   SOURCE, FACTOR: float, bfloat16 or float16 · TARGET: float or bfloat16 · VECTOR: 4 where columns is a multiple
//           of it and x and y are multiples of 16, else 1.
// Sums      16 k at a time on the matrix units; these sums, times the factor, in float32 over k and changes in order, and
//           x last; rounded once. The same bits on every run.
// Traffic   x once, y once; up once for 128 columns and down once for 64 rows, from L2: at rank 64 half as many bytes again
//           as x, where all have 16 bits. 5120 x 5120 in bfloat16 are 105 MB: 22 us at 4.8 TB/s. 2 rows columns rank
//           operations stay below that up to a rank of some 200, and of some 50 where factors are floats, which take six
//           products each.
// Registers 76 to 104, none spilled; tiles of 128 rows spilled.
//
// Factors of 16 bits go to the matrix units as they are. A float goes as three bfloat16 whose sum it is: rounded, then what
// that left, rounded, and then what that left, which has 8 bits. Of the nine products of such parts the six largest count;
// the others are below 2^-24 of the whole, and float32's own product is rounded by as much.
//
// The units make exact products and align those of 16 k to the largest. What lies some 24 bits below it is cut off, and so
// is what lies behind the 24 bits of the sum, where float32 arithmetic rounds. Long sums on the units would lose the same
// way each time; here one has 16 terms, of floats at most three times as many with small parts first, and goes to a sum in
// float32 arithmetic, which the factor joins there exactly. The error is that of 16 float32 additions or less.
//
// Where a sum is infinite or no number, parts of an infinite float may have made it, or products that the factor would have
// kept in range. A thread that has such a sum makes all of its own again in float32 arithmetic.
//
// The units give a thread columns 2t and 2t + 1 of eight. For four that lie together, so that x and y are read and written
// in whole sectors, the first two of each four columns of `down` are in the first half of a row in shared memory and the
// last two in the second. Rows there are 16 bytes longer than they need to be: the eight rows that a matrix load takes then
// start in different banks.

#include <swan_device.cuh>

constexpr int ROWS = 64, COLUMNS = 128, THREADS = 256;

template <class Factor>
constexpr bool is_float16 = false;
template <>
constexpr bool is_float16<float16> = true;

// Numbers that a factor is made of, and ranks of a tile.
constexpr int PARTS = sizeof(FACTOR) == 4 ? 3 : 1, DEPTH = sizeof(FACTOR) == 4 ? 16 : 64;
constexpr int UP_STRIDE = DEPTH + 8, DOWN_STRIDE = COLUMNS + 8;
// Vectors of four factors that a thread reads of each tile.
constexpr int UP_READS = ROWS * DEPTH / 4 / THREADS, DOWN_READS = COLUMNS * DEPTH / 4 / THREADS;
// A warp's tiles of 16 rows and of 16 columns, and warps above each other.
constexpr int ROW_TILES = 2, COLUMN_TILES = 2, ROW_WARPS = ROWS / 16 / ROW_TILES;
static_assert(ROW_TILES * COLUMN_TILES * THREADS / 32 * 256 == ROWS * COLUMNS, "warps cover the tile");

// Tiles of both factors; of float16 the bits.
typedef bfloat16 up_tiles[PARTS][ROWS][UP_STRIDE];
typedef bfloat16 down_tiles[PARTS][DEPTH][DOWN_STRIDE];

// Four factors in two pairs, of which those from `count` on are zero. All or none exist if IS_WHOLE.
template <bool IS_WHOLE, class Half>
__device__ __forceinline__ void read_four(const Half *source, unsigned count, unsigned (&parts)[1][2]) {
    uint2 pairs = make_uint2(0, 0);
    if constexpr (IS_WHOLE) {
        if (count > 0) pairs = *(const uint2 *)source;
    } else {
        if (count > 0) pairs.x = source[0].bits;
        if (count > 1) pairs.x |= (unsigned)source[1].bits << 16;
        if (count > 2) pairs.y = source[2].bits;
        if (count > 3) pairs.y |= (unsigned)source[3].bits << 16;
    }
    parts[0][0] = pairs.x, parts[0][1] = pairs.y;
}

// The same of floats, in three parts.
template <bool IS_WHOLE>
__device__ __forceinline__ void read_four(const float *source, unsigned count, unsigned (&parts)[3][2]) {
    float rest[4] = {};
    if constexpr (IS_WHOLE) {
        if (count > 0) load(source, rest);
    } else {
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            if (i < count) rest[i] = source[i];
        }
    }
#pragma unroll
    for (int part = 0; part < 3; part++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float low, high;
            parts[part][i] = pack_bfloat16(rest[2 * i], rest[2 * i + 1]);
            unpack_bfloat16(parts[part][i], low, high);
            rest[2 * i] -= low, rest[2 * i + 1] -= high;
        }
    }
}

// A tile of `up` from its first row and k on, of which `rows` and `depth` exist; zeros beyond.
template <bool IS_WHOLE>
__device__ __forceinline__ void read_up(up_tiles &tile, const FACTOR *up, unsigned rank, unsigned rows, unsigned depth) {
    constexpr unsigned STEP = THREADS / (DEPTH / 4);
    const unsigned thread = reread_thread(), k = thread % (DEPTH / 4) * 4;
    unsigned r = thread / (DEPTH / 4);
    up += (index_t)r * rank + k;
#pragma unroll(IS_WHOLE ? UP_READS : 1)
    for (int i = 0; i < UP_READS; i++) {
        unsigned parts[PARTS][2];
        read_four<IS_WHOLE>(up, r < rows && k < depth ? depth - k : 0, parts);
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            *(uint2 *)&tile[part][r][k] = make_uint2(parts[part][0], parts[part][1]);
        r += STEP, up += (index_t)STEP * rank;
    }
}

// A tile of `down` from its first k and column on, of which `depth` and `columns` exist; a whole row has `all_columns`.
template <bool IS_WHOLE>
__device__ __forceinline__ void read_down(down_tiles &tile, const FACTOR *down, unsigned all_columns, unsigned depth,
                                          unsigned columns) {
    constexpr unsigned STEP = THREADS / (COLUMNS / 4);
    const unsigned thread = reread_thread(), c = thread % (COLUMNS / 4) * 4;
    unsigned k = thread / (COLUMNS / 4);
    down += (index_t)k * all_columns + c;
#pragma unroll(IS_WHOLE ? DOWN_READS : 1)
    for (int i = 0; i < DOWN_READS; i++) {
        unsigned parts[PARTS][2];
        read_four<IS_WHOLE>(down, k < depth && c < columns ? columns - c : 0, parts);
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#pragma unroll
            for (int half = 0; half < 2; half++)
                *(unsigned *)&tile[part][k][half * (COLUMNS / 2) + c / 2] = parts[part][half];
        }
        k += STEP, down += (index_t)STEP * all_columns;
    }
}

__device__ __forceinline__ void add_product(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if constexpr (is_float16<FACTOR>)
        multiply_add_float16(d, a, b0, b1);
    else
        multiply_add(d, a, b0, b1);
}

// The sum of all changes of one element in float32 arithmetic; `row` is the matrix's.
__device__ __forceinline__ float plain_sum(const FACTOR *values, const float *list, unsigned changes, unsigned all_rows,
                                           unsigned columns, unsigned row, unsigned column) {
    float sum = 0.f;
    for (unsigned change = 0; change < changes; change++) {
        const unsigned rank = (unsigned)list[2 * change];
        const float factor = list[2 * change + 1];
        const FACTOR *const up = values + (index_t)row * rank, *const down = values + (index_t)all_rows * rank + column;
        for (unsigned k = 0; k < rank; k++) sum += factor * widen(up[k]) * widen(down[(index_t)k * columns]);
        values += rank * ((index_t)all_rows + columns);
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
add_low_rank(const SOURCE *x, const FACTOR *__restrict__ values, const float *__restrict__ list, TARGET *y,
             unsigned changes, unsigned all_rows, unsigned first, unsigned rows, unsigned columns) {
    __shared__ __align__(16) up_tiles up_tile;
    __shared__ __align__(16) down_tiles down_tile;
    const unsigned first_row = blockIdx.y * ROWS, first_column = blockIdx.x * COLUMNS;

    // x is on its way to L2 while its changes are made.
    constexpr unsigned SECTOR = 32 / sizeof(SOURCE), SECTORS = COLUMNS / SECTOR, STEP = THREADS / SECTORS;
    const unsigned sector = first_column + threadIdx.x % SECTORS * SECTOR;
    if (sector < columns) {
        unsigned r = first_row + threadIdx.x / SECTORS;
        const SOURCE *place = x + (index_t)r * columns + sector;
#pragma unroll
        for (int i = 0; i < ROWS / (int)STEP; i++) {
            if (r < rows) prefetch(place);
            r += STEP, place += (index_t)STEP * columns;
        }
    }

    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned warp_row = warp % ROW_WARPS * ROW_TILES * 16, warp_column = warp / ROW_WARPS * COLUMN_TILES * 16;
    // Where this lane's row lies in the matrices that a warp loads: see load_matrices and multiply_add.
    const bfloat16 *const up_row = &up_tile[0][warp_row + lane % 16][lane / 16 * 8];
    const bfloat16 *const down_row = &down_tile[0][lane % 16][lane / 16 * (COLUMNS / 2) + warp_column / 2];
    // Of 16 rows, of 16 columns, of the first and the last two of each four.
    float sums[ROW_TILES][COLUMN_TILES][2][4] = {};
    // The change, where its factors begin, and how much of its rank is done. One loop and not two: what is read again for
    // each tile takes no registers meanwhile.
    unsigned change = 0, done = 0;
    index_t begin = 0;
#pragma unroll 1
    while (change < changes) {
        const unsigned rank = (unsigned)list[2 * change], depth = rank - done;
        const float factor = list[2 * change + 1];
        const FACTOR *const up = values + begin + (index_t)(first + first_row) * rank + done;
        const FACTOR *const down = values + begin + (index_t)all_rows * rank + (index_t)done * columns + first_column;
        barrier();  // the last tiles have been read
        if ((begin | rank | columns) % 4 == 0) {
            read_up<true>(up_tile, up, rank, rows - first_row, depth);
            read_down<true>(down_tile, down, columns, depth, columns - first_column);
        } else {
            read_up<false>(up_tile, up, rank, rows - first_row, depth);
            read_down<false>(down_tile, down, columns, depth, columns - first_column);
        }
        done += DEPTH;
        if (done >= rank) begin += rank * ((index_t)all_rows + columns), change++, done = 0;
        barrier();
#pragma unroll 1
        for (unsigned k = 0; k < DEPTH && k < depth; k += 16) {
            // Loops over parts are not unrolled: the compiler would have more of their products under way than there are
            // registers.
#pragma unroll 1
            for (int part = PARTS - 1; part >= 0; part--) {
                unsigned a[ROW_TILES][4];
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++)
                    load_matrices(a[m], up_row + (part * ROWS + m * 16) * UP_STRIDE + k);
#pragma unroll
                for (int n = 0; n < COLUMN_TILES; n++) {
                    float products[ROW_TILES][2][4] = {};
#pragma unroll 1
                    for (int other = PARTS - 1 - part; other >= 0; other--) {
                        unsigned b[4];
                        load_matrices_transposed(b, down_row + (other * DEPTH + k) * DOWN_STRIDE + n * 8);
#pragma unroll
                        for (int m = 0; m < ROW_TILES; m++) {
                            add_product(products[m][0], a[m], b[0], b[1]);
                            add_product(products[m][1], a[m], b[2], b[3]);
                        }
                    }
#pragma unroll
                    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
                        for (int i = 0; i < 8; i++) sums[m][n][i / 4][i % 4] += factor * products[m][i / 4][i % 4];
                    }
                }
            }
        }
    }

    bool are_finite = true;
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
        for (int n = 0; n < COLUMN_TILES; n++) {
#pragma unroll
            for (int i = 0; i < 8; i++) are_finite &= fabsf(sums[m][n][i / 4][i % 4]) < INFINITY;
        }
    }
    // A thread has rows that are 8 apart, and of each four columns in every 16: vectors v, of which COLUMN_TILES follow each
    // other in a row.
    constexpr int VECTORS = 2 * ROW_TILES * COLUMN_TILES;
    const unsigned thread = reread_thread();
    const unsigned row = first_row + thread / 32 % ROW_WARPS * ROW_TILES * 16 + thread % 32 / 4;
    const unsigned column = first_column + thread / 32 / ROW_WARPS * COLUMN_TILES * 16 + thread % 4 * 4;
    if (column >= columns) return;
    const unsigned width = columns - column;
    if (!are_finite) {
#pragma unroll 1
        for (int i = 0; i < 4 * VECTORS; i++) {
            const unsigned r = row + i / 4 / COLUMN_TILES * 8, c = i / 4 % COLUMN_TILES * 16 + i % 4;
            if (r < rows && c < width) {
                const float sum = plain_sum(values, list, changes, all_rows, columns, first + r, column + c);
                const index_t place = (index_t)r * columns + column + c;
                narrow(widen(x[place]) + sum, y[place]);
            }
        }
        return;
    }
    // So many are on their way before the first is needed.
    constexpr int BATCH = VECTOR == 4 ? 8 : 4;
#pragma unroll
    for (int v = 0; v < VECTORS; v += BATCH) {
        float parts[BATCH][4 / VECTOR][VECTOR];
#pragma unroll
        for (int j = 0; j < BATCH; j++) {
            const unsigned r = row + (v + j) / COLUMN_TILES * 8, c = (v + j) % COLUMN_TILES * 16;
#pragma unroll
            for (int i = 0; i < 4; i += VECTOR) {
                if (r < rows && c + i < width) load(x + (index_t)r * columns + column + c + i, parts[j][i / VECTOR]);
            }
        }
#pragma unroll
        for (int j = 0; j < BATCH; j++) {
            const int eights = (v + j) / COLUMN_TILES, n = (v + j) % COLUMN_TILES;
            const unsigned r = row + eights * 8, c = n * 16;
#pragma unroll
            for (int i = 0; i < 4; i++)
                parts[j][i / VECTOR][i % VECTOR] += sums[eights / 2][n][i / 2][eights % 2 * 2 + i % 2];
#pragma unroll
            for (int i = 0; i < 4; i += VECTOR) {
                if (r < rows && c + i < width) store(y + (index_t)r * columns + column + c + i, parts[j][i / VECTOR]);
            }
        }
    }
}
