/*
 * SipHash-1-3: Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * INDOCRYPT 2012, sections 2 and 3.
 *
 * It keys tables whose keys users choose.  It is not for the disk: the key is
 * drawn anew for each table.  One round a word and three at the end, not two
 * and four: nobody sees a value, only how long a search takes, for which this
 * is what the hash tables of many languages have.
 *
 * Threads: pure.
 */
#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

/* The ARX round of the paper's figure 2.1. */
static inline void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip_state *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

uint64_t mbj_siphash(struct mbj_sip_key key, struct mbj_bytes b)
{
	struct sip_state s = {
		key.k0 ^ UINT64_C(0x736f6d6570736575),
		key.k1 ^ UINT64_C(0x646f72616e646f6d),
		key.k0 ^ UINT64_C(0x6c7967656e657261),
		key.k1 ^ UINT64_C(0x7465646279746573),
	};
	size_t whole = b.n & ~(size_t)7;
	uint64_t last = (uint64_t)(b.n & 0xff) << 56;

	MBJ_ASSERT(b.p != NULL || b.n == 0);
	for (size_t i = 0; i < whole; i += 8)
		sip_word(&s, mbj_load_u64(b.p + i));
	for (size_t i = whole; i < b.n; i++)
		last |= (uint64_t)b.p[i] << 8 * (i - whole);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
