// The CUDA that the kernels use, for a C++ compiler: a grid's blocks run one after another, a block's threads as
// fibers. A fiber runs until it waits: at __syncthreads for its block, at a shuffle for its warp. What would hang a
// GPU, a barrier that some threads of a block never reach, or a shuffle without some lanes of its warp, ends the launch
// with an error.

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__

struct Index {
    unsigned x, y, z;
};
struct int4 {
    int x, y, z, w;
};
struct float4 {
    float x, y, z, w;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float __int_as_float(int i) {
    float f;
    memcpy(&f, &i, 4);
    return f;
}
static inline int __float_as_int(float f) {
    int i;
    memcpy(&i, &f, 4);
    return i;
}
static inline int atomicAdd(int* at, int x) {
    int before = *at;
    *at += x;
    return before;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }

static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selectors) {
    unsigned long long both = a | (unsigned long long)b << 32;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(both >> 8 * (selectors >> 4 * i & 7) & 255) << 8 * i;
    return result;
}

static inline float half_to_float(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    float size = exponent == 31 ? (mantissa ? NAN : INFINITY)
                                : ldexpf(exponent ? mantissa + 1024 : mantissa, (exponent ? exponent : 1) - 25);
    return h >> 15 ? -size : size;
}

static inline uint16_t float_to_half(float x) {
    uint16_t sign = (unsigned)__float_as_int(x) >> 16 & 0x8000;
    float size = fabsf(x);
    if (size != size) return sign | 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    int exponent = size < 6.103515625e-05f ? -14 : (__float_as_int(size) >> 23) - 127;
    int rounded =
        (int)rintf(ldexpf(size, 10 - exponent));  // to nearest even; 1024 .. 2048, below for subnormal numbers
    return sign | (uint16_t)(rounded + ((exponent + 14) << 10));
}

// ---- fibers ---------------------------------------------------------------------------------------------------------

enum State { READY, AT_BARRIER, AT_WARP, DONE };
enum { MOST = 1024, STACK = 1 << 16, LANES = 32 };

struct Fiber {
    State state;
    int phase;
    jmp_buf here;
    bool started;
    float offered[2];
};

static Fiber fibers[MOST];
static char* stacks;
static int current;
static jmp_buf scheduler;
static void (*body)(void*);
static void* body_args;

static void wait_as(State state) {
    Fiber& fiber = fibers[current];
    fiber.state = state;
    if (_setjmp(fiber.here) == 0) _longjmp(scheduler, 1);
}

static inline void __syncthreads() { wait_as(AT_BARRIER); }

static inline float shuffle_xor(float x, int mask) {
    int me = current;
    int phase = fibers[me].phase++ & 1;  // the lane that runs ahead is at most one shuffle ahead
    fibers[me].offered[phase] = x;
    wait_as(AT_WARP);
    return fibers[me ^ mask].offered[phase];
}

// The sum or maximum of a warp, with the pairs that five shuffles would make, for the price of one.
#define WARP_SUM_AND_MAX
template <class F>
static inline float all_of_warp(float x, F pair) {
    int me = current, first = me & ~(LANES - 1);
    int phase = fibers[me].phase++ & 1;
    fibers[me].offered[phase] = x;
    wait_as(AT_WARP);
    float values[LANES];
    for (int i = 0; i < LANES; i++) values[i] = fibers[first + i].offered[phase];
    for (int half = LANES / 2; half > 0; half >>= 1)
        for (int i = 0; i < half; i++) values[i] = pair(values[i], values[i + half]);
    return values[0];
}

static inline float warp_sum(float x) {
    return all_of_warp(x, [](float a, float b) { return a + b; });
}

static inline float warp_max(float x) {
    return all_of_warp(x, [](float a, float b) { return fmaxf(a, b); });
}

static void fiber_main() {
    for (;;) {
        body(body_args);
        wait_as(DONE);
    }
}

static ucontext_t entry, back;

static void run_fiber(int t) {
    current = t;
    threadIdx.x = t;
    Fiber& fiber = fibers[t];
    fiber.state = READY;
    if (_setjmp(scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.here, 1);
    fiber.started = true;
    getcontext(&entry);
    entry.uc_stack.ss_sp = stacks + (size_t)t * STACK;
    entry.uc_stack.ss_size = STACK;
    entry.uc_link = 0;
    makecontext(&entry, fiber_main, 0);
    setcontext(&entry);
}

// Lets waiting lanes or threads go on; false when nobody can.
static bool release(int threads, int* live) {
    bool any = false, all_at_barrier = true;
    *live = 0;
    for (int warp = 0; warp < threads; warp += LANES) {
        int waiting = 0, end = min(warp + LANES, threads);
        for (int t = warp; t < end; t++) {
            waiting += fibers[t].state == AT_WARP;
            *live += fibers[t].state != DONE;
            all_at_barrier &= fibers[t].state == AT_BARRIER || fibers[t].state == DONE;
        }
        if (waiting != LANES) continue;
        for (int t = warp; t < end; t++) fibers[t].state = READY;
        any = true;
    }
    if (all_at_barrier) {
        for (int t = 0; t < threads; t++) {
            if (fibers[t].state == AT_BARRIER) fibers[t].state = READY, any = true;
        }
    }
    return any;
}

static int run_block(int threads) {
    for (int t = 0; t < threads; t++) fibers[t].state = READY, fibers[t].phase = 0;
    for (;;) {
        for (int t = 0; t < threads; t++) {
            if (fibers[t].state == READY) run_fiber(t);
        }
        int live;
        bool any = release(threads, &live);
        if (live == 0) return 0;
        if (!any) return 1;
    }
}

template <class F, class... Args>
struct Call;
template <int... I>
struct Indices {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
    typedef Indices<I...> type;
};

template <class... A>
struct Bound {
    void (*kernel)(A...);
    void** args;
    template <int... I>
    void call(Indices<I...>) {
        kernel(*(A*)args[I]...);
    }
    static void run(void* self) { ((Bound*)self)->call(typename Count<sizeof...(A)>::type()); }
};

// Sizes of the kernel's arguments -> sizes; their number.
template <class... A>
int describe(void (*)(A...), int* sizes) {
    int all[] = {(int)sizeof(A)...};
    for (int i = 0; i < (int)sizeof...(A); i++) sizes[i] = all[i];
    return sizeof...(A);
}

template <class... A>
int launch(void (*kernel)(A...), void** args, const unsigned* grid, unsigned threads, char* memory) {
    Bound<A...> bound = {kernel, args};
    if (threads > MOST || threads % LANES) return 2;
    stacks = memory;
    body = Bound<A...>::run;
    body_args = &bound;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (unsigned t = 0; t < threads; t++) fibers[t].started = false;
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                if (run_block(threads)) return 1;
            }
    return 0;
}
