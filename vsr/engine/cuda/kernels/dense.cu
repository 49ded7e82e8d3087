// RRDBNet's convolutions: any number of input channels, which lie side by side.
//
// A dense block is one buffer of 192 channels a pixel: each of its convolutions reads the first
// 64, 96 ... 192 and writes the next 32, so nothing is ever put together. Schedule and operands
// are those of compact.cu, but the input comes 32 channels at a time, each time with the weights
// that belong to it: while one such chunk is computed, the next one, of this tile or of the next,
// is on its way. 16-byte units are permuted by half the column, since a pixel is half of 128 bytes.
//
// Set from outside: DENSE_H, DENSE_W (a tile), DENSE_ROWS (of 16 pixels, of a warp).

enum : int {
    CHUNK_UNITS = 4,  // of 16 bytes: 32 channels of a pixel
    CHUNK_W = DENSE_W + 2,
    CHUNK_H = DENSE_H + 2,
    CHUNK_BYTES = CHUNK_H * CHUNK_W * CHUNK_UNITS * 16,
    DENSE_WARPS_X = DENSE_W / 16,
    DENSE_THREADS = 32 * DENSE_WARPS_X * DENSE_H / DENSE_ROWS,
    DENSE_PASSES = 6,  // stages of a chunk: 3 dx, twice 16 channels
    CHUNK_PIECES = (CHUNK_H * CHUNK_W * CHUNK_UNITS + DENSE_THREADS - 1) / DENSE_THREADS,
    CHUNK_PER_STAGE = (CHUNK_PIECES + DENSE_PASSES - 1) / DENSE_PASSES,
};

static_assert(DENSE_W % 16 == 0 && DENSE_H % DENSE_ROWS == 0, "shape of a tile");

// Where a convolution reads: `units` of 16 bytes lie between two pixels. With `shift` 1 every pixel
// is there twice in each direction: the picture is enlarged by repeating, before the convolution.
struct Input {
    const uint4* at;
    int units, shift;
};

// Where a tile begins in what is read, and how wide its picture is there. Tiles begin in even rows
// and columns: in half the size the pixel of the one at column x is (its own + x) / 4.
struct Origin {
    int at, width;

    __device__ __forceinline__ Origin(const Input& in, const Tile& tile)
        : at((tile.at + (int)(tile.place >> 16) * 16 * in.shift) >> 2 * in.shift),
          width(tile.width >> in.shift)
    {
        asm volatile("" : "+r"(at), "+r"(width));  // as in Around
    }
};

__device__ __forceinline__ void copy_chunk(
    int piece, u32 patch, const Input& in, int chunk, const Origin& origin, const Around& around,
    bool wanted)
{
    int unit = threadIdx.x % CHUNK_UNITS;
    int pixel = threadIdx.x / CHUNK_UNITS + piece * (DENSE_THREADS / CHUNK_UNITS);
    int row = pixel / CHUNK_W, column = pixel - row * CHUNK_W;
    bool inside = around.has(row, column);
    int pixel_in = origin.at + (row - 1 >> in.shift) * origin.width + (column - 1 >> in.shift);
    int at = pixel_in * in.units + chunk * CHUNK_UNITS + unit;
    copy_16(patch + (pixel * CHUNK_UNITS + (unit ^ (column / 2 & 3))) * 16,
            in.at + (at & -(int)inside), inside, wanted && pixel < CHUNK_H * CHUNK_W);
}

template <int MT>
struct DenseSums {
    float of[DENSE_ROWS][2][MT][4];
};

// As `convolve` in compact.cu. `finish(pixel, sums, odd)` writes this lane's channels of one pixel.
template <int MT, typename Finish>
__device__ __forceinline__ void convolve_chunks(
    const Input in, int chunks, const uint4* __restrict__ weights, const float* __restrict__ bias,
    const uint4* __restrict__ tiles, Finish finish)
{
    enum : int {
        STAGE_UNITS = 3 * MT * 32,
        WEIGHT_UNITS = DENSE_PASSES * STAGE_UNITS,
        WEIGHT_PIECES = (WEIGHT_UNITS + DENSE_THREADS - 1) / DENSE_THREADS,
        WEIGHTS_PER_STAGE = (WEIGHT_PIECES + DENSE_PASSES - 1) / DENSE_PASSES,
        HALF = CHUNK_BYTES + WEIGHT_UNITS * 16,
        CHANNELS = 2 * MT,  // that a lane has of each pixel
    };
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 memory = shared_address(shared);

    auto copy_weights = [&](int piece, u32 half, int chunk, bool wanted) {
        u32 at = piece * DENSE_THREADS + threadIdx.x;
        copy_16(half + CHUNK_BYTES + at * 16, weights + chunk * WEIGHT_UNITS + at, true,
                wanted && at < WEIGHT_UNITS);
    };

    tiles += blockIdx.x;
    Tile tile = tile_at(tiles), next = tile;
    if (!tile.edges) return;
    Tile after = tile_at(tiles += gridDim.x);
    int chunk = 0;
#pragma unroll 1
    for (int piece = 0; piece < CHUNK_PIECES; ++piece)
        copy_chunk(piece, memory, in, 0, Origin(in, tile), Around(tile), true);
#pragma unroll 1
    for (int piece = 0; piece < WEIGHT_PIECES; ++piece) copy_weights(piece, memory, 0, true);
    commit();

    const int first_row = warp / DENSE_WARPS_X * DENSE_ROWS;
    const int first_column = warp % DENSE_WARPS_X * 16;
    const int column = first_column + lane % 8 + (lane & 16 ? 8 : 0);
    const u32 first = (first_row * CHUNK_W + column) * CHUNK_UNITS * 16;
    const int upper = lane / 8 % 2;

    u32 half = 0;  // of the memory, that is computed from
    DenseSums<MT> sums;
    while (tile.edges) {
        const bool ends = chunk + 1 == chunks;
        const int next_chunk = ends ? 0 : chunk + 1;
        if (ends) next = after, after = tile_at(tiles += gridDim.x);  // not waited for yet
        const bool more = next.edges != 0;
        const Around coming(next);
        const Origin origin(in, next);
        const u32 here = memory + half, there = memory + (HALF - half);
        if (chunk == 0) {
#pragma unroll
            for (int m = 0; m < MT; ++m) {
                float2 of = *(const float2*)(bias + lane / 4 * CHANNELS + 2 * m);
#pragma unroll
                for (int row = 0; row < DENSE_ROWS; ++row)
#pragma unroll
                    for (int side = 0; side < 2; ++side) {
                        sums.of[row][side][m][0] = sums.of[row][side][m][1] = of.x;
                        sums.of[row][side][m][2] = sums.of[row][side][m][3] = of.y;
                    }
            }
        }
        wait<0>();
        __syncthreads();
#pragma unroll 1
        for (int dx = 0; dx < 3; ++dx) {
            const u32 base = here + first + dx * CHUNK_UNITS * 16;
            const u32 swizzle = (upper ^ ((column + dx) / 2 & 3)) * 16;
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                const int stage = dx * 2 + k;
#pragma unroll
                for (int i = 0; i < CHUNK_PER_STAGE; ++i)
                    copy_chunk(stage * CHUNK_PER_STAGE + i, there, in, next_chunk, origin, coming, more);
#pragma unroll
                for (int i = 0; i < WEIGHTS_PER_STAGE; ++i)
                    copy_weights(stage * WEIGHTS_PER_STAGE + i, there, next_chunk, more);

                u32 b[DENSE_ROWS + 2][4];
#pragma unroll
                for (int row = 0; row < DENSE_ROWS + 2; ++row)
                    load_matrices(b[row], base + (swizzle ^ k * 32) + row * CHUNK_W * CHUNK_UNITS * 16);
#pragma unroll
                for (int dy = 0; dy < 3; ++dy) {
                    uint4 a[MT];
#pragma unroll
                    for (int m = 0; m < MT; ++m)
                        load_16(a[m], here + CHUNK_BYTES
                                      + ((stage * 3 + dy) * MT * 32 + m * 32 + lane) * 16);
#pragma unroll
                    for (int row = 0; row < DENSE_ROWS; ++row)
#pragma unroll
                        for (int side = 0; side < 2; ++side)
#pragma unroll
                            for (int m = 0; m < MT; ++m)
                                multiply(sums.of[row][side][m], a[m],
                                         b[row + dy][2 * side], b[row + dy][2 * side + 1]);
                }
            }
        }
        commit();
        if (ends) {
            const Extent extent(tile);
#pragma unroll
            for (int row = 0; row < DENSE_ROWS; ++row)
#pragma unroll
                for (int i = 0; i < 4; ++i) {  // side, odd
                    int y = first_row + row;
                    int x = first_column + i / 2 * 8 + lane % 4 * 2 + i % 2;
                    if (extent.has(y, x))
                        finish(tile.at + y * tile.width + x, sums.of[row][i / 2], i % 2);
                }
        }
        half = HALF - half;
        chunk = next_chunk, tile = next;
    }
    wait<0>();
}

// LeakyReLU with one slope for all. Row r of the m-th 16 is channel 2 * MT * (r % 8) + 2 * m + r / 8.
template <int MT>
__device__ __forceinline__ void activated(u32 (&to)[MT], const float (&sums)[MT][4], Slope slope, int odd) {
#pragma unroll
    for (int m = 0; m < MT; ++m)
        to[m] = pack(activate(sums[m][odd], slope), activate(sums[m][2 + odd], slope));
}

// in, out: pixels of `in_units`, `out_units` of 16 bytes each, the channels
// that are meant being the first ones there; weights: dense_pack.py; bias: fp32; slope: one fp32.

// 32 * chunks -> 32 channels.
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 1) grow(
    const uint4* in, int in_units, int shift, int chunks, uint4* out, int out_units,
    const uint4* __restrict__ weights, const float* __restrict__ bias,
    const float* __restrict__ slope, const uint4* __restrict__ tiles)
{
    const Slope of = {0.5f + 0.5f * *slope, 0.5f - 0.5f * *slope};
    convolve_chunks<2>(
        {in, in_units, shift}, chunks, weights, bias, tiles,
        [&](int pixel, const float (&sums)[2][4], int odd) {
            u32 made[2];
            activated(made, sums, of, odd);
            uint2* to = (uint2*)(out + pixel * out_units) + threadIdx.x % 32 / 4;
            *to = make_uint2(made[0], made[1]);
        });
}

// 32 * chunks -> 64 channels.
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 1) wide(
    const uint4* in, int in_units, int shift, int chunks, uint4* out, int out_units,
    const uint4* __restrict__ weights, const float* __restrict__ bias,
    const float* __restrict__ slope, const uint4* __restrict__ tiles)
{
    const Slope of = {0.5f + 0.5f * *slope, 0.5f - 0.5f * *slope};
    convolve_chunks<4>(
        {in, in_units, shift}, chunks, weights, bias, tiles,
        [&](int pixel, const float (&sums)[4][4], int odd) {
            u32 made[4];
            activated(made, sums, of, odd);
            out[pixel * out_units + threadIdx.x % 32 / 4] = make_uint4(made[0], made[1], made[2], made[3]);
        });
}

// 32 * chunks -> 64 channels: shares[0] * convolution + shares[1] * own + shares[2] * skip, in fp32.
// `out` may be `skip`: each pixel's channels are read and written by one thread. (So no __restrict__.)
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 1) mix(
    const uint4* in, int in_units, int chunks, uint4* out, int out_units,
    const uint4* __restrict__ weights, const float* __restrict__ bias,
    const uint4* own, int own_units, const uint4* skip, int skip_units,
    const float* __restrict__ shares, const uint4* __restrict__ tiles)
{
    const float drawn = shares[0], kept = shares[1], before = shares[2];
    convolve_chunks<4>(
        {in, in_units, 0}, chunks, weights, bias, tiles,
        [&](int pixel, const float (&sums)[4][4], int odd) {
            const int unit = threadIdx.x % 32 / 4;
            const uint4 a = own[pixel * own_units + unit], b = skip[pixel * skip_units + unit];
            const u32 old[4] = {a.x, a.y, a.z, a.w}, older[4] = {b.x, b.y, b.z, b.w};
            u32 made[4];
#pragma unroll
            for (int m = 0; m < 4; ++m) {
                const float2 x = unpack(old[m]), z = unpack(older[m]);
                made[m] = pack(fmaf(before, z.x, fmaf(kept, x.x, drawn * sums[m][odd])),
                               fmaf(before, z.y, fmaf(kept, x.y, drawn * sums[m][2 + odd])));
            }
            out[pixel * out_units + unit] = make_uint4(made[0], made[1], made[2], made[3]);
        });
}
