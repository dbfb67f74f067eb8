// The k largest values of each row and where they are. Every value has a key of its own, so which are the k largest is
// settled whatever happens first: digit by digit, by counting, until few enough are left to compare each with each.

#define INDEX_BITS 23
#define DIGIT_BITS 11
#define KEY_BITS 55  // of the value 32, of the index 23: five digits
#define DIGITS 2048
#define GROUPS 256
#define MOST 1024    // values that are compared with each other, of which at most so many are wanted
#define AT_ONCE 8    // values of a thread that are on their way at once

// Orders as the values do, NaN above all and the zeros alike, then the lower index above.
__device__ inline u64 key_of(float x, int index) {
    u32 bits = (u32)__float_as_int(x);
    if (bits == 0x80000000u) bits = 0;
    u32 ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
    if ((bits & 0x7fffffffu) > 0x7f800000u) ordered = 0xffffffffu;
    return (u64)ordered << INDEX_BITS | (u64)((1 << INDEX_BITS) - 1 - index);
}

// f(key) for each value of a row, shared out among the threads of a block.
template <class F>
__device__ inline void each_key(const float* row, int width, F f) {
    for (int start = threadIdx.x; start < width; start += AT_ONCE * blockDim.x) {
        float x[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            int index = start + i * blockDim.x;
            x[i] = index < width ? row[index] : 0.0f;
        }
        for (int i = 0; i < AT_ONCE; i++) {
            int index = start + i * blockDim.x;
            if (index < width) f(key_of(x[i], index));
        }
    }
}

struct Digit {
    int digit, above, count;  // how many keys have a higher digit, and how many this one
};

// The digit of the k-th largest, of keys of which counts[d] have digit d. Needs at least GROUPS threads.
__device__ inline void find_digit(const int* counts, int k, int* of_group, Digit* found) {
    const int size = DIGITS / GROUPS;
    int group = threadIdx.x;
    if (group < GROUPS) {
        int sum = 0;
        for (int i = 0; i < size; i++) sum += counts[group * size + i];
        of_group[group] = sum;
    }
    __syncthreads();
    if (group < GROUPS) {
        int above = 0, digit = group * size + size - 1;
        for (int other = group + 1; other < GROUPS; other++) above += of_group[other];
        if (above < k && k <= above + of_group[group]) {
            for (; above + counts[digit] < k; digit--) above += counts[digit];
            found->digit = digit;
            found->above = above;
            found->count = counts[digit];
        }
    }
    __syncthreads();
}

// x (rows, width) -> values and ids (rows, k), the largest first; k <= width, k <= MOST, width <= 2^INDEX_BITS.
// One block a row. Sums that threads make together are of integers, and where a key is put does not matter.
extern "C" __global__ void largest(const float* x, int width, int k, float* values, int* ids) {
    __shared__ int counts[DIGITS], of_group[GROUPS], n_left;
    __shared__ u64 left[MOST];
    __shared__ Digit found;
    const float* row = x + (i64)blockIdx.x * width;
    u64 least = 0;  // no key of the k largest is below it
    int above = 0, kept = width;  // keys that are certainly among the k largest, and all that are not below `least`
    for (int bits = KEY_BITS - DIGIT_BITS; kept > MOST; bits -= DIGIT_BITS) {
        for (int i = threadIdx.x; i < DIGITS; i += blockDim.x) counts[i] = 0;
        __syncthreads();
        each_key(row, width, [&](u64 key) {
            u64 digit = (key - least) >> bits;  // far above DIGITS where the key is below `least`
            if (digit < DIGITS) atomicAdd(&counts[(int)digit], 1);
        });
        __syncthreads();
        find_digit(counts, k - above, of_group, &found);
        least += (u64)found.digit << bits;
        above += found.above;
        kept = above + found.count;
    }
    if (threadIdx.x == 0) n_left = 0;
    __syncthreads();
    each_key(row, width, [&](u64 key) {
        if (key >= least) left[atomicAdd(&n_left, 1)] = key;
    });
    __syncthreads();
    for (int i = threadIdx.x; i < kept; i += blockDim.x) {
        int rank = 0;
        for (int j = 0; j < kept; j++) rank += left[j] > left[i];
        if (rank < k) {
            int index = (1 << INDEX_BITS) - 1 - (int)(left[i] & (u64)((1 << INDEX_BITS) - 1));
            values[(i64)blockIdx.x * k + rank] = row[index];
            ids[(i64)blockIdx.x * k + rank] = index;
        }
    }
}
