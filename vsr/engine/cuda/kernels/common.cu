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

// The same with sums of fp16, two in each 32 bits: twice as fast on some GPUs.
__device__ __forceinline__ void multiply(u32 (&sum)[2], const uint4& a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 "
        "{%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
        : "+r"(sum[0]), "+r"(sum[1])
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

// A tile of one of several pictures, as tables.py lists them. The pictures, of any sizes, lie one
// after the other; pixels are counted over all of them.
struct Tile {
    int at;     // its first pixel
    int width;  // of its picture: by how much the pixel below lies behind
    // Of the tile and the one pixel around it, what is in the picture: rows from byte 0 to byte 1,
    // columns from byte 2 to byte 3. 0: there are no more tiles.
    u32 edges;
    u32 place;  // which picture, in 16 bits; above them its own column there, in 16s
};

__device__ __forceinline__ Tile tile_at(const uint4* tiles) {
    const uint4 of = *tiles;
    return {(int)of.x, (int)of.y, of.z, of.w};
}

// A tile with the one pixel around it: (row, column) is pixel `begin` + row * width + column.
struct Around {
    int begin, width;
    u32 top, rows, left, columns;  // of it, that are in the picture

    __device__ __forceinline__ explicit Around(Tile tile)
        : begin(tile.at - tile.width - 1), width(tile.width),
          top(tile.edges & 255), rows((tile.edges >> 8 & 255) - top),
          left(tile.edges >> 16 & 255), columns((tile.edges >> 24) - left)
    {
        // Or the compiler takes the bytes apart anew for each piece that is copied.
        asm volatile("" : "+r"(top), "+r"(rows), "+r"(left), "+r"(columns));
    }

    __device__ __forceinline__ bool has(int row, int column) const {
        return (u32)row - top < rows && (u32)column - left < columns;
    }
};

// How much of a tile, without what is around it, is in the picture.
struct Extent {
    int rows, columns;

    __device__ __forceinline__ explicit Extent(Tile tile)
        : rows((int)(tile.edges >> 8 & 255) - 1), columns((int)(tile.edges >> 24) - 1) {}

    __device__ __forceinline__ bool has(int row, int column) const {
        return row < rows && column < columns;
    }
};

// Where a tile's picture comes from and goes to.
struct Piece {
    const float* own;  // the tile's first pixel in the source
    int stride_c, stride_y, stride_x;
    int x;      // the tile's first column
    int ahead;  // pixels of all pictures before this one
    int above;  // pixels of this one in rows above the tile
    int area;   // pixels of this one
};

// 32 bytes of each: offset of its first number, in 8; the strides, pixels before it, its own.
__device__ __forceinline__ Piece piece_of(const uint4* pieces, const float* picture, Tile tile) {
    const uint4 low = pieces[2 * (tile.place & 65535)], high = pieces[2 * (tile.place & 65535) + 1];
    const long long offset = (long long)((unsigned long long)low.y << 32 | low.x);
    const int x = (tile.place >> 16) * 16, above = tile.at - (int)high.y - x;
    const int y = above / tile.width;
    const float* own = picture + offset + y * (int)low.w + x * (int)high.x;
    return {own, (int)low.z, (int)low.w, (int)high.x, x, (int)high.y, above, (int)high.z};
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
