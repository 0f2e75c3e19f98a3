/*
 * Little-endian decoding with one bounds rule: a reader never passes its end,
 * and a read past it sets a sticky failure and yields zeroes.  Callers decode
 * a whole record and ask mbj_reader_ok() once.  Encoding is mbj_buf_put_*.
 */
#ifndef MBJ_CODEC_H
#define MBJ_CODEC_H

#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline uint16_t mbj_load_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t mbj_load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t mbj_load_u64(const uint8_t *p)
{
	return (uint64_t)mbj_load_u32(p) | (uint64_t)mbj_load_u32(p + 4) << 32;
}

static inline void mbj_store_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void mbj_store_u32(uint8_t *p, uint32_t v)
{
	mbj_store_u16(p, (uint16_t)v);
	mbj_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void mbj_store_u64(uint8_t *p, uint64_t v)
{
	mbj_store_u32(p, (uint32_t)v);
	mbj_store_u32(p + 4, (uint32_t)(v >> 32));
}

/*
 * Big-endian, for Berkeley DB keys, where byte order is number order, and
 * what SHA-256 is made of.
 */
static inline void mbj_store_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void mbj_store_be64(uint8_t *p, uint64_t v)
{
	mbj_store_be32(p, (uint32_t)(v >> 32));
	mbj_store_be32(p + 4, (uint32_t)v);
}

struct mbj_reader {
	const uint8_t *p;
	size_t n;      /* all bytes */
	size_t offset; /* next byte, <= n */
	bool failed;
};

MBJ_API void mbj_reader_init(struct mbj_reader *reader, struct mbj_bytes b);
/* Nothing failed so far. */
MBJ_API bool mbj_reader_ok(const struct mbj_reader *reader);
/* Nothing failed and nothing is left. */
MBJ_API bool mbj_reader_is_spent(const struct mbj_reader *reader);
MBJ_API size_t mbj_reader_left(const struct mbj_reader *reader);
MBJ_API uint8_t mbj_read_u8(struct mbj_reader *reader);
MBJ_API uint16_t mbj_read_u16(struct mbj_reader *reader);
MBJ_API uint32_t mbj_read_u32(struct mbj_reader *reader);
MBJ_API uint64_t mbj_read_u64(struct mbj_reader *reader);
MBJ_API struct mbj_id mbj_read_id(struct mbj_reader *reader);
/* A view of the next n bytes, borrowed from the input. */
MBJ_API struct mbj_bytes mbj_read_bytes(struct mbj_reader *reader, size_t n);
/* u32 length (at most max), then a view of the bytes. */
MBJ_API struct mbj_bytes mbj_read_block(struct mbj_reader *reader, size_t max);

#ifdef __cplusplus
}
#endif

#endif
