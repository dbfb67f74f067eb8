// Weights of one block type, FORMAT, as f32 or f16. One thread a group of 32 values.

__device__ inline float value_of(const Group& w, int k) {
    float value = w.scale[k >> 4] * (float)((int)(i8)(w.q[k >> 2] >> 8 * (k & 3)) - FORMAT::OFFSET);
    return FORMAT::MINIMUMS ? value + w.minimum[k >> 4] : value;
}

// Rows ids[0], ids[1], ... of w as f32 (count, 32 * groups).
extern "C" __global__ void take_rows(const u8* w, i64 row_bytes, int groups, const int* ids, i64 count, float* y) {
    i64 n = thread_index();
    if (n >= count * groups) return;
    i64 row = n / groups;
    int g = (int)(n % groups);
    Group group;
    FORMAT::load(w + ids[row] * row_bytes + (i64)(g / FORMAT::GROUPS) * FORMAT::BYTES, g % FORMAT::GROUPS, group);
    float* to = y + n * 32;
#pragma unroll
    for (int k = 0; k < 32; k++) to[k] = value_of(group, k);
}

// All values of w as f16; rows follow each other, so all are `total` groups. Beyond an f16's range: infinite.
extern "C" __global__ void to_halves(const u8* w, i64 total, u32* y) {
    i64 n = thread_index();
    if (n >= total) return;
    Group group;
    FORMAT::load(w + n / FORMAT::GROUPS * FORMAT::BYTES, (int)(n % FORMAT::GROUPS), group);
    u32* to = y + n * 16;
#pragma unroll
    for (int k = 0; k < 16; k++) {
        to[k] = float_to_half(value_of(group, 2 * k)) | (u32)float_to_half(value_of(group, 2 * k + 1)) << 16;
    }
}
