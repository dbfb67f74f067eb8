// Types of one to four bits: levels looked up in 16, powers of three, signs.

// The levels that four codes of 4 bits, one a byte, stand for; a table's 16 bytes are four words.
__device__ inline u32 lookup(u32 codes, u32 t0, u32 t1, u32 t2, u32 t3) {
    u32 low = codes & 0x07070707, pairs = low | low >> 4;
    u32 select = (pairs & 0xff) | (pairs >> 8 & 0xff00);
    u32 upper = (codes >> 3 & 0x01010101) * 255;
    return (__byte_perm(t0, t1, select) & ~upper) | (__byte_perm(t2, t3, select) & upper);
}

// -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113
__device__ inline u32 iq4_levels(u32 codes) { return lookup(codes, 0xbfad9881, 0xf6eaddcf, 0x26190d01, 0x71594535); }

// 0 1 2 3 4 6 8 12 and their negatives: e2m1, doubled; scales below are halved to match
__device__ inline u32 e2m1_levels(u32 codes) { return lookup(codes, 0x03020100, 0x0c080604, 0xfdfeff00, 0xf4f8fafc); }

// IQ4_NL: 0: d;  2-17: codes, low halves first
struct IQ4_NL {
    LAYOUT(32, 18, 0, 0);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word2(p + 2 + 4 * i);
            g.q[i] = iq4_levels(w & 0x0f0f0f0f);
            g.q[i + 4] = iq4_levels(w >> 4 & 0x0f0f0f0f);
        }
        set_scale(g, half2(p));
    }
};

// IQ4_XS: 0: d;  2-3: high 2 bits of 8 scales;  4-7: their low 4 bits;  8-135: codes, runs of 16 bytes, low halves
// first
struct IQ4_XS {
    LAYOUT(256, 136, 0, 0);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word4(p + 8 + 16 * j + 4 * i);
            g.q[i] = iq4_levels(w & 0x0f0f0f0f);
            g.q[i + 4] = iq4_levels(w >> 4 & 0x0f0f0f0f);
        }
        int low = p[4 + j / 2] >> 4 * (j & 1) & 15, high = short2(p + 2) >> 2 * j & 3;
        set_scale(g, half2(p) * ((low | high << 4) - 32));
    }
};

// MXFP4: 0: scale, e8m0;  1-16: codes, low halves first
struct MXFP4 {
    LAYOUT(32, 17, 0, 0);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word1(p + 1 + 4 * i);
            g.q[i] = e2m1_levels(w & 0x0f0f0f0f);
            g.q[i + 4] = e2m1_levels(w >> 4 & 0x0f0f0f0f);
        }
        u32 e = p[0];
        set_scale(g, __int_as_float((int)(e < 2 ? 0x200000u << e : (e - 1) << 23)));
    }
};

// Half of an unsigned e4m3 float; 0x7f counts as 0 and the top bit is ignored, as in gguf/dequant/fp4.py.
__device__ inline float half_ue4m3(u8 code) {
    int exponent = code >> 3 & 15, mantissa = code & 7;
    if (code == 0x7f) return 0.0f;
    if (exponent == 0) return mantissa * (1.0f / 1024);
    return (1.0f + mantissa * 0.125f) * __int_as_float((exponent - 8 + 127) << 23);
}

// NVFP4: 0-3: scales of 16 values, ue4m3;  4-35: codes, runs of 8 bytes, low halves first
struct NVFP4 {
    LAYOUT(64, 36, 0, 0);
    LOAD {
        for (int i = 0; i < 4; i++) {
            u32 w = word4(p + 4 + 16 * j + 4 * i);
            int at = (i & 2) * 2 + (i & 1);
            g.q[at] = e2m1_levels(w & 0x0f0f0f0f);
            g.q[at + 2] = e2m1_levels(w >> 4 & 0x0f0f0f0f);
        }
        for (int h = 0; h < 2; h++) g.scale[h] = half_ue4m3(p[2 * j + h]);
    }
};

// TQ2_0: 0-63: pairs of bits, two runs of 32 bytes;  64: d
struct TQ2_0 {
    LAYOUT(256, 66, 1, 0);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = word2(p + 32 * (j >> 2) + 4 * i) >> 2 * (j & 3) & 0x03030303;
        set_scale(g, half2(p + 64));
    }
};

// TQ1_0: 0-47: five base-3 digits a byte, in runs of 32 and 16 bytes;  48-51: four digits a byte;  52: d
struct TQ1_0 {
    LAYOUT(256, 54, 1, 0);
    static __device__ inline u32 digit(u8 byte, int n) {  // digit n, the first on top
        const u8 power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
        return (u32)(u8)(byte * power) * 3 >> 8;
    }
    LOAD {
        for (int i = 0; i < 8; i++) {
            u32 word = 0;
            for (int b = 0; b < 4; b++) {
                int k = 32 * j + 4 * i + b;  // which of the 256 values
                u32 value = k < 160   ? digit(p[k & 31], k >> 5)
                            : k < 240 ? digit(p[32 + (k & 15)], (k - 160) >> 4)
                                      : digit(p[48 + (k & 3)], (k - 240) >> 2);
                word |= value << 8 * b;
            }
            g.q[i] = word;
        }
        set_scale(g, half2(p + 52));
    }
};

// Q1_0: 0: d;  2-17: one bit each: d or -d
struct Q1_0 {
    LAYOUT(128, 18, 1, 0);
    LOAD {
        u32 bits = word2(p + 2 + 4 * j);
        for (int i = 0; i < 8; i++) g.q[i] = spread_bits(bits >> 4 * i) << 1;
        set_scale(g, half2(p));
    }
};

// Q2_0: 0: d;  2-17: pairs of bits, four neighbours a byte
struct Q2_0 {
    LAYOUT(64, 18, 1, 0);
    LOAD {
        for (int i = 0; i < 8; i++) g.q[i] = spread_pairs(p[2 + 8 * j + i]);
        set_scale(g, half2(p));
    }
};
