// Rows of keys or values written into the KV pool, rounded as kv.encode does: STORE says how.
// Compiled so that products and sums are rounded apart; the search for scales is ggml's reference, value by value.

template <class T>
struct Plain {
    enum { VALUES = 1, BYTES = sizeof(T) };
    static __device__ inline void pack(const float* x, u8* p) { from_float(*x, *(T*)p); }
};

__device__ inline bool all_finite(const float* x) {
    for (int k = 0; k < 32; k++) {
        if (!is_finite(x[k])) return false;
    }
    return true;
}

// The value of largest size, the first of equals.
__device__ inline float furthest(const float* x) {
    float best = x[0];
    for (int k = 1; k < 32; k++) {
        if (fabsf(x[k]) > fabsf(best)) best = x[k];
    }
    return best;
}

__device__ inline float inverse_of(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }
__device__ inline void put_half(u8* p, float x) { *(u16*)p = float_to_half(x); }

// Codes trunc((x - low) * inverse + half), at most top: their low 4 bits at p; their fifths, if wanted, at fifths.
__device__ inline void put_codes(const float* x, u8* p, float low, float inverse, float half, int top, u8* fifths) {
    u32 bits = 0;
    for (int k = 0; k < 16; k++) {
        int a = min((int)((x[k] - low) * inverse + half), top), b = min((int)((x[k + 16] - low) * inverse + half), top);
        p[k] = (u8)((a & 15) | (b & 15) << 4);
        bits |= (u32)(a >> 4) << k | (u32)(b >> 4) << (k + 16);
    }
    for (int i = 0; fifths && i < 4; i++) fifths[i] = (u8)(bits >> 8 * i);
}

__device__ inline float step_and_lowest(const float* x, float top, float& low) {
    float high = low = x[0];
    for (int k = 1; k < 32; k++) {
        low = fminf(low, x[k]);
        high = fmaxf(high, x[k]);
    }
    return (high - low) / top;
}

struct PackQ8_0 {
    enum { VALUES = 32, BYTES = 34 };
    static __device__ inline void pack(const float* x, u8* p) {
        float d = fabsf(furthest(x)) / 127.0f, inverse = inverse_of(d);
        put_half(p, d);
        for (int k = 0; k < 32; k++) p[2 + k] = (u8)(int)roundf(x[k] * inverse);
    }
};

struct PackQ4_0 {
    enum { VALUES = 32, BYTES = 18 };
    static __device__ inline void pack(const float* x, u8* p) {
        float d = furthest(x) / -8.0f;
        put_half(p, d);
        put_codes(x, p + 2, 0.0f, inverse_of(d), 8.5f, 15, 0);
    }
};

struct PackQ5_0 {
    enum { VALUES = 32, BYTES = 22 };
    static __device__ inline void pack(const float* x, u8* p) {
        float d = furthest(x) / -16.0f;
        put_half(p, d);
        put_codes(x, p + 6, 0.0f, inverse_of(d), 16.5f, 31, p + 2);
    }
};

struct PackQ4_1 {
    enum { VALUES = 32, BYTES = 20 };
    static __device__ inline void pack(const float* x, u8* p) {
        float low, d = step_and_lowest(x, 15.0f, low);
        put_half(p, d);
        put_half(p + 2, low);
        put_codes(x, p + 4, low, inverse_of(d), 0.5f, 15, 0);
    }
};

struct PackQ5_1 {
    enum { VALUES = 32, BYTES = 24 };
    static __device__ inline void pack(const float* x, u8* p) {
        float low, d = step_and_lowest(x, 31.0f, low);
        put_half(p, d);
        put_half(p + 2, low);
        put_codes(x, p + 8, low, inverse_of(d), 0.5f, 31, p + 4);
    }
};

__device__ inline float iq4_level(int code) { return (float)(i8)(iq4_levels((u32)code) & 255); }

struct PackIQ4_NL {
    enum { VALUES = 32, BYTES = 18 };
    static __device__ inline int nearest(float x) {  // in a tie the higher
        int code = 0;
        while (code < 15 && !(x - iq4_level(code) < iq4_level(code + 1) - x)) code++;
        return code;
    }
    static __device__ inline void pack(const float* x, u8* p) {
        float largest = furthest(x), inverse = inverse_of(largest / -127.0f), above = 0.0f, below = 0.0f;
        bool tiny = fabsf(largest) < 1e-15f;
        for (int k = 0; k < 32; k++) {
            int code = tiny ? 0 : nearest(x[k] * inverse);
            float q = iq4_level(code), weighted = x[k] * x[k] * q;
            above += weighted * x[k];
            below += weighted * q;
            if (k < 16)
                p[2 + k] = (u8)code;
            else
                p[k - 14] |= (u8)(code << 4);
        }
        put_half(p, tiny || below == 0.0f ? 0.0f : above / below);
    }
};

// x f32 (rows, heads, size) -> the pool, at the cells of the rows; head, cell: bytes from one to the next; a KV block
// has 32 cells. One thread packs VALUES values; a block of values with one that is not finite gets a scale of NaN.
extern "C" __global__ void store_rows(const float* x, int heads, int size, i64 total, const int* pos, const int* seq,
    const int* tables, int table_width, u8* pool, i64 block_bytes, i64 head_bytes, i64 cell_bytes) {
    i64 n = thread_index();
    if (n >= total) return;
    int per_row = size / STORE::VALUES, k = (int)(n % per_row);
    i64 row = n / per_row / heads, head = n / per_row % heads;
    i64 block = tables[(i64)seq[row] * table_width + pos[row] / 32];
    u8* to = pool + block * block_bytes + head * head_bytes + pos[row] % 32 * cell_bytes + (i64)k * STORE::BYTES;
    const float* from = x + n * STORE::VALUES;
    if (STORE::VALUES == 1 || all_finite(from)) {
        STORE::pack(from, to);
        return;
    }
    for (int i = 0; i < STORE::BYTES; i++) to[i] = 0;
    put_half(to, NOT_A_NUMBER);
}
