// Products with weights that are plain numbers: F32, F16 or BF16, chosen by ELEMENT (elements.cuh). Sums are f32.
// One warp makes one output of up to ROWS rows, as in products.cu.

#define WARPS 4

template <int ROWS>
__device__ inline void row_products(const ELEMENT* row, int width, const float* x, const i64* index, float* sum) {
    for (int r = 0; r < ROWS; r++) sum[r] = 0.0f;
    int whole = width % 8 == 0 ? width : 0;  // then every row starts at a multiple of 8 values: 16 bytes at a time
    for (int k = threadIdx.x % WARP * 8; k < whole; k += WARP * 8) {
        float w[8];
        load_eight(row + k, w);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float4* at = (const float4*)(x + index[r] * width + k);
            float4 a = at[0], b = at[1];
            sum[r] += (w[0] * a.x + w[1] * a.y + w[2] * a.z + w[3] * a.w) +
                      (w[4] * b.x + w[5] * b.y + w[6] * b.z + w[7] * b.w);
        }
    }
    for (int k = whole + threadIdx.x % WARP; k < width; k += WARP) {
        float w = to_float(row[k]);
        for (int r = 0; r < ROWS; r++) sum[r] += w * x[index[r] * width + k];
    }
    for (int r = 0; r < ROWS; r++) sum[r] = warp_sum(sum[r]);
}

template <int ROWS>
__device__ inline void multiply(
    const ELEMENT* w, int outs, int width, const float* x, int rows, const float* factor, const float* bias, float* y) {
    int out = blockIdx.x * WARPS + threadIdx.x / WARP, first = blockIdx.y * ROWS;
    if (out >= outs) return;
    i64 index[ROWS];
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++) index[r] = min(first + r, rows - 1);
    row_products<ROWS>(w + (i64)out * width, width, x, index, sum);
    if (threadIdx.x % WARP != 0) return;
    for (int r = 0; r < ROWS && first + r < rows; r++) {
        float value = factor ? sum[r] * factor[0] : sum[r];
        y[(i64)(first + r) * outs + out] = bias ? value + bias[out] : value;
    }
}

#define MULTIPLY \
    const ELEMENT *w, int outs, int width, const float *x, int rows, const float *factor, const float *bias, float *y
extern "C" __global__ void multiply_1(MULTIPLY) { multiply<1>(w, outs, width, x, rows, factor, bias, y); }
extern "C" __global__ void multiply_2(MULTIPLY) { multiply<2>(w, outs, width, x, rows, factor, bias, y); }
extern "C" __global__ void multiply_4(MULTIPLY) { multiply<4>(w, outs, width, x, rows, factor, bias, y); }
extern "C" __global__ void multiply_8(MULTIPLY) { multiply<8>(w, outs, width, x, rows, factor, bias, y); }

template <int ROWS>
__device__ inline void multiply_pairs(const ELEMENT* w, int outs, int width, const float* x, int expert,
    const int* pairs, int count, int per_row, const float* factor, float* y) {
    int out = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (out >= outs) return;
    i64 index[ROWS];
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++) index[r] = pairs[min(r, count - 1)] / per_row;
    row_products<ROWS>(w + ((i64)expert * outs + out) * width, width, x, index, sum);
    if (threadIdx.x % WARP != 0) return;
    for (int r = 0; r < ROWS && r < count; r++)
        y[(i64)pairs[r] * outs + out] = factor ? sum[r] * factor[expert] : sum[r];
}

#define EXPERTS const ELEMENT *w, int outs, int width, const float *x, int per_row, const float *factor, float *y
extern "C" __global__ void multiply_experts(EXPERTS, const int* ids) {
    int pair = blockIdx.y;
    multiply_pairs<1>(w, outs, width, x, ids[pair], &pair, 1, per_row, factor, y);
}

extern "C" __global__ void multiply_expert_tiles(EXPERTS, const int* tiles, const int* order) {
    const int* tile = tiles + 3 * blockIdx.y;
    if (tile[2] == 0) return;
    multiply_pairs<8>(w, outs, width, x, tile[0], order + tile[1], tile[2], per_row, factor, y);
}

// Rows ids[0], ids[1], ... of w as f32 (count, width).
extern "C" __global__ void take_rows(const ELEMENT* w, int width, const int* ids, i64 count, float* y) {
    i64 n = thread_index();
    if (n < count * width) y[n] = to_float(w[(i64)ids[n / width] * width + n % width]);
}

// All values as f16.
extern "C" __global__ void to_halves(const ELEMENT* w, i64 total, u16* y) {
    i64 n = thread_index();
    if (n < total) y[n] = float_to_half(to_float(w[n]));
}
