/*
 * Bounded growable buffers and arrays.
 *
 * A buffer is where every record of ours is put together.  It is not a
 * stream: nothing leaves it but by its view.
 *
 * Invariants:
 *  1. n <= max, whatever was appended; n <= capacity.
 *  2. Once failed, content and memory stay as they are until _clear or _done:
 *     a record with a hole can never look whole.
 *  3. capacity may be max + 1: mbj_buf_format needs room for its NUL.
 *
 * Threads: one at a time per buffer.
 */
#include <stdarg.h>
#include <stdio.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/memory.h>

enum { ARRAY_MIN = 8, BUF_MIN = 64 };

enum mbj_rc mbj_array_reserve(void **array, size_t *capacity, size_t needed,
			      size_t size, size_t max, struct mbj_error *err)
{
	size_t wanted;
	void *grown;

	MBJ_ASSERT(array != NULL && size > 0);
	MBJ_ASSERT(*array != NULL || *capacity == 0);
	if (needed <= *capacity)
		return MBJ_OK;
	if (needed > max)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%zu elements are over the limit of %zu",
				     needed, max);
	wanted = *capacity < ARRAY_MIN ? ARRAY_MIN : *capacity;
	while (wanted < needed)
		wanted = wanted > max / 2 ? max : wanted * 2;
	if (wanted > max)
		wanted = max;
	grown = mbj_realloc_array(*array, wanted, size);
	if (grown == NULL)
		return mbj_error_nomem(err);
	*array = grown;
	*capacity = wanted;
	return MBJ_OK;
}

void mbj_buf_init(struct mbj_buf *buf, size_t max)
{
	MBJ_ASSERT(buf != NULL);
	MBJ_ASSERT(max < SIZE_MAX / 2);
	*buf = (struct mbj_buf){.max = max, .failed = MBJ_OK};
}

void mbj_buf_done(struct mbj_buf *buf)
{
	if (buf == NULL)
		return;
	mbj_free(buf->p);
	*buf = (struct mbj_buf){.max = buf->max, .failed = MBJ_OK};
}

void mbj_buf_clear(struct mbj_buf *buf)
{
	MBJ_ASSERT(buf != NULL);
	buf->n = 0;
	buf->failed = MBJ_OK;
}

enum mbj_rc mbj_buf_ok(const struct mbj_buf *buf, struct mbj_error *err)
{
	MBJ_ASSERT(buf != NULL);
	MBJ_ASSERT(buf->n <= buf->max);
	if (buf->failed == MBJ_ELIMIT)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "does not fit into %zu bytes, the limit "
				     "of this record",
				     buf->max);
	if (buf->failed != MBJ_OK)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

/* The common case of buf_reserve: records are put together field by field. */
static inline bool buf_has_room(const struct mbj_buf *buf, size_t extra)
{
	return buf->failed == MBJ_OK && extra <= buf->max - buf->n &&
	       extra <= buf->capacity - buf->n;
}

/* Memory for extra more bytes and spare that do not count against max. */
static bool buf_reserve(struct mbj_buf *buf, size_t extra, size_t spare)
{
	size_t needed, wanted;
	uint8_t *grown;

	MBJ_ASSERT(buf->n <= buf->max);
	MBJ_ASSERT(spare <= 1);
	if (buf->failed != MBJ_OK)
		return false;
	if (extra > buf->max - buf->n) {
		buf->failed = MBJ_ELIMIT;
		return false;
	}
	needed = buf->n + extra + spare;
	if (needed <= buf->capacity)
		return true;
	wanted = buf->capacity < BUF_MIN ? BUF_MIN : buf->capacity;
	while (wanted < needed)
		wanted *= 2; /* needed <= SIZE_MAX / 2: no wrap */
	if (wanted > buf->max + 1)
		wanted = buf->max + 1;
	grown = mbj_realloc_array(buf->p, wanted, 1);
	if (grown == NULL) {
		buf->failed = MBJ_ENOMEM;
		return false;
	}
	buf->p = grown;
	buf->capacity = wanted;
	return true;
}

/* Where the next n bytes go, n > 0; NULL: nowhere. */
static inline uint8_t *buf_take(struct mbj_buf *buf, size_t n)
{
	uint8_t *p;

	MBJ_ASSERT(buf != NULL);
	if (!buf_has_room(buf, n) && !buf_reserve(buf, n, 0))
		return NULL;
	p = buf->p + buf->n;
	buf->n += n;
	return p;
}

void mbj_buf_put(struct mbj_buf *buf, const void *p, size_t n)
{
	uint8_t *to;

	MBJ_ASSERT(p != NULL || n == 0);
	if (n > 0 && (to = buf_take(buf, n)) != NULL)
		memcpy(to, p, n);
}

void mbj_buf_put_bytes(struct mbj_buf *buf, struct mbj_bytes b)
{
	mbj_buf_put(buf, b.p, b.n);
}

void mbj_buf_put_str(struct mbj_buf *buf, const char *text)
{
	MBJ_ASSERT(text != NULL);
	mbj_buf_put(buf, text, strlen(text));
}

void mbj_buf_put_zero(struct mbj_buf *buf, size_t n)
{
	MBJ_ASSERT(buf != NULL);
	if (n == 0 || !buf_reserve(buf, n, 0))
		return;
	memset(buf->p + buf->n, 0, n);
	buf->n += n;
}

void mbj_buf_format(struct mbj_buf *buf, const char *format, ...)
{
	va_list args;
	int length;

	MBJ_ASSERT(buf != NULL);
	MBJ_ASSERT(format != NULL);
	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	MBJ_ASSERT(length >= 0);
	if (!buf_reserve(buf, (size_t)length, 1))
		return;
	va_start(args, format);
	(void)vsnprintf((char *)buf->p + buf->n, (size_t)length + 1, format,
			args);
	va_end(args);
	buf->n += (size_t)length;
}

void mbj_buf_put_u8(struct mbj_buf *buf, uint8_t v)
{
	uint8_t *p = buf_take(buf, sizeof(v));

	if (p != NULL)
		*p = v;
}

void mbj_buf_put_u16(struct mbj_buf *buf, uint16_t v)
{
	uint8_t *p = buf_take(buf, sizeof(v));

	if (p != NULL)
		mbj_store_u16(p, v);
}

void mbj_buf_put_u32(struct mbj_buf *buf, uint32_t v)
{
	uint8_t *p = buf_take(buf, sizeof(v));

	if (p != NULL)
		mbj_store_u32(p, v);
}

void mbj_buf_put_u64(struct mbj_buf *buf, uint64_t v)
{
	uint8_t *p = buf_take(buf, sizeof(v));

	if (p != NULL)
		mbj_store_u64(p, v);
}

void mbj_buf_put_id(struct mbj_buf *buf, struct mbj_id id)
{
	uint8_t *p = buf_take(buf, sizeof(id.b));

	if (p != NULL)
		memcpy(p, id.b, sizeof(id.b));
}

void mbj_buf_put_block(struct mbj_buf *buf, struct mbj_bytes b)
{
	MBJ_ASSERT(buf != NULL);
	/* Longer than its length field can say: over any limit of ours. */
	if (b.n > UINT32_MAX) {
		if (buf->failed == MBJ_OK)
			buf->failed = MBJ_ELIMIT;
		return;
	}
	mbj_buf_put_u32(buf, (uint32_t)b.n);
	mbj_buf_put_bytes(buf, b);
}
