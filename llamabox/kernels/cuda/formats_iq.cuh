// The IQ types with codebooks. The book of the type in use stands before this file as `BOOK`, made by sources.py of
// gguf/dequant/codebooks.py: an array of u64 (8 values an entry) or u32 (4 values), magnitudes as bytes; those of IQ1
// are levels -1, 0, 1 plus 1.

// Magnitudes, none of them 0, four a word, with the signs of four bits.
__device__ inline u32 with_signs(u32 magnitudes, u32 bits) {
    u32 ones = spread_bits(bits);
    return (magnitudes ^ ones * 255) + ones;
}

// A byte of signs from 7 bits: the eighth makes the number of minus signs even.
__device__ inline u32 even_signs(u32 bits) { return (bits & 127) | (__popc(bits & 127) & 1) << 7; }

__device__ inline void set_eight(Group& g, int k, u64 magnitudes, u32 signs) {
    g.q[2 * k] = with_signs((u32)magnitudes, signs);
    g.q[2 * k + 1] = with_signs((u32)(magnitudes >> 32), signs >> 4);
}

// IQ2_XXS: 0: d;  then for each 32 values 4 codes, and a word of 4 x 7 sign bits and a 4-bit scale
struct IQ2_XXS {
    LAYOUT(256, 66, 0, 0);
    LOAD {
        const u8* codes = p + 2 + 8 * j;
        u32 packed = word2(codes + 4);
        for (int k = 0; k < 4; k++) set_eight(g, k, BOOK[codes[k]], even_signs(packed >> 7 * k));
        set_scale(g, half2(p) * (0.5f + (packed >> 28)) * 0.25f);
    }
};

// IQ2_XS: 0: d;  2-65: u16 for 8 values: 9-bit code, 7 sign bits;  66-73: 4-bit scales of 16 values
struct IQ2_XS {
    LAYOUT(256, 74, 0, 0);
    LOAD {
        for (int k = 0; k < 4; k++) {
            u32 packed = short2(p + 2 + 8 * j + 2 * k);
            set_eight(g, k, BOOK[packed & 511], even_signs(packed >> 9));
        }
        for (int h = 0; h < 2; h++) g.scale[h] = half2(p) * (0.5f + (p[66 + j] >> 4 * h & 15)) * 0.25f;
    }
};

// IQ2_S: 0: d;  2-33: low 8 bits of codes;  34-65: signs;  66-73: high 2 bits of codes;  74-81: 4-bit scales
struct IQ2_S {
    LAYOUT(256, 82, 0, 0);
    LOAD {
        for (int k = 0; k < 4; k++) {
            u32 code = p[2 + 4 * j + k] | (p[66 + j] >> 2 * k & 3) << 8;
            set_eight(g, k, BOOK[code], p[34 + 4 * j + k]);
        }
        for (int h = 0; h < 2; h++) g.scale[h] = half2(p) * (0.5f + (p[74 + j] >> 4 * h & 15)) * 0.25f;
    }
};

// IQ3_XXS: 0: d;  2-65: codes of 4 values;  66-97: for each 32 values a word of 4 x 7 sign bits and a 4-bit scale
struct IQ3_XXS {
    LAYOUT(256, 98, 0, 0);
    LOAD {
        u32 packed = word2(p + 66 + 4 * j);
        for (int i = 0; i < 8; i++) {
            u32 signs = even_signs(packed >> 7 * (i >> 1));
            g.q[i] = with_signs(BOOK[p[2 + 8 * j + i]], signs >> 4 * (i & 1));
        }
        set_scale(g, half2(p) * (0.5f + (packed >> 28)) * 0.5f);
    }
};

// IQ3_S: 0: d;  2-65: low 8 bits of codes;  66-73: ninth bits;  74-105: signs;  106-109: 4-bit scales of 32 values
struct IQ3_S {
    LAYOUT(256, 110, 0, 0);
    LOAD {
        for (int i = 0; i < 8; i++) {
            u32 code = p[2 + 8 * j + i] | (p[66 + j] >> i & 1) << 8;
            g.q[i] = with_signs(BOOK[code], p[74 + 4 * j + (i >> 1)] >> 4 * (i & 1));
        }
        set_scale(g, half2(p) * (2 * (p[106 + j / 2] >> 4 * (j & 1) & 15) + 1));
    }
};

// IQ1: value = scale * (level + 1/8 or - 1/8) = scale / 8 * (q - 9), where q = 8 * (level + 1) + (2 or 0).
__device__ inline void set_eighths(Group& g, int k, u64 levels, bool negative) {
    u32 shift = negative ? 0 : 0x02020202;
    g.q[2 * k] = (u32)levels << 3 | shift;
    g.q[2 * k + 1] = (u32)(levels >> 32) << 3 | shift;
}

// IQ1_S: 0: d;  2-33: low 8 bits of codes;  34-49: u16 for 32 values: 4 x 3 high bits, 3-bit scale, 1 bit: negative
// shift
struct IQ1_S {
    LAYOUT(256, 50, 9, 0);
    LOAD {
        u32 high = short2(p + 34 + 2 * j);
        for (int k = 0; k < 4; k++) {
            set_eighths(g, k, BOOK[p[2 + 4 * j + k] | (high >> 3 * k & 7) << 8], high >> 15);
        }
        set_scale(g, half2(p) * (2 * (high >> 12 & 7) + 1) * 0.125f);
    }
};

// IQ1_M: 0-31: low 8 bits of codes;  32-47: nibbles for 8 values: 3 high bits, 1 bit: negative shift;  48-55: 4 u16:
// 4 x 3-bit scales of 16 values, and 4 bits of d
struct IQ1_M {
    LAYOUT(256, 56, 9, 0);
    LOAD {
        for (int k = 0; k < 4; k++) {
            u32 high = p[32 + 2 * j + (k >> 1)] >> 4 * (k & 1) & 15;
            set_eighths(g, k, BOOK[p[4 * j + k] | (high & 7) << 8], high >> 3);
        }
        u32 d = 0;
        for (int i = 0; i < 4; i++) d |= (u32)(short2(p + 48 + 2 * i) >> 12) << 4 * i;
        for (int h = 0; h < 2; h++) {
            int s = 2 * j + h;
            u32 scale = short2(p + 48 + 2 * (s >> 2)) >> 3 * (s & 3) & 7;
            g.scale[h] = half_to_float((u16)d) * (2 * scale + 1) * 0.125f;
        }
    }
};
