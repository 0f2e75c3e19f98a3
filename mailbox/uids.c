/*
 * UID sets: their one form, and how IMAP writes them; see mbj/message.h.
 *
 * Threads: pure.
 */
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/message.h>

size_t mbj_uids_count(struct mbj_bytes uids)
{
	MBJ_ASSERT(uids.n % MBJ_UID_RANGE_SIZE == 0);
	return uids.n / MBJ_UID_RANGE_SIZE;
}

struct mbj_uid_range mbj_uids_get(struct mbj_bytes uids, size_t index)
{
	const uint8_t *p = uids.p + index * MBJ_UID_RANGE_SIZE;

	MBJ_ASSERT(index < mbj_uids_count(uids));
	return (struct mbj_uid_range){mbj_load_u32(p), mbj_load_u32(p + 4)};
}

bool mbj_uids_are_good(struct mbj_bytes uids)
{
	uint64_t free = 1; /* the lowest UID that the next range may have */

	if (uids.n == 0 || uids.n % MBJ_UID_RANGE_SIZE != 0 ||
	    uids.n > (size_t)MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE)
		return false;
	for (size_t i = 0; i < mbj_uids_count(uids); i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		if (range.first < free || range.last < range.first ||
		    range.last >= MBJ_UIDNEXT_MAX)
			return false;
		free = (uint64_t)range.last + 2;
	}
	return true;
}

void mbj_uids_put(struct mbj_buf *uids, uint32_t first, uint32_t last)
{
	uint8_t *end;

	MBJ_ASSERT(first > 0 && first <= last);
	MBJ_ASSERT(uids->n % MBJ_UID_RANGE_SIZE == 0);
	if (uids->n > 0) {
		end = uids->p + uids->n - MBJ_UID_RANGE_SIZE;
		MBJ_ASSERT(first >= mbj_load_u32(end));
		if (first - 1 <= mbj_load_u32(end + 4)) {
			if (last > mbj_load_u32(end + 4))
				mbj_store_u32(end + 4, last);
			return;
		}
	}
	mbj_buf_put_u32(uids, first);
	mbj_buf_put_u32(uids, last);
}

/* -------------------------------------------------------- IMAP's form */

struct uids_text {
	struct mbj_bytes rest;
	uint32_t last; /* what * is, 0 where there is no UID */
};

static bool uid_read(struct uids_text *text, uint32_t *ret_uid)
{
	uint64_t value = 0;
	size_t n = 0;

	if (text->rest.n > 0 && text->rest.p[0] == '*') {
		*ret_uid = text->last;
		n = 1;
	}
	while (n < text->rest.n && n < 10 && text->rest.p[0] != '*' &&
	       text->rest.p[n] >= '0' && text->rest.p[n] <= '9')
		value = 10 * value + (uint64_t)(text->rest.p[n++] - '0');
	if (n == 0)
		return false;
	if (text->rest.p[0] != '*') {
		/* nz-number: no leading zero; the last 32-bit value is no UID.
		 */
		if (text->rest.p[0] == '0' || value >= MBJ_UIDNEXT_MAX)
			return false;
		*ret_uid = (uint32_t)value;
	}
	text->rest.p += n;
	text->rest.n -= n;
	return true;
}

static bool mark_read(struct uids_text *text, uint8_t mark)
{
	if (text->rest.n == 0 || text->rest.p[0] != mark)
		return false;
	text->rest.p++;
	text->rest.n--;
	return true;
}

static bool range_read(struct uids_text *text, struct mbj_uid_range *ret_range)
{
	uint32_t a, b;

	if (!uid_read(text, &a))
		return false;
	b = a;
	if (mark_read(text, ':') && !uid_read(text, &b))
		return false;
	ret_range->first = a < b ? a : b;
	ret_range->last = a < b ? b : a;
	return true;
}

static int range_compare(const void *a, const void *b)
{
	const struct mbj_uid_range *x = a;
	const struct mbj_uid_range *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* Every range of the text; those with a * that means nothing are left out. */
static enum mbj_rc ranges_read(struct uids_text *text,
			       struct mbj_uid_range *ranges, size_t *ret_count,
			       struct mbj_error *err)
{
	size_t count = 0;

	do {
		struct mbj_uid_range range;

		if (!range_read(text, &range))
			return mbj_error_set(
				err, MBJ_EINVALID,
				"a set of UIDs is written like 1:4,7,9:*, "
				"which \"%.*s\" is not",
				(int)(text->rest.n < 40 ? text->rest.n : 40),
				(const char *)text->rest.p);
		if (range.first == 0)
			continue;
		if (count == MBJ_UID_RANGES_MAX)
			return mbj_error_set(err, MBJ_ELIMIT,
					     "a set of UIDs has at most %d "
					     "ranges",
					     MBJ_UID_RANGES_MAX);
		ranges[count++] = range;
	} while (mark_read(text, ','));
	if (text->rest.n > 0)
		return mbj_error_set(
			err, MBJ_EINVALID,
			"a set of UIDs goes on with a comma, not \"%.*s\"",
			(int)(text->rest.n < 40 ? text->rest.n : 40),
			(const char *)text->rest.p);
	*ret_count = count;
	return MBJ_OK;
}

enum mbj_rc mbj_uids_parse(struct mbj_bytes text, uint32_t last,
			   struct mbj_buf *ret_uids, struct mbj_error *err)
{
	struct uids_text rest = {text, last};
	struct mbj_uid_range *ranges;
	size_t count = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(last < MBJ_UIDNEXT_MAX);
	ranges = mbj_calloc(MBJ_UID_RANGES_MAX, sizeof(*ranges));
	if (ranges == NULL)
		return mbj_error_nomem(err);
	rc = ranges_read(&rest, ranges, &count, err);
	if (rc == MBJ_OK) {
		qsort(ranges, count, sizeof(*ranges), range_compare);
		mbj_buf_clear(ret_uids);
		for (size_t i = 0; i < count; i++)
			mbj_uids_put(ret_uids, ranges[i].first, ranges[i].last);
		rc = mbj_buf_ok(ret_uids, err);
	}
	mbj_free(ranges);
	return rc;
}

void mbj_uids_print(struct mbj_buf *buf, struct mbj_bytes uids)
{
	for (size_t i = 0; i < mbj_uids_count(uids); i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		mbj_buf_format(buf, "%s%lu", i == 0 ? "" : ",",
			       (unsigned long)range.first);
		if (range.last > range.first)
			mbj_buf_format(buf, ":%lu", (unsigned long)range.last);
	}
}
