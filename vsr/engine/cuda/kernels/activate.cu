// Bias, and PReLU or LeakyReLU, on what a convolution without bias has left: in place, one pass.
//
// Pixels lie one after the other, the channels of each side by side (channels-last), in units of 16
// bytes. A thread comes to the same channels again and again, so it reads their bias and slopes
// once; the number of blocks is such that it does. All threads together go from the end, which the
// convolution wrote last, to the beginning, which the next one reads first: some of either is still
// in the second cache.
//
// It rounds where PyTorch's two operations round, so its results are theirs, bit for bit.
//
// Set from outside: FORMAT (0: fp16, 1: bf16, 2: fp32), MANY (a slope for each channel, or one).

typedef unsigned int u32;

enum : int {
    FP16, BF16, FP32,
    THREADS = 256,
    AHEAD = 4,  // units of a thread that are on their way together
    NUMBERS = FORMAT == FP32 ? 4 : 8,  // of a unit
};

__device__ __forceinline__ float as_float(u32 bits) {
    union { u32 bits; float number; } of = {bits};
    return of.number;
}

__device__ __forceinline__ u32 as_bits(float number) {
    union { float number; u32 bits; } of = {number};
    return of.bits;
}

__device__ __forceinline__ float2 unpack(u32 both) {
    float2 of;
    if (FORMAT == BF16) {
        of.x = as_float(both << 16), of.y = as_float(both & 0xffff0000u);
    } else {
        asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
            : "=f"(of.x), "=f"(of.y) : "r"(both));
    }
    return of;
}

// The upper half of a float, to the nearest, half to even. (What is no number stays none.)
__device__ __forceinline__ u32 shortened(float number) {
    const u32 bits = as_bits(number);
    return number == number ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fff;
}

__device__ __forceinline__ u32 pack(float low, float high) {
    if (FORMAT == BF16) return shortened(low) | shortened(high) << 16;
    unsigned short of_low, of_high;  // (Turing has no instruction for both.)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(of_low) : "f"(low));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(of_high) : "f"(high));
    return of_low | (u32)of_high << 16;
}

__device__ __forceinline__ void spread(float (&to)[NUMBERS], uint4 from) {
    const u32 words[] = {from.x, from.y, from.z, from.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (FORMAT == FP32) {
            to[i] = as_float(words[i]);
        } else {
            const float2 both = unpack(words[i]);
            to[2 * i % NUMBERS] = both.x, to[(2 * i + 1) % NUMBERS] = both.y;
        }
    }
}

__device__ __forceinline__ uint4 joined(const float (&of)[NUMBERS]) {
    u32 words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        words[i] = FORMAT == FP32 ? as_bits(of[i]) : pack(of[2 * i % NUMBERS], of[(2 * i + 1) % NUMBERS]);
    return make_uint4(words[0], words[1], words[2], words[3]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) activate(
    uint4* __restrict__ features, const uint4* __restrict__ bias, const uint4* __restrict__ slopes,
    float slope, int units, int units_of_pixel)
{
    const int stride = gridDim.x * THREADS, first = blockIdx.x * THREADS + threadIdx.x;
    if (first >= units) return;
    float added[NUMBERS], times[NUMBERS];
    spread(added, bias[first % units_of_pixel]);
    if (MANY) spread(times, slopes[first % units_of_pixel]);

    for (int last = (units - 1 - first) / stride; last >= 0; last -= AHEAD) {
        uint4 held[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i)
            if (i <= last) held[i] = features[first + (last - i) * stride];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (i > last) continue;
            float of[NUMBERS];
            spread(of, held[i]);
#pragma unroll
            for (int n = 0; n < NUMBERS; ++n) of[n] += added[n];
            // What PyTorch's addition would have stored.
            spread(of, joined(of));
#pragma unroll
            for (int n = 0; n < NUMBERS; ++n)
                of[n] = of[n] > 0.0f ? of[n] : (MANY ? times[n] : slope) * of[n];
            features[first + (last - i) * stride] = joined(of);
        }
    }
}
