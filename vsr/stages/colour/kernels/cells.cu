// By how much the drawn picture is off in each cell of SOURCE_CELL x SOURCE_CELL source pixels: the
// mean of what was drawn there, less the mean of the source. One pass over either.
//
// A thread adds up one column of a row of cells, and some do so in the source; then one thread a
// cell adds up its columns. Cells at the right and lower edge may be smaller; they are means of
// what they hold.
//
// Set from outside: CELL (drawn pixels), SOURCE_CELL.

typedef unsigned int u32;

enum : int {
    THREADS = 256,
    CELLS = THREADS / CELL,            // of a block
    OWN = CELLS * CELL,                // columns of a block
    SOURCE_OWN = CELLS * SOURCE_CELL,  // in the source
};

// SIDE rows of a column, of which there are `rows`. All of them are asked for before the first is
// needed, those beyond the edge too, as the last one: predicates would allow five at a time.
template <int SIDE>
struct Column {
    float of[SIDE];

    __device__ __forceinline__ void load(const float* from, u32 stride, int rows) {
        // Without this the compiler adds up the whole address again for each row.
        asm volatile("" : "+l"(from));
#pragma unroll
        for (int j = 0; j < SIDE; ++j) of[j] = __ldg(from + min(j, rows - 1) * stride);
    }

    __device__ __forceinline__ float sum(int rows) const {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < SIDE; ++j) sum += j < rows ? of[j] : 0.0f;
        return sum;
    }
};

// The mean of the cell that is the `index`th of the block, of columns that were added up.
template <int SIDE>
__device__ __forceinline__ float mean(const float* columns, int index, int rows, int wide) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) sum += columns[index * (SIDE + 1) + i];
    return sum / (float)(rows * wide);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) cells(
    const float* __restrict__ drawn,
    long long drawn_n, long long drawn_c, long long drawn_y, long long drawn_x,
    const float* __restrict__ source,
    long long source_n, long long source_c, long long source_y, long long source_x,
    float* __restrict__ out,
    int height, int width, int source_height, int source_width)
{
    // One word more for each cell, so that the cells' threads read from different banks.
    __shared__ float columns[OWN + CELLS], source_columns[SOURCE_OWN + CELLS];
    const int across = (width + OWN - 1) / OWN, wide = (width + CELL - 1) / CELL;
    const int down = (height + CELL - 1) / CELL;
    // What was drawn last comes first: it may still be in the cache.
    const int block = gridDim.x - 1 - blockIdx.x;
    const int row = block / across, tile = block - row * across;
    const int plane = row / down, cell_y = row - plane * down, n = plane / 3, c = plane - n * 3;
    const int y = cell_y * CELL, rows = min(CELL, height - y);
    const int source_y0 = cell_y * SOURCE_CELL;
    const int source_rows = min(SOURCE_CELL, source_height - source_y0);

    // Columns beyond the edge are the last one, and zero.
    const int column = threadIdx.x, x = tile * OWN + column;
    const int source_x0 = tile * SOURCE_OWN + column;
    Column<CELL> own;
    Column<SOURCE_CELL> before;
    if (column < SOURCE_OWN)
        before.load(source + n * source_n + c * source_c + source_y0 * source_y
                    + min(source_x0, source_width - 1) * source_x, source_y, source_rows);
    own.load(drawn + n * drawn_n + c * drawn_c + y * drawn_y + min(x, width - 1) * drawn_x,
             drawn_y, rows);
    if (column < OWN) columns[column + column / CELL] = x < width ? own.sum(rows) : 0.0f;
    if (column < SOURCE_OWN)
        source_columns[column + column / SOURCE_CELL] =
            source_x0 < source_width ? before.sum(source_rows) : 0.0f;
    __syncthreads();
    const int cell = tile * CELLS + column;
    if (column >= CELLS || cell >= wide) return;
    const float made = mean<CELL>(columns, column, rows, min(CELL, width - cell * CELL));
    const float shown = mean<SOURCE_CELL>(
        source_columns, column, source_rows, min(SOURCE_CELL, source_width - cell * SOURCE_CELL));
    out[((long long)plane * down + cell_y) * wide + cell] = made - shown;
}
