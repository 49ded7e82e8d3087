// By how much the drawn picture is off in each cell of SOURCE_CELL x SOURCE_CELL source pixels: the
// mean of what was drawn there, less the mean of the source. One pass over either.
//
// A thread adds up one column of a row of cells, then one thread a cell adds up its columns. Cells
// at the right and lower edge may be smaller; they are means of what they hold.
//
// Set from outside: CELL (drawn pixels), SOURCE_CELL.

enum : int {
    THREADS = 256,
    CELLS = THREADS / CELL,  // of a block
    OWN = CELLS * CELL,      // columns of a block
};

extern "C" __global__ void __launch_bounds__(THREADS, 4) cells(
    const float* __restrict__ drawn,
    long long drawn_n, long long drawn_c, long long drawn_y, long long drawn_x,
    const float* __restrict__ source,
    long long source_n, long long source_c, long long source_y, long long source_x,
    float* __restrict__ out,
    int height, int width, int source_height, int source_width)
{
    // One word more for each cell, so that the cells' threads read from different banks.
    __shared__ float columns[THREADS + CELLS];
    const int across = (width + OWN - 1) / OWN, wide = (width + CELL - 1) / CELL;
    const int down = (height + CELL - 1) / CELL;
    // What was drawn last comes first: it may still be in the cache.
    const int block = gridDim.x - 1 - blockIdx.x;
    const int row = block / across, tile = block - row * across;
    const int plane = row / down, cell_y = row - plane * down, n = plane / 3, c = plane - n * 3;
    const int column = threadIdx.x, x = tile * OWN + column, y = cell_y * CELL;

    const int cell = tile * CELLS + column;
    const bool sums_up = column < CELLS && cell < wide;
    float before = 0.0f;
    if (sums_up) {  // asked for early: it comes while the columns do
        const float* from = source + n * source_n + c * source_c;
        const int top = cell_y * SOURCE_CELL, left = cell * SOURCE_CELL;
#pragma unroll
        for (int j = 0; j < SOURCE_CELL; ++j)
#pragma unroll
            for (int i = 0; i < SOURCE_CELL; ++i)
                if (top + j < source_height && left + i < source_width)
                    before += from[(top + j) * source_y + (left + i) * source_x];
        before /= (float)(min(SOURCE_CELL, source_height - top) * min(SOURCE_CELL, source_width - left));
    }
    float sum = 0.0f;
    if (column < OWN && x < width) {
        const float* from = drawn + n * drawn_n + c * drawn_c + x * drawn_x + y * drawn_y;
#pragma unroll
        for (int j = 0; j < CELL; ++j)
            if (y + j < height) sum += from[j * drawn_y];
    }
    if (column < OWN) columns[column + column / CELL] = sum;
    __syncthreads();
    if (!sums_up) return;
    float whole = 0.0f;
#pragma unroll
    for (int i = 0; i < CELL; ++i) whole += columns[column * (CELL + 1) + i];
    whole /= (float)(min(CELL, height - y) * min(CELL, width - cell * CELL));
    out[((long long)plane * down + cell_y) * wide + cell] = whole - before;
}
