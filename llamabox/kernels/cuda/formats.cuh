// Every block type, described once: how 32 values of a row are read.
//
//     value = scale[h] * (q - OFFSET) + minimum[h]        h: which half of the 32 values, 16 each
//
// A type is a struct with
//     VALUES, BYTES   of a block
//     OFFSET          see above
//     MINIMUMS        whether there are any; if not, minimum is not set
//     load(p, j, g)   group j of the block at p: the 32 integers, four a word in order, scales, minimums
// q is a signed byte after OFFSET is taken off, and before. Byte layouts: gguf/dequant/, ggml-common.h.

struct Group {
    int q[8];
    float scale[2], minimum[2];
};

#define LAYOUT(values, bytes, offset, minimums) \
    enum { VALUES = values, BYTES = bytes, OFFSET = offset, MINIMUMS = minimums, GROUPS = values / 32 }
#define LOAD static __device__ inline void load(const u8* p, int j, Group& g)

// Four bytes at an address that is a multiple of 4, of 2, or of nothing.
__device__ inline u32 word4(const u8* p) { return *(const u32*)p; }
__device__ inline u32 word2(const u8* p) { return ((const u16*)p)[0] | (u32)((const u16*)p)[1] << 16; }
__device__ inline u32 word1(const u8* p) { return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24; }
__device__ inline u16 short2(const u8* p) { return *(const u16*)p; }
__device__ inline float half2(const u8* p) { return half_to_float(*(const u16*)p); }

// Four bits, or four pairs of bits, spread over the low ends of four bytes.
__device__ inline u32 spread_bits(u32 bits) { return ((bits & 15) * 0x00204081u) & 0x01010101u; }
__device__ inline u32 spread_pairs(u32 pairs) {
    return (pairs & 3) | (pairs & 12) << 6 | (pairs & 48) << 12 | (pairs & 192) << 18;
}

__device__ inline void set_scale(Group& g, float scale) { g.scale[0] = g.scale[1] = scale; }
__device__ inline void set_minimum(Group& g, float minimum) { g.minimum[0] = g.minimum[1] = minimum; }

// ---- blocks of 32 values with one scale -----------------------------------------------------------------------------

// Q4_0: 0-1: d, f16;  2-17: nibbles, low halves first
struct Q4_0 {
    LAYOUT(32, 18, 8, 0);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word2(p + 2 + 4 * i);
            g.q[i] = w & 0x0f0f0f0f;
            g.q[i + 4] = w >> 4 & 0x0f0f0f0f;
        }
        set_scale(g, half2(p));
    }
};

// Q4_1: 0-1: d, f16;  2-3: m, f16;  4-19: nibbles
struct Q4_1 {
    LAYOUT(32, 20, 0, 1);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word4(p + 4 + 4 * i);
            g.q[i] = w & 0x0f0f0f0f;
            g.q[i + 4] = w >> 4 & 0x0f0f0f0f;
        }
        set_scale(g, half2(p));
        set_minimum(g, half2(p + 2));
    }
};

// Q5_0: 0-1: d, f16;  2-5: fifth bits;  6-21: nibbles
struct Q5_0 {
    LAYOUT(32, 22, 16, 0);
    LOAD {
        u32 fifths = word2(p + 2);
        for (int i = 0; i < 4; i++) {
            u32 w = word2(p + 6 + 4 * i);
            g.q[i] = (w & 0x0f0f0f0f) | spread_bits(fifths >> 4 * i) << 4;
            g.q[i + 4] = (w >> 4 & 0x0f0f0f0f) | spread_bits(fifths >> (16 + 4 * i)) << 4;
        }
        set_scale(g, half2(p));
    }
};

// Q5_1: 0-1: d, f16;  2-3: m, f16;  4-7: fifth bits;  8-23: nibbles
struct Q5_1 {
    LAYOUT(32, 24, 0, 1);
    LOAD {
        u32 fifths = word4(p + 4);
        for (int i = 0; i < 4; i++) {
            u32 w = word4(p + 8 + 4 * i);
            g.q[i] = (w & 0x0f0f0f0f) | spread_bits(fifths >> 4 * i) << 4;
            g.q[i + 4] = (w >> 4 & 0x0f0f0f0f) | spread_bits(fifths >> (16 + 4 * i)) << 4;
        }
        set_scale(g, half2(p));
        set_minimum(g, half2(p + 2));
    }
};

// Q8_0: 0-1: d, f16;  2-33: q, int8
struct Q8_0 {
    LAYOUT(32, 34, 0, 0);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word2(p + 2 + 4 * i);
        set_scale(g, half2(p));
    }
};

// Q8_1: 0-1: d, f16;  2-3: not needed here;  4-35: q, int8
struct Q8_1 {
    LAYOUT(32, 36, 0, 0);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word4(p + 4 + 4 * i);
        set_scale(g, half2(p));
    }
};

// ---- K types: 256 values --------------------------------------------------------------------------------------------

// Q8_K: 0-3: d, f32;  4-259: q, int8
struct Q8_K {
    LAYOUT(256, 292, 0, 0);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word4(p + 4 + 32 * j + 4 * i);
        set_scale(g, __int_as_float((int)word4(p)));
    }
};

// Q2_K: 0-15: scale (low) and minimum (high) of 16 values;  16-79: pairs of bits, two runs of 32 bytes;  80: d;  82:
// dmin
struct Q2_K {
    LAYOUT(256, 84, 0, 1);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word4(p + 16 + 32 * (j >> 2) + 4 * i) >> 2 * (j & 3) & 0x03030303;
        for (int h = 0; h < 2; h++) {
            u8 packed = p[2 * j + h];
            g.scale[h] = half2(p + 80) * (packed & 15);
            g.minimum[h] = -half2(p + 82) * (packed >> 4);
        }
    }
};

// Q3_K: 0-31: third bits, bit j of group j;  32-95: low 2 bits as Q2_K;  96-107: 16 scales of 6 bits;  108: d
struct Q3_K {
    LAYOUT(256, 110, 4, 0);
    LOAD {
        for (int i = 0; i < 8; i++) {
            u32 low = word2(p + 32 + 32 * (j >> 2) + 4 * i) >> 2 * (j & 3) & 0x03030303;
            g.q[i] = low | (word2(p + 4 * i) >> j & 0x01010101) << 2;
        }
        for (int h = 0; h < 2; h++) {
            int k = 2 * j + h;
            int low = p[96 + (k & 7)] >> (k < 8 ? 0 : 4) & 15, high = p[104 + (k & 3)] >> 2 * (k >> 2) & 3;
            g.scale[h] = half2(p + 108) * ((low | high << 4) - 32);
        }
    }
};

// The scale and the minimum of group j from the 12 bytes of Q4_K and Q5_K; see gguf/dequant/k_quants.py.
__device__ inline void scale_and_minimum(const u8* p, int j, Group& g) {
    const u8* packed = p + 4;
    int scale, minimum;
    if (j < 4) {
        scale = packed[j] & 63;
        minimum = packed[j + 4] & 63;
    } else {
        scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
        minimum = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
    set_scale(g, half2(p) * scale);
    set_minimum(g, -half2(p + 2) * minimum);
}

// Q4_K: 0: d;  2: dmin;  4-15: scales and minimums;  16-143: nibbles, groups 2i (low) and 2i + 1 (high) in 32 bytes
struct Q4_K {
    LAYOUT(256, 144, 0, 1);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word4(p + 16 + 32 * (j >> 1) + 4 * i) >> 4 * (j & 1) & 0x0f0f0f0f;
        scale_and_minimum(p, j, g);
    }
};

// Q5_K: 0-15: as Q4_K;  16-47: fifth bits, bit j of group j;  48-175: nibbles as Q4_K
struct Q5_K {
    LAYOUT(256, 176, 0, 1);
    LOAD {
        for (int i = 0; i < 8; i++) {
            u32 low = word4(p + 48 + 32 * (j >> 1) + 4 * i) >> 4 * (j & 1) & 0x0f0f0f0f;
            g.q[i] = low | (word4(p + 16 + 4 * i) >> j & 0x01010101) << 4;
        }
        scale_and_minimum(p, j, g);
    }
};

// Q6_K: 0-127: low 4 bits, runs of 64 bytes;  128-191: high 2 bits, runs of 32;  192-207: scales, int8;  208: d
struct Q6_K {
    LAYOUT(256, 210, 32, 0);
    LOAD {
        for (int i = 0; i < 8; i++) {
            u32 low = word2(p + 64 * (j >> 2) + 32 * (j & 1) + 4 * i) >> 4 * (j >> 1 & 1) & 0x0f0f0f0f;
            u32 high = word2(p + 128 + 32 * (j >> 2) + 4 * i) >> 2 * (j & 3) & 0x03030303;
            g.q[i] = low | high << 4;
        }
        for (int h = 0; h < 2; h++) g.scale[h] = half2(p + 208) * (i8)p[192 + 2 * j + h];
    }
};
