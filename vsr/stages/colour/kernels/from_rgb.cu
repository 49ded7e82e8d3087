// (count, 3, height, width) fp32, RGB, to planes of code values: one pass over either.
//
// A block walks down a strip of SPAN columns, STEP rows at a time. Each thread has two columns: it
// takes the drift out, writes luma, and puts B - Y and R - Y into shared memory; then it has one
// chroma column, filters it along the row from there, and adds the result to all chroma rows that
// it belongs to, of which one is complete after each step. While one step is computed, the pixels
// of the next are on their way.
//
// Columns and rows beyond the picture are those within it, mirrored as stages/colour/chroma.py does.
//
// Set from outside: CODE (unsigned char or unsigned short), FAMILY, SUB_X, SUB_Y (0 or 1),
// CENTRED_X, CENTRED_Y, FIRST_X, FIRST_Y (the first tap, relative to the chroma sample's first luma
// sample), TAPS_X, TAPS_Y (the taps, with commas between them), CELL (0: there is no drift).

typedef unsigned int u32;

enum : int {
    YUV = 0, RGB = 1, GREY = 2,
    THREADS = 128,
    SPAN = 2 * THREADS,
    MARGIN = SUB_X ? 8 : 0,  // beyond the strip, on either side; 32 bytes, as memory is read
    OWN = SPAN - 2 * MARGIN,
    STEP = 1 << SUB_Y,
    PARTS = 2 >> SUB_X,  // chroma columns of a thread
    HALF = THREADS + 8,  // half a line: even and odd columns apart, in different banks
};

// The sample that stands for one beyond the edge: mirrored about the edge, or about the last one.
__device__ __forceinline__ int mirrored(int at, int size, bool about_edge) {
    while (at < 0 || at >= size)
        at = at < 0 ? -at - about_edge : 2 * size - 2 + about_edge - at;
    return at;
}

// Between which cells' middles a pixel lies: the first of them, and the share of the second.
struct Between {
    int cell;
    float share;
};

__device__ __forceinline__ Between between(int at) {
    enum : int { WHOLE = CELL ? 2 * CELL : 2 };
    const int halves = max(2 * at + 1 - CELL, 0), cell = halves / WHOLE;
    return {cell, (halves - cell * WHOLE) * (1.0f / WHOLE)};
}

__device__ __forceinline__ CODE coded(float value, float zero, float span, float top) {
    // Two roundings, as PyTorch has them; clipped first, which comes to the same.
    const float code = __fadd_rn(__fmul_rn(value, span), zero);
    return (CODE)__float2int_rn(fminf(fmaxf(code, 0.0f), top));
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) from_rgb(
    const float* __restrict__ rgb,
    long long stride_n, long long stride_c, long long stride_y, long long stride_x,
    const float* __restrict__ drift, int cells_high, int cells_wide,
    CODE* __restrict__ first, CODE* __restrict__ second, CODE* __restrict__ third,
    float zero, float span, float chroma_zero, float span_of_blue, float span_of_red,
    float of_red, float of_green, float of_blue, float top,
    int height, int width, int chroma_height, int chroma_width, int rows)
{
    const float taps_x[] = {TAPS_X}, taps_y[] = {TAPS_Y};
    enum : int {
        COUNT_X = sizeof(taps_x) / sizeof(float),
        COUNT_Y = sizeof(taps_y) / sizeof(float),
        OPEN = (COUNT_Y + STEP - 1) / STEP,  // chroma rows that are not complete yet
    };
    __shared__ float2 lines[2][STEP][2][HALF];

    const int across = (width + OWN - 1) / OWN, down = (chroma_height + rows - 1) / rows;
    const int strip = blockIdx.x / across, n = strip / down;
    const int x0 = (blockIdx.x - strip * across) * OWN, k0 = (strip - n * down) * rows;
    const int k_end = min(k0 + rows, chroma_height);
    // From here on everything is of one picture, whose numbers can be counted with 32 bits.
    rgb += n * stride_n;
    drift += (long long)n * 3 * cells_high * cells_wide;
    first += (long long)n * height * width;
    second += (long long)n * chroma_height * chroma_width;
    third += (long long)n * chroma_height * chroma_width;
    // Without this the compiler adds the picture's place again for each address.
    asm volatile("" : "+l"(rgb));
    // One sample alone is the same about either, but about itself it would not come to an end.
    const bool edge_x = CENTRED_X || width == 1, edge_y = CENTRED_Y || height == 1;
    const u32 next_colour = stride_c, next_line = stride_y;

    int x[2];
    bool own[2];
    u32 from[2];
    Between column[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const int c = threadIdx.x + i * THREADS;
        x[i] = x0 - MARGIN + c;
        own[i] = c >= MARGIN && c < SPAN - MARGIN && x[i] < width;
        const int there = mirrored(min(x[i], width + MARGIN - 1), width, edge_x);
        from[i] = there * (u32)stride_x;
        column[i] = between(there);
    }

    float now[STEP][2][3], next[STEP][2][3] = {};
    int row_now[STEP], row_next[STEP] = {};  // where they come from
    auto load = [&](float (&to)[STEP][2][3], int (&row)[STEP], int k) {
#pragma unroll
        for (int s = 0; s < STEP; ++s) {
            row[s] = mirrored(k * STEP + FIRST_Y + s, height, edge_y);
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                const u32 line = row[s] * next_line + c * next_colour;
#pragma unroll
                for (int i = 0; i < 2; ++i) to[s][i][c] = __ldg(rgb + (from[i] + line));
            }
        }
    };

    int stretch = -1;  // the row of cells that these are of
    float base[2][3], slope[2][3];
    auto take_out = [&](float (&of)[2][3], int y) {
        const Between at = between(y);
        if (at.cell != stretch) {
            stretch = at.cell;
            const int below = min(at.cell + 1, cells_high - 1);
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int c = 0; c < 3; ++c) {
                    const float* plane = drift + c * cells_high * cells_wide;
                    const float* one = plane + at.cell * cells_wide;
                    const float* other = plane + below * cells_wide;
                    const int left = column[i].cell, right = min(left + 1, cells_wide - 1);
                    base[i][c] = fmaf(column[i].share, one[right] - one[left], one[left]);
                    slope[i][c] =
                        fmaf(column[i].share, other[right] - other[left], other[left]) - base[i][c];
                }
        }
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int c = 0; c < 3; ++c) of[i][c] -= fmaf(at.share, slope[i][c], base[i][c]);
    };

    float2 open[PARTS][OPEN];
#pragma unroll
    for (int part = 0; part < PARTS; ++part)
#pragma unroll
        for (int i = 0; i < OPEN; ++i) open[part][i] = make_float2(0.0f, 0.0f);

    load(now, row_now, k0);
    int buffer = 0;
#pragma unroll 1
    for (int k = k0; k < k_end + OPEN - 1; ++k) {
        if (k + 1 < k_end + OPEN - 1) load(next, row_next, k + 1);

        float2 along[STEP][PARTS];
#pragma unroll
        for (int s = 0; s < STEP; ++s) {
            const int y = k * STEP + FIRST_Y + s;
            if (CELL) take_out(now[s], row_now[s]);
            const bool row = y >= k0 * STEP && y < min(k_end * STEP, height);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const float red = now[s][i][0], green = now[s][i][1], blue = now[s][i][2];
                const u32 at = y * width + x[i];
                if (FAMILY == RGB) {
                    if (row && own[i]) {
                        first[at] = coded(red, zero, span, top);
                        second[at] = coded(green, zero, span, top);
                        third[at] = coded(blue, zero, span, top);
                    }
                    continue;
                }
                const float luma =
                    fmaf(of_blue, blue, fmaf(of_red, red, __fmul_rn(green, of_green)));
                if (row && own[i]) first[at] = coded(luma, zero, span, top);
                const float2 apart = make_float2(blue - luma, red - luma);
                const int c = threadIdx.x + i * THREADS;
                if (SUB_X) lines[buffer][s][c % 2][c / 2] = apart;
                else along[s][i % PARTS] = apart;
            }
        }
        if (FAMILY == YUV) {
            if (SUB_X) {
                __syncthreads();
#pragma unroll
                for (int s = 0; s < STEP; ++s) {
                    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
                    for (int t = 0; t < COUNT_X; ++t) {
                        if (taps_x[t] == 0.0f) continue;
                        // (The last eight threads have no column.)
                        const int c = MARGIN + FIRST_X + t;
                        const float2 of = lines[buffer][s][c % 2][min(threadIdx.x, OWN / 2 - 1) + c / 2];
                        sum.x = fmaf(taps_x[t], of.x, sum.x);
                        sum.y = fmaf(taps_x[t], of.y, sum.y);
                    }
                    along[s][0] = sum;
                }
                buffer ^= 1;  // whose readers have all come to the barrier above
            }
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
                // One chroma row more is begun, and the others are one step older.
#pragma unroll
                for (int i = OPEN - 1; i >= 0; --i) {
                    float2 sum = i ? open[part][i - (i > 0)] : make_float2(0.0f, 0.0f);
#pragma unroll
                    for (int s = 0; s < STEP; ++s) {
                        const int t = i * STEP + s;
                        if (t >= COUNT_Y || taps_y[t] == 0.0f) continue;
                        sum.x = fmaf(taps_y[t], along[s][part].x, sum.x);
                        sum.y = fmaf(taps_y[t], along[s][part].y, sum.y);
                    }
                    open[part][i] = sum;
                }
                const int done = k - (OPEN - 1), c = threadIdx.x + part * THREADS;
                const int j = (x0 >> SUB_X) + c;
                if (done >= k0 && c < OWN >> SUB_X && j < chroma_width) {
                    const u32 at = done * chroma_width + j;
                    const float2 sum = open[part][OPEN - 1];
                    second[at] = coded(sum.x, chroma_zero, span_of_blue, top);
                    third[at] = coded(sum.y, chroma_zero, span_of_red, top);
                }
            }
        }
#pragma unroll
        for (int s = 0; s < STEP; ++s) {
            row_now[s] = row_next[s];
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int c = 0; c < 3; ++c) now[s][i][c] = next[s][i][c];
        }
    }
}
