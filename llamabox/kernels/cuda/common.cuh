// What every kernel uses. Compiled by NVRTC (CUDA), by hipRTC (ROCm) and, in tests, by a C++ compiler with a header
// that emulates a grid (tests/kernels/emulated/); nothing is included, so that no toolkit has to be installed.
//
// A warp here is 32 lanes on every device: where the hardware's has 64 it is half of one, shuffles have a width of 32,
// and nothing relies on lanes running together.

#define WARP 32
#define INF __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#if defined(__HIPCC_RTC__) || defined(__HIP__)

__device__ inline float half_to_float(u16 bits) {
    union {
        u16 u;
        _Float16 h;
    } both;
    both.u = bits;
    return (float)both.h;
}

__device__ inline u16 float_to_half(float x) {
    union {
        u16 u;
        _Float16 h;
    } both;
    both.h = (_Float16)x;
    return both.u;
}

__device__ inline float shuffle_xor(float x, int mask) { return __shfl_xor(x, mask, WARP); }

#elif defined(__CUDACC__)

__device__ inline float half_to_float(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ inline u16 float_to_half(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ inline float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask, WARP); }

#endif

// The sum of four products of signed bytes, added to `sum`.
__device__ inline int dot4(int a, int b, int sum) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610
    int result;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    for (int i = 0; i < 32; i += 8) sum += (int)(i8)(a >> i) * (int)(i8)(b >> i);
    return sum;
#endif
}

__device__ inline float bf16_to_float(u16 bits) { return __int_as_float((int)((u32)bits << 16)); }

// To nearest even, as kv.encode does.
__device__ inline u16 float_to_bf16(float x) {
    u32 bits = (u32)__float_as_int(x);
    return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

__device__ inline bool is_finite(float x) { return fabsf(x) < INF; }

#ifndef WARP_SUM_AND_MAX  // the emulated grid has its own, with the same order of sums
__device__ inline float warp_sum(float x) {
    for (int mask = WARP / 2; mask > 0; mask >>= 1) x += shuffle_xor(x, mask);
    return x;
}

__device__ inline float warp_max(float x) {
    for (int mask = WARP / 2; mask > 0; mask >>= 1) x = fmaxf(x, shuffle_xor(x, mask));
    return x;
}
#endif

// The sum over all threads of a block of at most 1024, given to each of them.
__device__ inline float block_sum(float x) {
    __shared__ float of_warp[32];
    int warp = threadIdx.x / WARP, warps = (blockDim.x + WARP - 1) / WARP;
    x = warp_sum(x);
    __syncthreads();  // what an earlier call wrote has been read
    if (threadIdx.x % WARP == 0) of_warp[warp] = x;
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < warps; i++) total += of_warp[i];
    return total;
}

// Flat index of this thread in a one-dimensional grid, and the number of threads.
__device__ inline i64 thread_index() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline i64 thread_count() { return (i64)gridDim.x * blockDim.x; }
