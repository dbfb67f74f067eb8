// Attention over KV blocks, flash style: scores of 32 cells at a time, with a running maximum and sum; all in f32.
//
// Compiled for head sizes E and EV of keys and values, and how they are stored, KEY and VALUE: Plain<f16>,
// Blocks<Q8_0>. A query is a row and a head of the group that shares a key head. A block of threads takes QUERIES of
// them, of one sequence, and every cell that they see, or one of `splits` parts of those cells, which combine() puts
// together. Within a tile of 32 cells, first a lane is a cell (scores), then a lane is an element of the value.

#define WARPS 4
#define CELLS 32
#define QUERIES (E > 128 ? 8 : 16)
#define MINE (QUERIES / WARPS)
#define PARTS ((EV + WARP - 1) / WARP)
#define LONGEST (E + 1 > EV ? E + 1 : EV)

// How rows of keys or values are read: SIZE values of the first `valid` of 32 rows, the others 0, by all threads.
template <class T>
struct Plain {
    template <int SIZE>
    static __device__ inline void load(const u8* rows, i64 row_bytes, int valid, float* tile, int stride) {
        const int wide = SIZE % 8 == 0 ? 8 : 1, per_row = SIZE / wide;
        for (int i = threadIdx.x; i < CELLS * per_row; i += WARPS * WARP) {
            int cell = i / per_row, k = i % per_row * wide;
            const T* from = (const T*)(rows + cell * row_bytes) + k;
            float* to = tile + cell * stride + k;
            if (cell >= valid) {
                for (int n = 0; n < wide; n++) to[n] = 0.0f;
            } else if (wide == 8) {
                float values[8];
                load_eight(from, values);
#pragma unroll
                for (int n = 0; n < 8; n++) to[n] = values[n];
            } else {
                to[0] = to_float(from[0]);
            }
        }
    }
};

template <class FORMAT>
struct Blocks {
    template <int SIZE>
    static __device__ inline void load(const u8* rows, i64 row_bytes, int valid, float* tile, int stride) {
        for (int i = threadIdx.x; i < CELLS * (SIZE / 32); i += WARPS * WARP) {
            int cell = i / (SIZE / 32), g = i % (SIZE / 32);
            float* to = tile + cell * stride + 32 * g;
            if (cell >= valid) {
                for (int n = 0; n < 32; n++) to[n] = 0.0f;
                continue;
            }
            Group group;
            FORMAT::load(rows + cell * row_bytes + g * FORMAT::BYTES, 0, group);
#pragma unroll
            for (int n = 0; n < 32; n++) {
                int code = (int)(i8)(group.q[n >> 2] >> 8 * (n & 3)) - FORMAT::OFFSET;
                float value = group.scale[n >> 4] * (float)code;
                to[n] = FORMAT::MINIMUMS ? value + group.minimum[n >> 4] : value;
            }
        }
    }
};

// q (T, H, E) -> out (T, H, EV), or, of several splits, sums (splits, T, H, EV) and states (splits, T, H, 2): maximum
// and sum of weights.
//   *_block, *_head, *_cell   bytes from a KV block, a head, a cell to the next
//   tables      block ids (sequences, table_width); null: a sequence's rows attend to each other
//   chunks      {sequence, first query, number} for each block of threads; a sequence's query is row * group + head
//   window      0: none;  ahead: how many cells after its own a row sees;  softcap 0: none;  slopes: null, or one a
//   head
// Grid: chunks, key heads, splits.
extern "C" __global__ void attend(const float* q, const u8* keys, const u8* values, i64 key_block, i64 key_head,
    i64 key_cell, i64 value_block, i64 value_head, i64 value_cell, const int* tables, int table_width,
    const int* chunks, const int* row_start, const int* kv_len, const int* pos, int heads, float scale, float softcap,
    int window, int ahead, const float* slopes, float* out, float* states, i64 total_rows) {
    __shared__ float queries[E * QUERIES];
    __shared__ float tile[CELLS * LONGEST];
    __shared__ float weights[CELLS * QUERIES];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int group = heads / gridDim.y, head = blockIdx.y;
    const int* chunk = chunks + 3 * blockIdx.x;
    const int n = chunk[0], first = chunk[1], count = chunk[2], start = row_start[n];
    const int cells = tables ? kv_len[n] : row_start[n + 1] - start;

    for (int i = threadIdx.x; i < E * QUERIES; i += WARPS * WARP) {
        int e = i / QUERIES, query = first + i % QUERIES;
        i64 at = ((i64)(start + query / group) * heads + head * group + query % group) * E + e;
        queries[i] = i % QUERIES < count ? q[at] : 0.0f;
    }

    // the cells that any of the queries sees, and this split's part of them
    const int lowest = pos[start + first / group], highest = pos[start + (first + count - 1) / group];
    const int end = ahead < cells - highest ? max(0, highest + ahead + 1) : cells;
    const int begin = window > 0 ? max(0, lowest - window + 1) / CELLS : 0;
    const int tiles = max(0, (min(end, cells) + CELLS - 1) / CELLS - begin);
    const int per_split = (tiles + gridDim.z - 1) / gridDim.z;
    const int from = begin + blockIdx.z * per_split, to = min(begin + tiles, from + per_split);

    int place[MINE];
    float largest[MINE], total[MINE], sum[MINE][PARTS];
    for (int i = 0; i < MINE; i++) {
        int query = min(first + warp * MINE + i, first + count - 1);
        place[i] = pos[start + query / group];
        largest[i] = -INF;
        total[i] = 0.0f;
        for (int j = 0; j < PARTS; j++) sum[i][j] = 0.0f;
    }

    for (int t = from; t < to; t++) {
        const i64 block = tables ? tables[(i64)n * table_width + t] : t;
        const i64 origin = tables ? 0 : start;
        const int valid = min(end, cells) - t * CELLS;
        __syncthreads();  // the tile of values before it has been used
        KEY::load<E>(keys + block * key_block + head * key_head + origin * key_cell, key_cell, valid, tile, E + 1);
        __syncthreads();
        if (warp * MINE < count) {
            float score[MINE];
            for (int i = 0; i < MINE; i++) score[i] = 0.0f;
            for (int e = 0; e < E; e++) {
                float key = tile[lane * (E + 1) + e];
#pragma unroll
                for (int i = 0; i < MINE; i++) score[i] += queries[e * QUERIES + warp * MINE + i] * key;
            }
            const int cell = t * CELLS + lane;
#pragma unroll
            for (int i = 0; i < MINE; i++) {
                int distance = place[i] - cell;
                float s = score[i] * scale;
                if (softcap > 0.0f) s = softcap * tanhf(s / softcap);
                if (slopes) s -= slopes[head * group + (first + warp * MINE + i) % group] * fabsf((float)distance);
                bool seen = cell < cells && -distance <= ahead && (window == 0 || distance < window);
                if (!seen) s = -INF;
                float before = largest[i];
                largest[i] = fmaxf(before, warp_max(s));
                float weight = seen ? expf(s - largest[i]) : 0.0f;
                float kept = before == -INF ? 0.0f : expf(before - largest[i]);
                total[i] = total[i] * kept + warp_sum(weight);
                for (int j = 0; j < PARTS; j++) sum[i][j] *= kept;
                weights[lane * QUERIES + warp * MINE + i] = weight;
            }
        }
        __syncthreads();  // the keys have been used
        VALUE::load<EV>(
            values + block * value_block + head * value_head + origin * value_cell, value_cell, valid, tile, EV);
        __syncthreads();
        if (warp * MINE < count) {
            for (int cell = 0; cell < CELLS; cell++) {
#pragma unroll
                for (int j = 0; j < PARTS; j++) {
                    int e = lane + j * WARP;
                    float value = EV % WARP == 0 || e < EV ? tile[cell * EV + e] : 0.0f;
#pragma unroll
                    for (int i = 0; i < MINE; i++) sum[i][j] += weights[cell * QUERIES + warp * MINE + i] * value;
                }
            }
        }
    }

    for (int i = 0; i < MINE; i++) {
        int local = warp * MINE + i, query = first + local;
        if (local >= count) continue;
        i64 at = (i64)(start + query / group) * heads + head * group + query % group;
        if (gridDim.z > 1) at += blockIdx.z * total_rows * heads;
        for (int j = 0; j < PARTS; j++) {
            int e = lane + j * WARP;
            if (e < EV) out[at * EV + e] = gridDim.z > 1 ? sum[i][j] : sum[i][j] / total[i];
        }
        if (gridDim.z > 1 && lane == 0) {
            states[2 * at] = largest[i];
            states[2 * at + 1] = total[i];
        }
    }
}

// The splits of every row and head put together: sums (splits, pairs, EV), states (splits, pairs, 2) -> out (pairs,
// EV). One warp a pair of row and head.
extern "C" __global__ void combine(const float* sums, const float* states, int splits, i64 pairs, float* out) {
    const i64 pair = thread_index() / WARP;
    if (pair >= pairs) return;
    float largest = -INF, total = 0.0f, sum[PARTS];
    for (int s = 0; s < splits; s++) largest = fmaxf(largest, states[2 * (s * pairs + pair)]);
    for (int j = 0; j < PARTS; j++) sum[j] = 0.0f;
    for (int s = 0; s < splits; s++) {
        const i64 at = s * pairs + pair;
        if (states[2 * at] == -INF && states[2 * at + 1] == 0.0f) continue;  // saw nothing
        const float kept = expf(states[2 * at] - largest);
        total += kept * states[2 * at + 1];
        for (int j = 0; j < PARTS; j++) {
            int e = threadIdx.x % WARP + j * WARP;
            if (e < EV) sum[j] += kept * sums[at * EV + e];
        }
    }
    for (int j = 0; j < PARTS; j++) {
        int e = threadIdx.x % WARP + j * WARP;
        if (e < EV) out[pair * EV + e] = sum[j] / total;
    }
}
