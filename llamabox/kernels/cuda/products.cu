// Products of rows quantised to 8 bits with the weights of one block type, FORMAT; see formats.cuh.
//
// A row x of D values is D / 32 groups: 32 signed bytes each, and a scale with the integer sums of both halves.
// One warp makes one output of up to ROWS rows: each lane takes every 32nd group, unpacks the weights once and
// multiplies them by the rows' integers. Integer sums are exact; f32 sums run over a lane's groups, then over lanes.

#define WARPS 4

struct Quantised {
    float scale;
    i16 sum[2];
};

// The nearest number with 11 significant bits: ggml keeps these scales in f16.
__device__ inline float with_11_bits(float x) {
    int bits = __float_as_int(x);
    return __int_as_float((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff);
}

// x f32 (rows, 32 * groups) -> q i8 (rows, 32 * groups), meta (rows, groups), as the cpu backend and ggml make them. A
// group that has a value which is not finite gets a scale of NaN. One warp a group.
extern "C" __global__ void quantise_rows(const float* x, i8* q, Quantised* meta, i64 total) {
    i64 group = thread_index() / WARP;
    if (group >= total) return;
    i64 at = group * 32 + threadIdx.x % WARP;
    float value = x[at], largest = warp_max(fabsf(value));
    bool good = warp_max(is_finite(value) ? 0.0f : 1.0f) == 0.0f;
    bool empty = largest <= 1e-30f;  // then 1 / scale must not overflow
    float scale = !good ? NOT_A_NUMBER : empty ? 0.0f : with_11_bits(largest / 127.0f);
    int code = good && !empty ? (int)rintf(value * (127.0f / largest)) : 0;
    q[at] = (i8)code;
    float sum = (float)code;  // of 16 lanes: at most 2032, exact
    for (int mask = 8; mask > 0; mask >>= 1) sum += shuffle_xor(sum, mask);
    if (threadIdx.x % 16 == 0) meta[group].sum[threadIdx.x % WARP / 16] = (i16)sum;
    if (threadIdx.x % WARP == 0) meta[group].scale = scale;
}

__device__ inline float group_product(const Group& w, const i8* q, const Quantised& x) {
    const int4 a = ((const int4*)q)[0], b = ((const int4*)q)[1];
    int first = dot4(w.q[3], a.w, dot4(w.q[2], a.z, dot4(w.q[1], a.y, dot4(w.q[0], a.x, 0))));
    int second = dot4(w.q[7], b.w, dot4(w.q[6], b.z, dot4(w.q[5], b.y, dot4(w.q[4], b.x, 0))));
    float y = w.scale[0] * (float)(first - FORMAT::OFFSET * x.sum[0]);
    y += w.scale[1] * (float)(second - FORMAT::OFFSET * x.sum[1]);
    if (FORMAT::MINIMUMS) y += w.minimum[0] * x.sum[0] + w.minimum[1] * x.sum[1];
    return y * x.scale;
}

// The products of one weight row with ROWS rows, whole in every lane. index: the rows of x.
template <int ROWS>
__device__ inline void row_products(
    const u8* row, int groups, const i8* q, const Quantised* meta, const i64* index, float* sum) {
    for (int r = 0; r < ROWS; r++) sum[r] = 0.0f;
    for (int g = threadIdx.x % WARP; g < groups; g += WARP) {
        Group w;
        FORMAT::load(row + (i64)(g / FORMAT::GROUPS) * FORMAT::BYTES, g % FORMAT::GROUPS, w);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            i64 at = index[r] * groups + g;
            sum[r] += group_product(w, q + at * 32, meta[at]);
        }
    }
    for (int r = 0; r < ROWS; r++) sum[r] = warp_sum(sum[r]);
}

// y (rows, outs) = x w' * factor + bias; factor and bias may be null. Grid: outputs / WARPS, rows / ROWS.
template <int ROWS>
__device__ inline void multiply(const u8* w, i64 row_bytes, int outs, int groups, const i8* q, const Quantised* meta,
    int rows, const float* factor, const float* bias, float* y) {
    int out = blockIdx.x * WARPS + threadIdx.x / WARP, first = blockIdx.y * ROWS;
    if (out >= outs) return;
    i64 index[ROWS];
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++) index[r] = min(first + r, rows - 1);
    row_products<ROWS>(w + out * row_bytes, groups, q, meta, index, sum);
    if (threadIdx.x % WARP != 0) return;
    for (int r = 0; r < ROWS && first + r < rows; r++) {
        float value = factor ? sum[r] * factor[0] : sum[r];
        y[(i64)(first + r) * outs + out] = bias ? value + bias[out] : value;
    }
}

#define MULTIPLY                                                                                    \
    const u8 *w, i64 row_bytes, int outs, int groups, const i8 *q, const Quantised *meta, int rows, \
        const float *factor, const float *bias, float *y
extern "C" __global__ void multiply_1(MULTIPLY) {
    multiply<1>(w, row_bytes, outs, groups, q, meta, rows, factor, bias, y);
}
extern "C" __global__ void multiply_2(MULTIPLY) {
    multiply<2>(w, row_bytes, outs, groups, q, meta, rows, factor, bias, y);
}
extern "C" __global__ void multiply_4(MULTIPLY) {
    multiply<4>(w, row_bytes, outs, groups, q, meta, rows, factor, bias, y);
}
extern "C" __global__ void multiply_8(MULTIPLY) {
    multiply<8>(w, row_bytes, outs, groups, q, meta, rows, factor, bias, y);
}

// Experts. Pair n is row n / per_row of x with expert ids[n]; y (pairs, outs). factor: null, or one an expert.
// A tile of the plan (experts.cu) is {expert, first, count}: up to 8 pairs order[first] .. of one expert, or count 0.
template <int ROWS>
__device__ inline void multiply_pairs(const u8* w, i64 row_bytes, int outs, int groups, const i8* q,
    const Quantised* meta, int expert, const int* pairs, int count, int per_row, const float* factor, float* y) {
    int out = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (out >= outs) return;
    i64 index[ROWS];
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++) index[r] = pairs[min(r, count - 1)] / per_row;
    row_products<ROWS>(w + ((i64)expert * outs + out) * row_bytes, groups, q, meta, index, sum);
    if (threadIdx.x % WARP != 0) return;
    for (int r = 0; r < ROWS && r < count; r++)
        y[(i64)pairs[r] * outs + out] = factor ? sum[r] * factor[expert] : sum[r];
}

#define EXPERTS                                                                                        \
    const u8 *w, i64 row_bytes, int outs, int groups, const i8 *q, const Quantised *meta, int per_row, \
        const float *factor, float *y
extern "C" __global__ void multiply_experts(EXPERTS, const int* ids) {
    int pair = blockIdx.y;
    multiply_pairs<1>(w, row_bytes, outs, groups, q, meta, ids[pair], &pair, 1, per_row, factor, y);
}

extern "C" __global__ void multiply_expert_tiles(EXPERTS, const int* tiles, const int* order) {
    const int* tile = tiles + 3 * blockIdx.y;
    if (tile[2] == 0) return;
    multiply_pairs<8>(w, row_bytes, outs, groups, q, meta, tile[0], order + tile[1], tile[2], per_row, factor, y);
}
