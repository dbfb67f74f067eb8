// Norms, softmax, activations, rotary positions: f32 in, f32 out.

// One block a row. weight may be null.
extern "C" __global__ void rms_norm(const float* x, const float* weight, int width, float eps, float* y) {
    i64 start = (i64)blockIdx.x * width;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < width; k += blockDim.x) sum += x[start + k] * x[start + k];
    float scale = 1.0f / sqrtf(block_sum(sum) / width + eps);
    for (int k = threadIdx.x; k < width; k += blockDim.x) {
        y[start + k] = weight ? x[start + k] * scale * weight[k] : x[start + k] * scale;
    }
}

// One block a row. weight and bias may be null.
extern "C" __global__ void layer_norm(
    const float* x, const float* weight, const float* bias, int width, float eps, float* y) {
    i64 start = (i64)blockIdx.x * width;
    float sum = 0.0f, squares = 0.0f;
    for (int k = threadIdx.x; k < width; k += blockDim.x) sum += x[start + k];
    float mean = block_sum(sum) / width;
    for (int k = threadIdx.x; k < width; k += blockDim.x) squares += (x[start + k] - mean) * (x[start + k] - mean);
    float scale = 1.0f / sqrtf(block_sum(squares) / width + eps);
    for (int k = threadIdx.x; k < width; k += blockDim.x) {
        float value = (x[start + k] - mean) * scale;
        if (weight) value *= weight[k];
        y[start + k] = bias ? value + bias[k] : value;
    }
}

// One warp a row.
extern "C" __global__ void softmax(const float* x, int width, i64 rows, float* y) {
    i64 row = thread_index() / WARP;
    if (row >= rows) return;
    float largest = -INF, sum = 0.0f;
    for (int k = threadIdx.x % WARP; k < width; k += WARP) largest = fmaxf(largest, x[row * width + k]);
    largest = warp_max(largest);
    for (int k = threadIdx.x % WARP; k < width; k += WARP) sum += expf(x[row * width + k] - largest);
    sum = warp_sum(sum);
    for (int k = threadIdx.x % WARP; k < width; k += WARP)
        y[row * width + k] = expf(x[row * width + k] - largest) / sum;
}

__device__ inline float sigmoid_of(float x) { return 0.5f * tanhf(0.5f * x) + 0.5f; }
__device__ inline float silu_of(float x) { return x / (1.0f + expf(-x)); }
__device__ inline float gelu_of(float x) {
    return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * x * (1.0f + 0.044715f * x * x)));
}
__device__ inline float gelu_erf_of(float x) { return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f)); }

// y = f(x), times `other` unless that is null.
#define ACTIVATION(f)                                              \
    for (i64 n = thread_index(); n < total; n += thread_count()) { \
        float value = f(x[n]);                                     \
        y[n] = other ? value * other[n] : value;                   \
    }

extern "C" __global__ void silu(const float* x, const float* other, i64 total, float* y) { ACTIVATION(silu_of) }
extern "C" __global__ void gelu(const float* x, const float* other, i64 total, float* y) { ACTIVATION(gelu_of) }
extern "C" __global__ void gelu_erf(const float* x, const float* other, i64 total, float* y) { ACTIVATION(gelu_erf_of) }
extern "C" __global__ void sigmoid(const float* x, const float* other, i64 total, float* y) { ACTIVATION(sigmoid_of) }
extern "C" __global__ void tanh_of(const float* x, const float* other, i64 total, float* y) { ACTIVATION(tanhf) }

extern "C" __global__ void softcap(const float* x, float cap, i64 total, float* y) {
    for (i64 n = thread_index(); n < total; n += thread_count()) y[n] = cap * tanhf(x[n] / cap);
}

// cos and sin (rows, pairs) of position * frequency, times magnitude; frequencies in f64, as positions reach far.
extern "C" __global__ void rope_angles(
    const int* pos, const double* frequency, float magnitude, int pairs, i64 total, float* cosines, float* sines) {
    i64 n = thread_index();
    if (n >= total) return;
    double angle = pos[n / pairs] * frequency[n % pairs];
    cosines[n] = (float)(cos(angle) * magnitude);
    sines[n] = (float)(sin(angle) * magnitude);
}

// x (rows, heads, size): the first 2 * pairs values of each head turn, pairs (2i, 2i + 1) or (i, i + pairs).
// One thread a pair, or a value that stays.
extern "C" __global__ void rope(const float* x, const float* cosines, const float* sines, int heads, int size,
    int pairs, int neox, i64 total, float* y) {
    i64 n = thread_index();
    if (n >= total) return;
    int per_head = size - pairs;
    i64 head = n / per_head;
    int i = (int)(n % per_head);
    const float* from = x + head * size;
    float* to = y + head * size;
    if (i >= pairs) {
        to[i + pairs] = from[i + pairs];
        return;
    }
    i64 angle = head / heads * pairs + i;
    int first = neox ? i : 2 * i, second = neox ? i + pairs : 2 * i + 1;
    float a = from[first], b = from[second], c = cosines[angle], s = sines[angle];
    to[first] = a * c - b * s;
    to[second] = a * s + b * c;
}

// 1 + scale * log(1 + floor(pos / period))
extern "C" __global__ void attention_temperature(const int* pos, float scale, int period, i64 total, float* y) {
    i64 n = thread_index();
    if (n < total) y[n] = (float)(1.0 + (double)scale * log1p((double)(pos[n] / period)));
}

// Rows rows[0], rows[1], ... of x (.., width).
extern "C" __global__ void take_rows(const float* x, int width, const int* rows, i64 total, float* y) {
    for (i64 n = thread_index(); n < total; n += thread_count()) y[n] = x[(i64)rows[n / width] * width + n % width];
}

// Rows as f16, divided by a power of two that makes the largest at most 1, and that power: no value overflows.
// One block a row. A row with a value that is not finite stays as it is.
extern "C" __global__ void halves_of_rows(const float* x, int width, u16* y, float* scale) {
    i64 start = (i64)blockIdx.x * width;
    __shared__ float of_warp[32];
    float largest = 0.0f;
    for (int k = threadIdx.x; k < width; k += blockDim.x) largest = fmaxf(largest, fabsf(x[start + k]));
    largest = warp_max(largest);
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = largest;
    __syncthreads();
    for (int i = 0; i < (blockDim.x + WARP - 1) / WARP; i++) largest = fmaxf(largest, of_warp[i]);
    int exponent = (__float_as_int(largest) >> 23) - 126;  // largest < 2^exponent
    bool usual = largest > 1e-37f && largest < 1e37f;
    float power = usual ? __int_as_float((exponent + 127) << 23) : 1.0f;
    float inverse = usual ? __int_as_float((127 - exponent) << 23) : 1.0f;
    for (int k = threadIdx.x; k < width; k += blockDim.x) y[start + k] = float_to_half(x[start + k] * inverse);
    if (threadIdx.x == 0) scale[blockIdx.x] = power;
}

// y (rows, width) = y * scale of the row * factor + bias, in place; factor and bias may be null.
extern "C" __global__ void finish_rows(
    float* y, const float* scale, const float* factor, const float* bias, int width, i64 total) {
    for (i64 n = thread_index(); n < total; n += thread_count()) {
        float value = y[n] * scale[n / width];
        if (factor) value *= factor[0];
        y[n] = bias ? value + bias[n % width] : value;
    }
}
