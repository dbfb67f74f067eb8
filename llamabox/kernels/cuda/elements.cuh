// Plain numbers, eight at a time from an address that is a multiple of 16 bytes.

typedef float f32;
struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

__device__ inline float to_float(f32 x) { return x; }
__device__ inline float to_float(f16 x) { return half_to_float(x.bits); }
__device__ inline float to_float(bf16 x) { return bf16_to_float(x.bits); }

__device__ inline void from_float(float x, f32& y) { y = x; }
__device__ inline void from_float(float x, f16& y) { y.bits = float_to_half(x); }
__device__ inline void from_float(float x, bf16& y) { y.bits = float_to_bf16(x); }

__device__ inline void load_eight(const f32* p, float* y) {
    float4 a = ((const float4*)p)[0], b = ((const float4*)p)[1];
    y[0] = a.x, y[1] = a.y, y[2] = a.z, y[3] = a.w, y[4] = b.x, y[5] = b.y, y[6] = b.z, y[7] = b.w;
}

template <class T>
__device__ inline void load_eight(const T* p, float* y) {
    int4 packed = *(const int4*)p;
    int words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        T low, high;
        low.bits = (u16)words[i];
        high.bits = (u16)((u32)words[i] >> 16);
        y[2 * i] = to_float(low);
        y[2 * i + 1] = to_float(high);
    }
}
