/*
 * CRC32C: the Castagnoli polynomial 0x1EDC6F41, reflected 0x82F63B78, as
 * RFC 3720 appendix B.4 has it.  It guards against accident, not against
 * anybody.
 *
 * The table version is slicing-by-8 (Kounavis and Berry, "Novel table
 * lookup-based algorithms for high-performance CRC generation", 2008).  The
 * instruction has its result three cycles later, and another one can begin in
 * each: a page of 4,096 bytes is three lanes in step, which are then put
 * together, and what is left.
 *
 * Invariants:
 *  1. Both versions agree on every input; a journal moves between machines.
 *  2. tables[k][i] is byte i followed by k zero bytes.  Being linear over
 *     GF(2), a row is written down as its eight values at 1, 2, 4 .. 128, of
 *     which the compiler makes the other 248.
 *  3. lane_tables[k][i] is byte k of a value, i, followed by LANE_SIZE zero
 *     bytes; written down likewise.
 *
 * Threads: pure.
 */
#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define HAVE_SSE42 1
#include <nmmintrin.h>
#else
#define HAVE_SSE42 0
#endif

/* clang-format off */
#define AT(i, a, b, c, d, e, f, g, h)                                          \
	(((i) & 1 ? (a) : 0u) ^ ((i) & 2 ? (b) : 0u) ^                         \
	 ((i) & 4 ? (c) : 0u) ^ ((i) & 8 ? (d) : 0u) ^                         \
	 ((i) & 16 ? (e) : 0u) ^ ((i) & 32 ? (f) : 0u) ^                       \
	 ((i) & 64 ? (g) : 0u) ^ ((i) & 128 ? (h) : 0u))
#define AT4(i, ...)                                                            \
	AT((i), __VA_ARGS__), AT((i) + 1, __VA_ARGS__),                        \
	AT((i) + 2, __VA_ARGS__), AT((i) + 3, __VA_ARGS__)
#define AT16(i, ...)                                                           \
	AT4((i), __VA_ARGS__), AT4((i) + 4, __VA_ARGS__),                      \
	AT4((i) + 8, __VA_ARGS__), AT4((i) + 12, __VA_ARGS__)
#define AT64(i, ...)                                                           \
	AT16((i), __VA_ARGS__), AT16((i) + 16, __VA_ARGS__),                   \
	AT16((i) + 32, __VA_ARGS__), AT16((i) + 48, __VA_ARGS__)
#define ROW(...)                                                               \
	{ AT64(0, __VA_ARGS__), AT64(64, __VA_ARGS__),                         \
	  AT64(128, __VA_ARGS__), AT64(192, __VA_ARGS__) }

static const uint32_t tables[8][256] = {
	ROW(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf,
	    0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	ROW(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8,
	    0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	ROW(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5,
	    0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	ROW(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6,
	    0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	ROW(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91,
	    0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	ROW(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f,
	    0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	ROW(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53,
	    0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	ROW(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da,
	    0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

#if HAVE_SSE42
enum { LANE_SIZE = 1360 };

static const uint32_t lane_tables[4][256] = {
	ROW(0x79113270, 0xf22264e0, 0xe1a8bf31, 0xc6bd0893,
	    0x889667d7, 0x14c0b95f, 0x298172be, 0x5302e57c),
	ROW(0xa605caf8, 0x49e7e301, 0x93cfc602, 0x2273faf5,
	    0x44e7f5ea, 0x89cfebd4, 0x1673a159, 0x2ce742b2),
	ROW(0x59ce8564, 0xb39d0ac8, 0x62d66361, 0xc5acc6c2,
	    0x8eb5fb75, 0x1887801b, 0x310f0036, 0x621e006c),
	ROW(0xc43c00d8, 0x8d947741, 0x1ec49873, 0x3d8930e6,
	    0x7b1261cc, 0xf624c398, 0xe9a5f1c1, 0xd6a79573),
};
#endif
/* clang-format on */

static uint32_t eight_bytes(uint32_t crc, const uint8_t *p)
{
	uint32_t low = crc ^ mbj_load_u32(p);
	uint32_t high = mbj_load_u32(p + 4);

	return tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
	       tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
	       tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
	       tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
}

uint32_t mbj_crc32c_table(uint32_t crc, struct mbj_bytes b)
{
	const uint8_t *p = b.p;
	size_t n = b.n;

	MBJ_ASSERT(p != NULL || n == 0);
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8)
		crc = eight_bytes(crc, p);
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#if HAVE_SSE42

bool mbj_crc32c_has_hardware(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}

/* What a value becomes when a lane of zeroes follows. */
static uint64_t lane_pass(uint64_t crc)
{
	return lane_tables[0][crc & 0xff] ^ lane_tables[1][crc >> 8 & 0xff] ^
	       lane_tables[2][crc >> 16 & 0xff] ^
	       lane_tables[3][crc >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static uint64_t three_lanes(uint64_t crc,
							      const uint8_t *p)
{
	uint64_t second = 0;
	uint64_t third = 0;

	for (const uint8_t *end = p + LANE_SIZE; p < end; p += 8) {
		crc = _mm_crc32_u64(crc, mbj_load_u64(p));
		second = _mm_crc32_u64(second, mbj_load_u64(p + LANE_SIZE));
		third = _mm_crc32_u64(third, mbj_load_u64(p + 2 * LANE_SIZE));
	}
	return lane_pass(lane_pass(crc) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, struct mbj_bytes b)
{
	const uint8_t *p = b.p;
	size_t n = b.n;
	uint64_t wide = ~crc;

	MBJ_ASSERT(p != NULL || n == 0);
	for (; n >= 3 * LANE_SIZE; n -= 3 * LANE_SIZE, p += 3 * LANE_SIZE)
		wide = three_lanes(wide, p);
	for (; n >= 8; n -= 8, p += 8)
		wide = _mm_crc32_u64(wide, mbj_load_u64(p));
	crc = (uint32_t)wide;
	for (; n > 0; n--, p++)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}

uint32_t mbj_crc32c(uint32_t crc, struct mbj_bytes b)
{
	if (mbj_crc32c_has_hardware())
		return crc32c_sse42(crc, b);
	return mbj_crc32c_table(crc, b);
}

#else

bool mbj_crc32c_has_hardware(void)
{
	return false;
}

uint32_t mbj_crc32c(uint32_t crc, struct mbj_bytes b)
{
	return mbj_crc32c_table(crc, b);
}

#endif
