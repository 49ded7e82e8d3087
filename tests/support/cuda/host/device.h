// CUDA C++ for g++: the words that our kernels use, and the instructions of their inline assembly.
//
// Each instruction is a function of that name with _ for dots, and has the operands in their order
// there (`translate.py` writes the calls). What they do is written from the PTX ISA.
#pragma once
#include <math.h>  // C's own headers, which are read in a tenth of the time
#include <stdint.h>
#include <string.h>

#include "image.h"

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __global__
#define __launch_bounds__(...)
#define __restrict__ __restrict

typedef unsigned int u32;
struct Dimensions { u32 x, y, z; };
extern Dimensions threadIdx, blockIdx, blockDim, gridDim;

// No number, in any width of float.
template <class T> constexpr T nothing(const T& = T()) { return (T)-1; }
template <> constexpr float nothing(const float&) { return __builtin_nanf("0x3fffff"); }

// They are read and written whole, as NVIDIA's compiler has it, and hold nothing at first.
template <class T> struct alignas(8) Pair {
    T x, y;
    typedef T Whole __attribute__((vector_size(8), may_alias));
    constexpr Pair() : x(nothing<T>()), y(x) {}
    Pair(T x, T y) : x(x), y(y) {}
    Pair(const Pair& of) { const Whole a = *(const Whole*)&of; x = a[0], y = a[1]; }
    Pair& operator=(Pair of) { *(Whole*)this = Whole{of.x, of.y}; return *this; }
};
template <class T> struct alignas(16) Four {
    T x, y, z, w;
    typedef T Whole __attribute__((vector_size(16), may_alias));
    constexpr Four() : x(nothing<T>()), y(x), z(x), w(x) {}
    Four(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
    Four(const Four& of) {
        const Whole a = *(const Whole*)&of;
        x = a[0], y = a[1], z = a[2], w = a[3];
    }
    Four& operator=(Four of) { *(Whole*)this = Whole{of.x, of.y, of.z, of.w}; return *this; }
};
typedef Pair<float> float2;
typedef Pair<u32> uint2;
typedef Four<float> float4;
typedef Four<u32> uint4;
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline u32 min(u32 a, u32 b) { return a < b ? a : b; }
inline u32 min(u32 a, int b) { return min(a, (u32)b); }
// As NVRTC, g++ makes one rounding of a product and a sum, but for these.
inline float apart(float value) {
    asm("" : "+x"(value));
    return value;
}
inline float __fadd_rn(float a, float b) { return apart(a) + apart(b); }
inline float __fmul_rn(float a, float b) { return apart(a * b); }
inline int __float2int_rn(float a) { return (int)nearbyintf(a); }
template <class T> inline T __ldg(const T* at) { return *at; }

// --- what `machine.cpp` does for the thread that calls ---

extern "C" {
u32 machine_shared_address(const void* at);
void machine_barrier();
void machine_warp_barrier();
void machine_copy(u32 to, const void* from, bool there);
void machine_commit();
void machine_wait(int left);
void machine_load_matrices(u32* const* to, u32 from);
void machine_load_16(u32* const* to, u32 from);
void machine_multiply(float* const* sums, const u32* a, const u32* b);
void machine_multiply_halves(u32* const* sums, const u32* a, const u32* b);
void machine_trap();
}

inline size_t __cvta_generic_to_shared(const void* at) { return machine_shared_address(at); }
inline void __syncthreads() { machine_barrier(); }
inline void __syncwarp() { machine_warp_barrier(); }
inline void __trap() { machine_trap(); }

inline u32 half_bits(float value) {
    const _Float16 rounded = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &rounded, 2);
    return bits;
}

inline float half_value(u32 bits) {
    const uint16_t low = (uint16_t)bits;
    _Float16 value;
    memcpy(&value, &low, 2);
    return (float)value;
}

namespace ptx {
inline void setp_ne_b32(u32& to, u32 a, u32 b) { to = a != b; }
inline void mov_b32(u32& low, u32& high, u32 both) { low = both & 0xffff, high = both >> 16; }
inline void cvt_f32_f16(float& to, u32 from) { to = half_value(from); }
inline void cvt_rn_f16_f32(uint16_t& to, float from) { to = (uint16_t)half_bits(from); }
inline void cvt_rn_f16x2_f32(u32& to, float high, float low) {
    to = half_bits(high) << 16 | half_bits(low);
}
inline void cp_async_cg_shared_global(u32 to, const void* from, int bytes, u32 read) {
    if (bytes != 16 || (read != 0 && read != 16)) machine_trap();
    machine_copy(to, from, read == 16);
}
inline void cp_async_commit_group() { machine_commit(); }
inline void cp_async_wait_group(int left) { machine_wait(left); }
inline void ld_shared_v4_u32(u32& a, u32& b, u32& c, u32& d, u32 from) {
    u32* const to[] = {&a, &b, &c, &d};
    machine_load_16(to, from);
}
inline void ldmatrix_sync_aligned_m8n8_x4_shared_b16(u32& a, u32& b, u32& c, u32& d, u32 from) {
    u32* const to[] = {&a, &b, &c, &d};
    machine_load_matrices(to, from);
}
// The sums that are written are those that are read: what else there may be is not emulated.
inline void mma_sync_aligned_m16n8k16_row_col_f32_f16_f16_f32(
    float& d0, float& d1, float& d2, float& d3, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1,
    float& c0, float& c1, float& c2, float& c3)
{
    if (&d0 != &c0 || &d1 != &c1 || &d2 != &c2 || &d3 != &c3) machine_trap();
    float* const sums[] = {&d0, &d1, &d2, &d3};
    const u32 a[] = {a0, a1, a2, a3}, b[] = {b0, b1};
    machine_multiply(sums, a, b);
}
inline void mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16(
    u32& d0, u32& d1, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1, u32& c0, u32& c1)
{
    if (&d0 != &c0 || &d1 != &c1) machine_trap();
    u32* const sums[] = {&d0, &d1};
    const u32 a[] = {a0, a1, a2, a3}, b[] = {b0, b1};
    machine_multiply_halves(sums, a, b);
}
}  // namespace ptx

// --- how a kernel is called with the driver's pointers to its arguments ---

template <int... N> struct Numbers {};
template <int LEFT, int... N> struct Counted : Counted<LEFT - 1, LEFT - 1, N...> {};
template <int... N> struct Counted<0, N...> { using Type = Numbers<N...>; };

template <class... A, int... N>
inline void call(void (*kernel)(A...), void** given, Numbers<N...>) {
    kernel(*(A*)given[N]...);
}

template <class... A> inline void call(void (*kernel)(A...), void** given) {
    call(kernel, given, typename Counted<sizeof...(A)>::Type());
}

template <class... A> struct Parameters {
    static constexpr int count = sizeof...(A);
    static constexpr int sizes[] = {(int)sizeof(A)...};
};
template <class... A> Parameters<A...> parameters_of(void (*)(A...));
