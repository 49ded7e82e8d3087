// Planes of code values to (count, 3, height, width) fp32, RGB: one pass over either.
//
// A chroma sample between others is a sum of TAPS_X x TAPS_Y of them, first along rows, then down.
// Which, and how much of each, is looked up by column and by row, so that every siting, every
// subsampling and every border is the same to the kernel.
//
// Set from outside: CODE (unsigned char or unsigned short), FAMILY, TAPS_X, TAPS_Y.

enum : int { YUV = 0, RGB = 1, GREY = 2, THREADS = 256 };

__device__ __forceinline__ float scaled(CODE code, float zero, float span) {
    return ((float)code - zero) / span;
}

// at_x: (width,) int, the first of TAPS_X neighbours; share_x: (width, TAPS_X) fp32; likewise y.
extern "C" __global__ void __launch_bounds__(THREADS) to_rgb(
    const CODE* __restrict__ first, const CODE* __restrict__ second, const CODE* __restrict__ third,
    float* __restrict__ rgb,
    const int* __restrict__ at_x, const float* __restrict__ share_x,
    const int* __restrict__ at_y, const float* __restrict__ share_y,
    float zero, float span, float chroma_zero, float chroma_span,
    float red_of_cr, float green_of_cb, float green_of_cr, float blue_of_cb,
    int height, int width, int chroma_height, int chroma_width)
{
    const int across = (width + THREADS - 1) / THREADS;
    const int row = blockIdx.x / across, n = row / height, y = row - n * height;
    const int x = (blockIdx.x - row * across) * THREADS + threadIdx.x;
    if (x >= width) return;
    const long long pixels = (long long)height * width, at = (long long)row * width + x;
    float* out = rgb + at + 2 * n * pixels;

    const float luma = scaled(first[at], zero, span);
    float red = luma, green = luma, blue = luma;
    if (FAMILY == RGB) {
        green = scaled(second[at], zero, span);
        blue = scaled(third[at], zero, span);
    }
    if (FAMILY == YUV) {
        const long long corner =
            ((long long)n * chroma_height + at_y[y]) * chroma_width + at_x[x];
        float along[TAPS_X], cb = 0.0f, cr = 0.0f;
#pragma unroll
        for (int i = 0; i < TAPS_X; ++i) along[i] = share_x[x * TAPS_X + i];
#pragma unroll
        for (int j = 0; j < TAPS_Y; ++j) {
            const CODE* blues = second + corner + j * chroma_width;
            const CODE* reds = third + corner + j * chroma_width;
            float one = 0.0f, other = 0.0f;
#pragma unroll
            for (int i = 0; i < TAPS_X; ++i) {
                one = fmaf(along[i], (float)blues[i] - chroma_zero, one);
                other = fmaf(along[i], (float)reds[i] - chroma_zero, other);
            }
            const float down = share_y[y * TAPS_Y + j];
            cb = fmaf(down, one, cb);
            cr = fmaf(down, other, cr);
        }
        cb = cb / chroma_span;
        cr = cr / chroma_span;
        red = fmaf(red_of_cr, cr, luma);
        green = fmaf(green_of_cr, cr, fmaf(green_of_cb, cb, luma));
        blue = fmaf(blue_of_cb, cb, luma);
    }
    out[0] = red;
    out[pixels] = green;
    out[2 * pixels] = blue;
}
