/*
 * The record of what became of accounts that are set aside: one file, replaced
 * as a whole.
 *
 *	 0  8  magic "MBJAUDIT"
 *	 8  4  format version, 1
 *	12  8  entries that went for being old
 *	20  4  entries
 *	24     the entries
 *	       CRC32C of all before
 *
 * Invariant: what _load hands out was written by _flush, whole: bytes that are
 * anything else are named.
 */
#include <mbj/audit.h>

#include <unistd.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "store_impl.h"

static const char audit_magic[8] = {'M', 'B', 'J', 'A', 'U', 'D', 'I', 'T'};

enum {
	AUDIT_VERSION = 1,
	AUDIT_HEAD_SIZE = 24,
	/* All but the reason. */
	ENTRY_SIZE = 8 + 1 + 1 + 4 + MBJ_ID_SIZE + 8 + 8 + 8,
	/* What is left where there is no room for more. */
	AUDIT_KEPT_SIZE = MBJ_AUDIT_SIZE_MAX / 2,
	PENDING_MAX = 2 * MBJ_AUDIT_SIZE_MAX,
};

const char *mbj_audit_kind_word(enum mbj_audit_kind kind)
{
	switch (kind) {
#define X(name, number, word, what) \
	case MBJ_AUDIT_##name:      \
		return word;
		MBJ_AUDIT_MAP(X)
#undef X
	}
	MBJ_UNREACHABLE();
}

const char *mbj_audit_kind_text(enum mbj_audit_kind kind)
{
	switch (kind) {
#define X(name, number, word, what) \
	case MBJ_AUDIT_##name:      \
		return what;
		MBJ_AUDIT_MAP(X)
#undef X
	}
	MBJ_UNREACHABLE();
}

/* ---------------------------------------------------------------- entries */

static void entry_encode(struct mbj_buf *buf, const struct mbj_audit_entry *e)
{
	struct mbj_bytes reason = e->reason;

	if (reason.n > MBJ_AUDIT_REASON_MAX)
		reason.n = MBJ_AUDIT_REASON_MAX;
	mbj_buf_put_u64(buf, (uint64_t)e->time_us);
	mbj_buf_put_u8(buf, (uint8_t)e->kind);
	mbj_buf_put_u8(buf, e->is_asked);
	mbj_buf_put_u32(buf, e->uid);
	mbj_buf_put_id(buf, e->account);
	mbj_buf_put_u64(buf, e->first.v);
	mbj_buf_put_u64(buf, e->snapshot.v);
	mbj_buf_put_u64(buf, e->count);
	mbj_buf_put_block(buf, reason);
}

static bool entry_decode(struct mbj_reader *reader, struct mbj_audit_entry *ret)
{
	struct mbj_audit_entry e = {.number = 0};
	uint8_t kind, is_asked;

	e.time_us = (int64_t)mbj_read_u64(reader);
	kind = mbj_read_u8(reader);
	is_asked = mbj_read_u8(reader);
	e.uid = mbj_read_u32(reader);
	e.account = mbj_read_id(reader);
	e.first.v = mbj_read_u64(reader);
	e.snapshot.v = mbj_read_u64(reader);
	e.count = mbj_read_u64(reader);
	e.reason = mbj_read_block(reader, MBJ_AUDIT_REASON_MAX);
	if (!mbj_reader_ok(reader) || kind == 0 || kind > MBJ_AUDIT_LAST ||
	    is_asked > 1)
		return false;
	e.kind = (enum mbj_audit_kind)kind;
	e.is_asked = is_asked == 1;
	*ret = e;
	return true;
}

/* Read on, until so many bytes are left; counts entries. */
static uint64_t entries_skip(struct mbj_reader *reader, size_t left)
{
	struct mbj_audit_entry entry;
	uint64_t count = 0;

	for (; mbj_reader_left(reader) > left; count++) {
		bool is_read = entry_decode(reader, &entry);

		MBJ_ASSERT(is_read);
	}
	return count;
}

/* ------------------------------------------------------------------ files */

static enum mbj_rc damaged(const char *path, struct mbj_error *err)
{
	(void)mbj_error_set(err, MBJ_ECORRUPT,
			    "%s, the record of accounts that were set aside, "
			    "is damaged",
			    path);
	mbj_error_at(err, path, 0, 0);
	return MBJ_ECORRUPT;
}

/* Every entry can be read. */
static bool entries_are_good(struct mbj_bytes bytes, uint64_t count)
{
	struct mbj_audit_entry entry;
	struct mbj_reader reader;

	mbj_reader_init(&reader, bytes);
	for (uint64_t i = 0; i < count; i++)
		if (!entry_decode(&reader, &entry))
			return false;
	return mbj_reader_is_spent(&reader);
}

static enum mbj_rc list_take(struct mbj_audit_list *list, const char *path,
			     struct mbj_error *err)
{
	struct mbj_bytes bytes = mbj_buf_view(&list->bytes);
	struct mbj_bytes entries;
	uint32_t version;

	if (bytes.n < AUDIT_HEAD_SIZE + 4 ||
	    memcmp(bytes.p, audit_magic, sizeof(audit_magic)) != 0 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4)) !=
		    mbj_load_u32(bytes.p + bytes.n - 4))
		return damaged(path, err);
	version = mbj_load_u32(bytes.p + 8);
	if (version != AUDIT_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "%s has format %u, this program knows "
				     "format %d: use a newer one",
				     path, version, AUDIT_VERSION);
	list->dropped = mbj_load_u64(bytes.p + 12);
	list->count = mbj_load_u32(bytes.p + 20);
	entries = mbj_bytes_make(bytes.p + AUDIT_HEAD_SIZE,
				 bytes.n - AUDIT_HEAD_SIZE - 4);
	if (!entries_are_good(entries, list->count))
		return damaged(path, err);
	mbj_reader_init(&list->reader, entries);
	return MBJ_OK;
}

enum mbj_rc mbj_audit_load(const struct mbj_sys *sys, const char *dir,
			   struct mbj_audit_list *ret_list,
			   struct mbj_error *err)
{
	struct mbj_audit_list list = {.dropped = 0};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	mbj_buf_init(&list.bytes, MBJ_AUDIT_SIZE_MAX);
	mbj_reader_init(&list.reader, mbj_bytes_make(NULL, 0));
	rc = mbj_path_join(path, dir, STORE_AUDIT_NAME, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_load(sys, path, MBJ_AUDIT_SIZE_MAX, &list.bytes, &why);
	if (rc == MBJ_OK)
		rc = list_take(&list, path, &why);
	else if (rc == MBJ_ELIMIT)
		rc = damaged(path, &why);
	else if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	if (rc < 0 && err != NULL)
		*err = why;
	if (rc < 0)
		mbj_buf_done(&list.bytes);
	else
		*ret_list = list;
	return rc;
}

bool mbj_audit_next(struct mbj_audit_list *list,
		    struct mbj_audit_entry *ret_entry)
{
	bool is_read;

	if (list->number == list->count)
		return false;
	/* All of them could be read when it was loaded. */
	is_read = entry_decode(&list->reader, ret_entry);
	MBJ_ASSERT(is_read);
	ret_entry->number = list->dropped + ++list->number;
	return true;
}

void mbj_audit_list_done(struct mbj_audit_list *list)
{
	mbj_buf_done(&list->bytes);
}

/* ---------------------------------------------------------------- writing */

void mbj_audit_begin(struct mbj_audit *audit, struct mbj_store *store,
		     bool is_asked)
{
	audit->store = store;
	audit->is_asked = is_asked;
	audit->dropped = 0;
	mbj_buf_init(&audit->pending, PENDING_MAX);
}

/* No more than a file takes is ever needed: the oldest go. */
static void pending_shorten(struct mbj_audit *audit)
{
	struct mbj_buf *pending = &audit->pending;
	struct mbj_reader reader;

	if (pending->n <= MBJ_AUDIT_SIZE_MAX)
		return;
	mbj_reader_init(&reader, mbj_buf_view(pending));
	audit->dropped += entries_skip(&reader, AUDIT_KEPT_SIZE);
	pending->n = mbj_reader_left(&reader);
	memmove(pending->p, pending->p + reader.offset, pending->n);
}

void mbj_audit_note(struct mbj_audit *audit,
		    const struct mbj_audit_entry *entry)
{
	const struct mbj_sys *sys = audit->store->sys;
	struct mbj_audit_entry e = *entry;

	e.time_us = sys->now_us(sys->ctx);
	e.uid = (uint32_t)getuid();
	e.is_asked = audit->is_asked;
	entry_encode(&audit->pending, &e);
	pending_shorten(audit);
}

void mbj_audit_end(struct mbj_audit *audit)
{
	mbj_buf_done(&audit->pending);
}

/* Entries from where the reader stands. */
static void file_make(struct mbj_buf *file, uint64_t dropped,
		      struct mbj_reader *reader)
{
	struct mbj_bytes entries = mbj_bytes_make(reader->p + reader->offset,
						  mbj_reader_left(reader));

	mbj_buf_put(file, audit_magic, sizeof(audit_magic));
	mbj_buf_put_u32(file, AUDIT_VERSION);
	mbj_buf_put_u64(file, dropped);
	mbj_buf_put_u32(file, (uint32_t)entries_skip(reader, 0));
	mbj_buf_put_bytes(file, entries);
	mbj_buf_put_u32(file, mbj_crc32c(0, mbj_buf_view(file)));
}

/* What is there, and what is pending, as far as there is room. */
static enum mbj_rc audit_write(struct mbj_audit *audit,
			       const struct mbj_audit_list *list,
			       struct mbj_error *err)
{
	const struct mbj_store *store = audit->store;
	struct mbj_reader reader;
	struct mbj_buf all, file;
	uint64_t old = list->dropped + audit->dropped;
	enum mbj_rc rc;

	mbj_buf_init(&all, 2 * PENDING_MAX);
	mbj_buf_init(&file, MBJ_AUDIT_SIZE_MAX);
	/* What is older than some that went already goes as well. */
	if (audit->dropped > 0)
		old += list->count;
	else
		mbj_buf_put(&all, list->reader.p,
			    mbj_reader_left(&list->reader));
	mbj_buf_put_bytes(&all, mbj_buf_view(&audit->pending));
	rc = mbj_buf_ok(&all, err);
	if (rc == MBJ_OK) {
		mbj_reader_init(&reader, mbj_buf_view(&all));
		if (all.n + AUDIT_HEAD_SIZE + 4 > MBJ_AUDIT_SIZE_MAX)
			old += entries_skip(&reader, AUDIT_KEPT_SIZE);
		file_make(&file, old, &reader);
		rc = mbj_buf_ok(&file, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_file_replace(store->sys, store->dir, STORE_AUDIT_NAME,
				      mbj_buf_view(&file), err);
	mbj_buf_done(&all);
	mbj_buf_done(&file);
	return rc;
}

/* One that is damaged is not lost, and keeps nobody aside. */
static enum mbj_rc damaged_put_aside(const struct mbj_store *store,
				     struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX];
	char to[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(from, store->dir, STORE_AUDIT_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(to, store->dir, STORE_AUDIT_DAMAGED_NAME,
				   err);
	return rc == MBJ_OK ? mbj_file_rename(store->sys, from, to, err) : rc;
}

enum mbj_rc mbj_audit_flush(struct mbj_audit *audit, struct mbj_error *err)
{
	const struct mbj_store *store = audit->store;
	struct mbj_audit_list list = {.dropped = 0};
	struct mbj_error why;
	enum mbj_rc rc = mbj_buf_ok(&audit->pending, err);

	if (rc < 0 || audit->pending.n == 0)
		return rc;
	rc = mbj_audit_load(store->sys, store->dir, &list, &why);
	if (rc == MBJ_ECORRUPT) {
		rc = damaged_put_aside(store, &why);
		if (rc == MBJ_OK)
			rc = mbj_audit_load(store->sys, store->dir, &list,
					    &why);
	}
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	rc = audit_write(audit, &list, err);
	mbj_audit_list_done(&list);
	if (rc == MBJ_OK) {
		mbj_buf_clear(&audit->pending);
		audit->dropped = 0;
	}
	return rc;
}
