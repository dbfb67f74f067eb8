// Which rows go to which expert, decided on the device: nothing waits for the host.

// ids (total) -> order: pair numbers sorted by expert, stable; tiles {expert, first, count} of up to 8 pairs of one
// expert, the rest of the n_tiles with count 0. One block; a thread counts for every blockDim.x-th expert.
extern "C" __global__ void plan_experts(
    const int* ids, int total, int n_experts, int n_tiles, int* counts, int* tiles, int* order) {
    for (int expert = threadIdx.x; expert < n_experts; expert += blockDim.x) {
        int count = 0;
        for (int n = 0; n < total; n++) count += ids[n] == expert;
        counts[expert] = count;
    }
    __syncthreads();
    for (int expert = threadIdx.x; expert < n_experts; expert += blockDim.x) {
        int start = 0, tile = 0;
        for (int other = 0; other < expert; other++) {
            start += counts[other];
            tile += (counts[other] + 7) / 8;
        }
        for (int done = 0; done < counts[expert]; done += 8, tile++) {
            tiles[3 * tile] = expert;
            tiles[3 * tile + 1] = start + done;
            tiles[3 * tile + 2] = min(8, counts[expert] - done);
        }
        for (int n = 0; n < total; n++) {
            if (ids[n] == expert) order[start++] = n;
        }
        if (expert == n_experts - 1) {
            for (; tile < n_tiles; tile++) tiles[3 * tile + 2] = 0;
        }
    }
}

// The indices of the k largest of each row of x (rows, width), largest first; of equals the lower index first, NaN
// last. One block a row; width is that of a router's output, so every value is compared with every other.
extern "C" __global__ void top_k(const float* x, int width, int k, int* y) {
    const float* row = x + (i64)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float value = row[i];
        bool missing = value != value;
        int rank = 0;
        for (int j = 0; j < width; j++) {
            float other = row[j];
            bool greater = missing ? other == other : other > value;
            bool equal = missing ? other != other : other == value;
            rank += greater || (equal && j < i);
        }
        if (rank < k) y[(i64)blockIdx.x * k + rank] = i;
    }
}

// y (rows, n) = x (rows, width) at ids (rows, n).
extern "C" __global__ void take_along(const float* x, int width, const int* ids, int n, i64 total, float* y) {
    i64 at = thread_index();
    if (at < total) y[at] = x[at / n * width + ids[at]];
}
