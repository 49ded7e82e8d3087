// SRVGGNetCompact with 64 features, one kernel a layer: convolution 3x3, bias, activation.
//
// Between the layers the pixels of all pictures lie one after the other, 64 fp16 each. A convolution is a matrix product whose
// rows are output channels and whose columns are pixels: weights (16 x 16 pieces) are the A
// operand of mma.m16n8k16, and pixels are its B operand, which wants the 16 channels of a
// pixel side by side, as they lie in memory. Products are added up in fp32; or, in `middle`, those
// of a few stages in fp16, where tensor cores do that at twice the rate, and then onto fp32 sums.
//
// A block works on tiles of TILE_H x TILE_W pixels. The tile with one pixel around it is
// copied into shared memory once; the nine taps are nine views of it. What is beyond a picture's
// edge is zero, whatever lies there. 16 bytes (8 channels)
// are the unit there, and the units of a pixel are permuted by its column, so that the eight
// pixels that ldmatrix reads at a time lie in different banks, whichever column they begin at.
// While one tile is computed, the next one is on its way.
//
// The nine taps are not gone through one by one: a warp that has ROWS rows of 16 pixels reads
// the ROWS + 2 rows above, on and below them once for each dx, and uses them for all three dy.
// One "stage" is one dx and 16 input channels: 3 * MT pieces of weights, MT = output channels / 16.
//
// Set from outside: TILE_H, TILE_W, ROWS, STAGES (stages of weights in shared memory; 12 are
// all of them, which are then loaded once), UNROLL (stages in the program, of 4), BLOCKS (a
// multiprocessor), SCALE, SHORT (stages whose products `middle` adds up in fp16 before they join
// the sums in fp32: 1, 2, 4 or 12; 0: none).

// Names, not variables: constexpr would put them into the module.
enum : int {
    FEATURES = 64,
    UNITS = FEATURES / 8,  // of 16 bytes, of a pixel
    PATCH_W = TILE_W + 2,
    PATCH_H = TILE_H + 2,
    PATCH_BYTES = PATCH_H * PATCH_W * UNITS * 16,
    WARPS_X = TILE_W / 16,
    THREADS = 32 * WARPS_X * TILE_H / ROWS,
    PASSES = 12,  // stages of a tile: 3 dx, 4 times 16 channels
    RESIDENT = STAGES == PASSES,
    PIECES = (PATCH_H * PATCH_W * UNITS + THREADS - 1) / THREADS,  // that a thread copies of a tile
    PER_STAGE = (PIECES + PASSES - 1) / PASSES,  // of which in each stage of the tile before
    LATEST = (PIECES + PER_STAGE - 1) / PER_STAGE,  // the stage after the one that issues the last
    CELL = SCALE * SCALE,
    LAST_MT = (3 * CELL + 15) / 16,
};

static_assert(SHORT == 0 || PASSES % SHORT == 0, "the last fp16 sums have to end with the tile");
static_assert(TILE_W % 16 == 0 && TILE_H % ROWS == 0 && THREADS % UNITS == 0, "shape of a tile");
// Before a tile begins, all but the last STAGES - 2 groups of copies are waited for.
static_assert(RESIDENT || STAGES >= 2 && LATEST + STAGES - 2 <= PASSES, "copies have to end in time");

// In shared memory: two patches, then the weights.

// Piece `piece` of this thread's share of a tile and its surroundings; zeros around the picture.
__device__ __forceinline__ void copy_patch(
    int piece, u32 patch, const uint4* in, const Around& tile, bool wanted)
{
    int unit = threadIdx.x % UNITS;
    int pixel = threadIdx.x / UNITS + piece * (THREADS / UNITS);
    int row = pixel / PATCH_W, column = pixel - row * PATCH_W;
    bool inside = tile.has(row, column);
    int at = (tile.begin + row * tile.width + column) * UNITS + unit;
    // Nothing is read where nothing is inside; the address is valid all the same.
    copy_16(patch + (pixel * UNITS + (unit ^ (column & 7))) * 16, in + (at & -(int)inside), inside,
            wanted && pixel < PATCH_H * PATCH_W);
}

// sums[row][half of 16 pixels][16 output channels][as mma has them], of one tile of this block.
template <int MT>
struct Sums {
    float of[ROWS][2][MT][4];
};

// The same of the products of a few stages: two fp16 in each 32 bits.
template <int MT>
struct Halves {
    u32 of[ROWS][2][MT][2];
};

// Onto the sums, and from zero again.
template <int MT>
__device__ __forceinline__ void join(Sums<MT>& sums, Halves<MT>& halves) {
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int m = 0; m < MT; ++m)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const float2 of = unpack(halves.of[row][half][m][i]);
                    sums.of[row][half][m][2 * i] += of.x;
                    sums.of[row][half][m][2 * i + 1] += of.y;
                    halves.of[row][half][m][i] = 0;
                }
}

// The loop over tiles. `finish(tile, sums)` writes a tile's results, `begin(sums)` sets the bias.
// IN_HALVES: see SHORT.
template <int MT, int IN_HALVES, typename Begin, typename Finish>
__device__ __forceinline__ void convolve(
    const uint4* __restrict__ in, const uint4* __restrict__ weights,
    const uint4* __restrict__ tiles, Begin begin, Finish finish)
{
    enum : int { STAGE_UNITS = 3 * MT * 32, STAGE_BYTES = STAGE_UNITS * 16 };
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 patches = shared_address(shared), ring = patches + 2 * PATCH_BYTES;

    auto copy_weights = [&](int stage, u32 to) {
#pragma unroll
        for (int i = 0; i < STAGE_UNITS; i += THREADS)
            copy_16(to + (i + threadIdx.x) * 16, weights + stage * STAGE_UNITS + i + threadIdx.x,
                    true, i + threadIdx.x < STAGE_UNITS);
    };

    tiles += blockIdx.x;
    Tile tile = tile_at(tiles);
    if (!tile.edges) return;
    Tile next = tile_at(tiles += gridDim.x);
#pragma unroll
    for (int piece = 0; piece < PIECES; ++piece)
        copy_patch(piece, patches, in, Around(tile), true);
#pragma unroll 1
    for (int stage = 0; stage < (RESIDENT ? PASSES : STAGES - 1); ++stage) {
        copy_weights(stage, ring + stage * STAGE_BYTES);
        if (!RESIDENT) commit();
    }
    if (RESIDENT) commit();

    // Of the rows that this warp reads: matrices 0, 1 are pixels 0..7, 2, 3 are pixels 8..15,
    // the odd ones are the upper 8 of 16 channels.
    const int first_row = warp / WARPS_X * ROWS;
    const int first_column = warp % WARPS_X * 16 + lane % 8 + (lane & 16 ? 8 : 0);
    const u32 first = (first_row * PATCH_W + first_column) * UNITS * 16;
    const int upper = lane / 8 % 2;

    u32 patch = 0, slot = ring, filled = ring + (STAGES - 1) * STAGE_BYTES;
    Sums<MT> sums;
    Halves<MT> halves = {};
    while (tile.edges) {
        const Tile after = tile_at(tiles += gridDim.x);  // not waited for before the next tile
        const bool more = next.edges != 0;
        const Around coming = Around(next);
        begin(sums);
        if (RESIDENT) {
            wait<0>();
            __syncthreads();
        }
#pragma unroll 1
        for (int dx = 0; dx < 3; ++dx) {
            const u32 base = patches + patch + first + dx * UNITS * 16;
            const u32 swizzle = (upper ^ (first_column + dx & 7)) * 16;
#pragma unroll UNROLL
            for (int k = 0; k < 4; ++k) {
                if (!RESIDENT) {
                    // This stage's weights are here, and nobody reads those of the last stage.
                    wait<STAGES - 2>();
                    __syncthreads();
                    int ahead = dx * 4 + k + STAGES - 1;
                    copy_weights(ahead < PASSES ? ahead : ahead - PASSES, filled);
                    filled = filled == ring + (STAGES - 1) * STAGE_BYTES ? ring : filled + STAGE_BYTES;
                }
#pragma unroll
                for (int i = 0; i < PER_STAGE; ++i)
                    copy_patch((dx * 4 + k) * PER_STAGE + i, patches + (PATCH_BYTES - patch),
                               in, coming, more);
                if (!RESIDENT) commit();

                u32 b[ROWS + 2][4];
#pragma unroll
                for (int row = 0; row < ROWS + 2; ++row)
                    load_matrices(b[row], base + (swizzle ^ k * 32) + row * PATCH_W * UNITS * 16);
#pragma unroll
                for (int dy = 0; dy < 3; ++dy) {
                    uint4 a[MT];
#pragma unroll
                    for (int m = 0; m < MT; ++m)
                        load_16(a[m], slot + ((dy * MT + m) * 32 + lane) * 16);
#pragma unroll
                    for (int row = 0; row < ROWS; ++row)
#pragma unroll
                        for (int half = 0; half < 2; ++half)
#pragma unroll
                            for (int m = 0; m < MT; ++m) {
                                const u32 b0 = b[row + dy][2 * half], b1 = b[row + dy][2 * half + 1];
                                if (IN_HALVES)
                                    multiply(halves.of[row][half][m], a[m], b0, b1);
                                else
                                    multiply(sums.of[row][half][m], a[m], b0, b1);
                            }
                }
                if (IN_HALVES && (dx * 4 + k + 1) % IN_HALVES == 0) join(sums, halves);
                slot = slot == ring + (STAGES - 1) * STAGE_BYTES ? ring : slot + STAGE_BYTES;
            }
        }
        if (RESIDENT) commit();
        finish(tile, sums, first_row, warp % WARPS_X * 16);
        patch = PATCH_BYTES - patch;
        tile = next, next = after;
    }
    wait<0>();
}

// The order of the output channels is such that a lane has eight neighbours, 16 bytes: row r of
// the m-th 16 is channel 8 * (r % 8) + 2 * m + r / 8.
template <int ROWS_OF_16>
__device__ __forceinline__ void begin_features(float (&sums)[ROWS_OF_16][2][4][4], const float* bias) {
    float of[8];
    load_8(of, bias + threadIdx.x % 32 / 4 * 8);
#pragma unroll
    for (int row = 0; row < ROWS_OF_16; ++row)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int m = 0; m < 4; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) sums[row][half][m][i] = of[2 * m + i / 2];
}

// One pixel's eight channels of this lane.
__device__ __forceinline__ void store_features(
    uint4* out, const float (&sums)[4][4], const Slope (&slope)[8], int odd)
{
    u32 of[4];
#pragma unroll
    for (int m = 0; m < 4; ++m)
        of[m] = pack(activate(sums[m][odd], slope[2 * m]), activate(sums[m][2 + odd], slope[2 * m + 1]));
    *out = make_uint4(of[0], of[1], of[2], of[3]);
}

// in, out: (pixels, 64) fp16; weights: pack.py; bias, slope: (64,) fp32; tiles: tables.py.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) middle(
    const uint4* __restrict__ in, uint4* __restrict__ out, const uint4* __restrict__ weights,
    const float* __restrict__ bias, const float* __restrict__ slope,
    const uint4* __restrict__ tiles)
{
    const int lane = threadIdx.x % 32;
    convolve<4, SHORT>(
        in, weights, tiles,
        [&](Sums<4>& sums) { begin_features(sums.of, bias); },
        [&](Tile tile, const Sums<4>& sums, int first_row, int first_column) {
            Slope of[8];
            load_slopes(of, slope + lane / 4 * 8);
            const Extent extent(tile);
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
#pragma unroll
                for (int half = 0; half < 2; ++half)
#pragma unroll
                    for (int odd = 0; odd < 2; ++odd) {
                        int y = first_row + row;
                        int x = first_column + half * 8 + lane % 4 * 2 + odd;
                        if (extent.has(y, x))
                            store_features(out + (tile.at + y * tile.width + x) * UNITS + lane / 4,
                                           sums.of[row][half], of, odd);
                    }
        });
}

// The first layer: 27 numbers of each pixel's surroundings are gathered beside each other (and 5
// zeros), as the B operand wants them. A block is a tile of 8 x 32 pixels, a warp a row of it.
// picture: fp32, 3 colours, as `pieces` say; out_units: of 16 bytes, between two pixels of the result.
extern "C" __global__ void __launch_bounds__(256, 2) first(
    const float* __restrict__ picture, const uint4* __restrict__ pieces,
    const uint4* __restrict__ tiles,
    uint4* __restrict__ out, int out_units, const uint4* __restrict__ weights,
    const float* __restrict__ bias, const float* __restrict__ slope)
{
    __shared__ uint4 gathered[8 * 32 * 4];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const Tile tile = tile_at(tiles + blockIdx.x);
    const Piece piece = piece_of(pieces, picture, tile);
    const Around around(tile);

    float of[32];
#pragma unroll
    for (int k = 0; k < 32; ++k) {
        int row = warp + k / 9, column = lane + k / 3 % 3;
        of[k] = k < 27 && around.has(row, column)
            ? piece.own[k % 3 * piece.stride_c + (row - 1) * piece.stride_y
                        + (column - 1) * piece.stride_x] : 0.0f;
    }
    uint4* own = gathered + warp * 128;
#pragma unroll
    for (int unit = 0; unit < 4; ++unit)
        own[lane * 4 + (unit ^ lane / 2 % 4)] = make_uint4(
            pack(of[8 * unit], of[8 * unit + 1]), pack(of[8 * unit + 2], of[8 * unit + 3]),
            pack(of[8 * unit + 4], of[8 * unit + 5]), pack(of[8 * unit + 6], of[8 * unit + 7]));
    __syncwarp();

    float sums[2][2][4][4];
    begin_features(sums, bias);
    const int pixel = lane % 8 + (lane & 16 ? 8 : 0);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        u32 b[2][4];
#pragma unroll
        for (int side = 0; side < 2; ++side)
            load_matrices(b[side], shared_address(
                own + (side * 16 + pixel) * 4 + ((2 * k + lane / 8 % 2) ^ pixel / 2 % 4)));
#pragma unroll
        for (int m = 0; m < 4; ++m) {
            uint4 a = weights[(k * 4 + m) * 32 + lane];
#pragma unroll
            for (int side = 0; side < 2; ++side)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    multiply(sums[side][half][m], a, b[side][2 * half], b[side][2 * half + 1]);
        }
    }
    const Extent extent(tile);
    Slope slopes[8];
    load_slopes(slopes, slope + lane / 4 * 8);
#pragma unroll
    for (int side = 0; side < 2; ++side)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int odd = 0; odd < 2; ++odd) {
                int x = side * 16 + half * 8 + lane % 4 * 2 + odd;
                if (extent.has(warp, x))
                    store_features(out + (tile.at + warp * tile.width + x) * out_units + lane / 4,
                                   sums[side][half], slopes, odd);
            }
}

// The last layer: convolution, pixel shuffle, and the picture itself, enlarged by repeating, added
// in fp32. planes: of each picture (3, height * SCALE, width * SCALE) fp32, one after the other;
// bias: (16 * MT,) fp32.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) last(
    const uint4* __restrict__ in, const float* __restrict__ picture,
    const uint4* __restrict__ pieces, const uint4* __restrict__ tiles,
    float* __restrict__ planes, const uint4* __restrict__ weights, const float* __restrict__ bias)
{
    const int lane = threadIdx.x % 32;
    // A lane has two neighbouring channels of each 16: row r of them is channel 2 * (r % 8) + r / 8.
    const int channel = lane / 4 * 2;
    convolve<LAST_MT, 0>(
        in, weights, tiles,
        [&](Sums<LAST_MT>& sums) {
#pragma unroll
            for (int m = 0; m < LAST_MT; ++m) {
                float2 of = *(const float2*)(bias + m * 16 + channel);
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        sums.of[row][half][m][0] = sums.of[row][half][m][1] = of.x;
                        sums.of[row][half][m][2] = sums.of[row][half][m][3] = of.y;
                    }
            }
        },
        [&](Tile tile, const Sums<LAST_MT>& sums, int first_row, int first_column) {
            const Extent extent(tile);
            const Piece piece = piece_of(pieces, picture, tile);
            float* begin = planes + CELL * (3 * piece.ahead + piece.above) + piece.x * SCALE;
            int to[LAST_MT][2], of[LAST_MT][2];  // of a channel: in the planes, in the picture
#pragma unroll
            for (int m = 0; m < LAST_MT; ++m)
#pragma unroll
                for (int two = 0; two < 2; ++two) {
                    const int c = m * 16 + channel + two, rest = c % CELL;
                    to[m][two] = c / CELL * CELL * piece.area + rest / SCALE * tile.width * SCALE
                                 + rest % SCALE;
                    of[m][two] = c / CELL * piece.stride_c;
                }
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
#pragma unroll
                for (int i = 0; i < 4; ++i) {  // half, odd
                    const int y = first_row + row;
                    const int x = first_column + i / 2 * 8 + lane % 4 * 2 + i % 2;
                    if (!extent.has(y, x)) continue;
                    const float* own = piece.own + y * piece.stride_y + x * piece.stride_x;
                    float* out = begin + (y * SCALE * tile.width + x) * SCALE;
#pragma unroll
                    for (int m = 0; m < LAST_MT; ++m) {
                        const float low = sums.of[row][i / 2][m][i % 2];
                        const float high = sums.of[row][i / 2][m][2 + i % 2];
                        const int c = m * 16 + channel;
                        if (SCALE % 2 == 0) {  // two neighbours of one row
                            if (c >= 3 * CELL) continue;
                            const float add = own[of[m][0]];
                            *(float2*)(out + to[m][0]) = make_float2(low + add, high + add);
                        } else {
                            if (c < 3 * CELL) out[to[m][0]] = low + own[of[m][0]];
                            if (c + 1 < 3 * CELL) out[to[m][1]] = high + own[of[m][1]];
                        }
                    }
                }
        });
}
