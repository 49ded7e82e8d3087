// What all kernels have in common: instructions that C++ has no name for, and tiles.

typedef unsigned int u32;

extern __shared__ uint4 shared[];

__device__ __forceinline__ u32 shared_address(const void* at) {
    return (u32)__cvta_generic_to_shared(at);
}

// 16 bytes from global to shared memory, without waiting; zeros where `there` is false. Nothing at
// all unless `wanted`: as a predicate, since a branch would keep the assembler from mixing copies
// with arithmetic.
__device__ __forceinline__ void copy_16(u32 to, const void* from, bool there, bool wanted) {
    asm volatile("{.reg .pred wanted; setp.ne.b32 wanted, %3, 0; "
                 "@wanted cp.async.cg.shared.global [%0], [%1], 16, %2;}"
                 :: "r"(to), "l"(from), "r"(there ? 16 : 0), "r"((int)wanted) : "memory");
}

__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int LEFT>  // groups that may still be on their way
__device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
}

// Four 8 x 8 matrices of 16-bit numbers; lane l names row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(u32 (&to)[4], u32 from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
}

__device__ __forceinline__ void load_16(uint4& to, u32 from) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to.x), "=r"(to.y), "=r"(to.z), "=r"(to.w) : "r"(from) : "memory");
}

__device__ __forceinline__ void multiply(float (&sum)[4], const uint4& a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 pack(float low, float high) {
    u32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

__device__ __forceinline__ float2 unpack(u32 both) {
    float2 of;
    asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
        : "=f"(of.x), "=f"(of.y) : "r"(both));
    return of;
}

// x above zero, slope * x below, for any slope: slopes above 1 and below 0 occur. Written as
// (1 + slope) / 2 * x + (1 - slope) / 2 * |x|: two instructions instead of a comparison and a choice.
struct Slope {
    float even, odd;
};

__device__ __forceinline__ float activate(float x, Slope slope) {
    return fmaf(slope.even, x, slope.odd * fabsf(x));
}

struct Tile {
    int n, y, x;
};

// Tiles are counted along rows, rows of tiles down the pictures.
template <int TALL, int WIDE>
__device__ __forceinline__ Tile tile_at(int index, int height, int width) {
    int across = (width + WIDE - 1) / WIDE, down = (height + TALL - 1) / TALL;
    int row = index / across;
    return {row / down, row % down * TALL, (index - row * across) * WIDE};
}

__device__ __forceinline__ void load_8(float (&to)[8], const float* from) {
    float4 low = *(const float4*)from, high = *(const float4*)(from + 4);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

__device__ __forceinline__ void load_slopes(Slope (&to)[8], const float* from) {
    float of[8];
    load_8(of, from);
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = {0.5f + 0.5f * of[i], 0.5f - 0.5f * of[i]};
}
