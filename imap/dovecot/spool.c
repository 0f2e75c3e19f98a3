/*
 * The file of what is in doubt.  See spool.h.
 *
 * A process appends to a file that it knows to be on disk, and writes any other
 * anew, under another name: what somebody wrote who was killed may be in the
 * page cache alone, and after a failed sync nothing tells what is on disk.
 */
#include "spool.h"

#include <fcntl.h>
#include <stdio.h>

#include <mbj/hash.h>

#define SPOOL_HEAD "mbj-spool 1\n"

enum {
	HEAD_SIZE = sizeof(SPOOL_HEAD) - 1,
	RECORD_SIZE = 61,
	RECORD_CRC_AT = 52,
	/* Where all of an account's mailboxes are left. */
	RECORDS_MAX = 1 << 20,
	FILE_MAX = HEAD_SIZE + (RECORDS_MAX + 2) * RECORD_SIZE,
};

void spool_init(struct spool *spool, const struct mbj_sys *sys, const char *dir)
{
	*spool = (struct spool){.sys = sys, .dir = dir};
}

void spool_done(struct spool *spool)
{
	mbj_free(spool->entries);
	spool->entries = NULL;
	spool->count = spool->capacity = 0;
}

bool spool_is_empty(const struct spool *spool)
{
	return spool->count == 0 && spool->tree_since == 0 &&
	       spool->whole_since == 0;
}

static struct spool_entry *entry_find(const struct spool *spool,
				      struct mbj_id mailbox)
{
	for (size_t i = 0; i < spool->count; i++)
		if (mbj_id_equal(spool->entries[i].mailbox, mailbox))
			return &spool->entries[i];
	return NULL;
}

bool spool_has(const struct spool *spool, struct mbj_id mailbox)
{
	return spool->whole_since != 0 || entry_find(spool, mailbox) != NULL;
}

static int64_t since_min(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t spool_since(const struct spool *spool)
{
	int64_t since = since_min(spool->tree_since, spool->whole_since);

	for (size_t i = 0; i < spool->count; i++)
		since = since_min(since, spool->entries[i].since);
	return since;
}

static enum mbj_rc entry_push(struct spool *spool, struct mbj_id mailbox,
			      int64_t since, struct mbj_error *err)
{
	void *list = spool->entries;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &spool->capacity, spool->count + 1,
			       sizeof(*spool->entries), RECORDS_MAX, err);
	spool->entries = list;
	if (rc == MBJ_OK)
		spool->entries[spool->count++] =
			(struct spool_entry){.mailbox = mailbox,
					     .since = since};
	return rc;
}

/* --------------------------------------------------------------- reading */

static bool hex_parse(const uint8_t *p, size_t n, uint64_t *ret_value)
{
	*ret_value = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t digit;

		if (p[i] >= '0' && p[i] <= '9')
			digit = (uint8_t)(p[i] - '0');
		else if (p[i] >= 'a' && p[i] <= 'f')
			digit = (uint8_t)(p[i] - 'a' + 10);
		else
			return false;
		*ret_value = *ret_value << 4 | digit;
	}
	return true;
}

/* False: it is no record of this version. */
static bool record_parse(const uint8_t *p, char *ret_kind,
			 struct spool_entry *ret_entry)
{
	uint64_t crc, since;

	if (!hex_parse(p + RECORD_CRC_AT, 8, &crc) || p[60] != '\n' ||
	    crc != mbj_crc32c(0, mbj_bytes_make(p, RECORD_CRC_AT)) ||
	    !mbj_id_parse(mbj_bytes_make(p + 2, 32), &ret_entry->mailbox) ||
	    !hex_parse(p + 35, 16, &since) || since == 0 || since > INT64_MAX)
		return false;
	*ret_kind = (char)p[0];
	ret_entry->since = (int64_t)since;
	return true;
}

/* MBJ_ECORRUPT: that is none. */
static enum mbj_rc record_take(struct spool *spool, const uint8_t *p,
			       struct mbj_error *err)
{
	struct spool_entry entry;
	enum mbj_rc rc = MBJ_OK;
	char kind;

	if (!record_parse(p, &kind, &entry))
		return MBJ_ECORRUPT;
	switch (kind) {
	case 'T':
		spool->tree_since = since_min(spool->tree_since, entry.since);
		spool->inbox = entry.mailbox;
		break;
	case 'W':
		spool->tree_since = since_min(spool->tree_since, entry.since);
		spool->whole_since = since_min(spool->whole_since, entry.since);
		break;
	case 'M':
	case 'N':
	case 'S':
		rc = entry_push(spool, entry.mailbox, entry.since, err);
		if (rc < 0)
			break;
		spool->entries[spool->count - 1].is_stopped = kind == 'S';
		spool->entries[spool->count - 1].is_new_told = kind != 'M';
		break;
	default:
		rc = MBJ_ECORRUPT;
		break;
	}
	return rc;
}

static enum mbj_rc file_parse(struct spool *spool, struct mbj_bytes bytes,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (bytes.n < HEAD_SIZE || memcmp(bytes.p, SPOOL_HEAD, HEAD_SIZE) != 0)
		return MBJ_ECORRUPT;
	for (size_t at = HEAD_SIZE; rc == MBJ_OK && at < bytes.n;
	     at += RECORD_SIZE)
		rc = bytes.n - at < RECORD_SIZE
			     ? MBJ_ECORRUPT
			     : record_take(spool, bytes.p + at, err);
	return rc;
}

static void spool_clear(struct spool *spool)
{
	spool->count = 0;
	spool->tree_since = spool->whole_since = 0;
	spool->inbox = MBJ_ID_ROOT;
	spool->is_changed = false;
}

/* What is damaged may be of any age, and is shown as old. */
static void spool_doubt(struct spool *spool)
{
	int64_t since = spool_since(spool);

	spool->count = 0;
	spool->inbox = MBJ_ID_ROOT;
	spool->tree_since = spool->whole_since = since == 0 ? 1 : since;
	spool->is_changed = true;
}

enum mbj_rc spool_load(struct spool *spool, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	enum mbj_rc rc;

	spool_clear(spool);
	rc = mbj_path_join(path, spool->dir, SPOOL_NAME, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&buf, FILE_MAX);
	rc = mbj_file_load(spool->sys, path, FILE_MAX, &buf, err);
	spool->is_synced &=
		rc == MBJ_OK && buf.n == spool->synced_size &&
		mbj_crc32c(0, mbj_buf_view(&buf)) == spool->synced_crc;
	if (rc == MBJ_OK)
		rc = file_parse(spool, mbj_buf_view(&buf), err);
	mbj_buf_done(&buf);
	if (rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT)
		spool_doubt(spool);
	else if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	return MBJ_OK;
}

/* --------------------------------------------------------------- writing */

static void record_put(struct mbj_buf *buf, char kind, struct mbj_id mailbox,
		       int64_t since)
{
	char id[MBJ_ID_TEXT_SIZE], text[RECORD_SIZE + 1];

	mbj_id_print(mailbox, id);
	(void)snprintf(text, sizeof(text), "%c %s %016llx ", kind, id,
		       (unsigned long long)since);
	mbj_buf_put(buf, text, RECORD_CRC_AT);
	mbj_buf_format(buf, "%08x\n",
		       mbj_crc32c(0, mbj_bytes_make(text, RECORD_CRC_AT)));
}

static char entry_kind(const struct spool_entry *entry)
{
	if (!entry->is_new_told)
		return 'M';
	return entry->is_stopped ? 'S' : 'N';
}

static void entries_put(const struct spool *spool, size_t from,
			struct mbj_buf *buf)
{
	for (size_t i = from; i < spool->count; i++)
		record_put(buf, entry_kind(&spool->entries[i]),
			   spool->entries[i].mailbox, spool->entries[i].since);
}

/* buf is on disk: behind what was there, or alone. */
static void synced_note(struct spool *spool, const struct mbj_buf *buf,
			bool is_behind)
{
	uint32_t before = is_behind ? spool->synced_crc : 0;

	spool->synced_crc = mbj_crc32c(before, mbj_buf_view(buf));
	spool->synced_size = (is_behind ? spool->synced_size : 0) + buf->n;
	spool->is_synced = true;
	spool->is_changed = false;
}

static enum mbj_rc file_write(struct spool *spool, struct mbj_error *err)
{
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, FILE_MAX);
	mbj_buf_put_str(&buf, SPOOL_HEAD);
	if (spool->tree_since != 0)
		record_put(&buf, 'T', spool->inbox, spool->tree_since);
	if (spool->whole_since != 0)
		record_put(&buf, 'W', MBJ_ID_ROOT, spool->whole_since);
	entries_put(spool, 0, &buf);
	rc = mbj_buf_ok(&buf, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(spool->sys, spool->dir, SPOOL_NAME,
				      mbj_buf_view(&buf), err);
	if (rc == MBJ_OK)
		synced_note(spool, &buf, false);
	mbj_buf_done(&buf);
	return rc;
}

static enum mbj_rc file_append(struct spool *spool, bool has_tree, size_t from,
			       struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, FILE_MAX);
	if (!has_tree)
		record_put(&buf, 'T', spool->inbox, spool->tree_since);
	entries_put(spool, from, &buf);
	rc = mbj_buf_ok(&buf, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, spool->dir, SPOOL_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(spool->sys, path, O_WRONLY, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_write(&file, spool->synced_size, buf.p, buf.n,
				    err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, err);
	mbj_file_close(&file);
	if (rc == MBJ_OK)
		synced_note(spool, &buf, true);
	mbj_buf_done(&buf);
	return rc;
}

/* One that is there is as if nothing of it had been told. */
static enum mbj_rc entry_add(struct spool *spool, struct mbj_id mailbox,
			     int64_t now, struct mbj_error *err)
{
	struct spool_entry *entry = entry_find(spool, mailbox);

	if (spool->whole_since != 0)
		return MBJ_OK;
	if (entry == NULL)
		return entry_push(spool, mailbox, now, err);
	spool->is_changed |= entry_kind(entry) != 'M';
	entry->is_stopped = entry->is_new_told = false;
	return MBJ_OK;
}

enum mbj_rc spool_add(struct spool *spool, struct mbj_id inbox,
		      const struct mbj_id *mailboxes, size_t count,
		      struct mbj_error *err)
{
	int64_t now = spool->sys->now_us(spool->sys->ctx) / 1000000;
	bool has_tree = spool->tree_since != 0;
	size_t from = spool->count;
	enum mbj_rc rc = MBJ_OK;

	now = now > 0 ? now : 1;
	if (!has_tree) {
		spool->tree_since = now;
		spool->inbox = inbox;
	} else if (mbj_id_is_root(spool->inbox) && !mbj_id_is_root(inbox)) {
		spool->inbox = inbox; /* a damaged file had another, or none */
		spool->is_changed = true;
	}
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = entry_add(spool, mailboxes[i], now, err);
	if (spool->count > SPOOL_ENTRIES_MAX && spool->count > from) {
		spool->whole_since = spool_since(spool);
		spool->count = 0;
		spool->is_changed = true;
	}
	if (rc == MBJ_OK && (!spool->is_synced || spool->is_changed))
		rc = file_write(spool, err);
	else if (rc == MBJ_OK && (!has_tree || spool->count > from))
		rc = file_append(spool, has_tree, from, err);
	/* Whoever comes next does not know what is there. */
	if (rc < 0)
		spool->is_synced = false;
	return rc;
}

enum mbj_rc spool_drop(struct spool *spool, struct mbj_id mailbox,
		       struct mbj_error *err)
{
	struct spool_entry *entry = entry_find(spool, mailbox);
	enum mbj_rc rc;

	if (entry == NULL)
		return MBJ_OK;
	spool->count--;
	memmove(entry, entry + 1,
		(size_t)(spool->entries + spool->count - entry) *
			sizeof(*entry));
	spool->is_changed = true;
	rc = file_write(spool, err);
	if (rc < 0)
		spool->is_synced = false;
	return rc;
}

enum mbj_rc spool_settled(struct spool *spool, const struct mbj_id *mailboxes,
			  size_t count, struct mbj_error *err)
{
	int64_t since = spool->whole_since;
	enum mbj_rc rc = MBJ_OK;

	if (since != 0)
		spool->count = 0;
	for (size_t i = 0; rc == MBJ_OK && since != 0 && i < count; i++)
		rc = entry_push(spool, mailboxes[i], since, err);
	spool->is_changed |= since != 0 || spool->tree_since != 0;
	if (rc == MBJ_OK)
		spool->tree_since = spool->whole_since = 0;
	return rc;
}

enum mbj_rc spool_save(struct spool *spool, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t kept = 0;
	enum mbj_rc rc;

	for (size_t i = 0; i < spool->count; i++)
		if (!spool->entries[i].is_done)
			spool->entries[kept++] = spool->entries[i];
	spool->is_changed |= kept < spool->count;
	spool->count = kept;
	if (!spool->is_changed)
		return MBJ_OK;
	if (!spool_is_empty(spool))
		return file_write(spool, err);
	rc = mbj_path_join(path, spool->dir, SPOOL_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(spool->sys, path, err);
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	spool->is_synced = false;
	spool->is_changed = rc < 0;
	return rc;
}
