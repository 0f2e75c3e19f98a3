/*
 * Sealing a state's files, and comparing them with their seal; see seal.h.
 *
 * Not here: what becomes of a state that differs (journal/rebuild.c).
 *
 * Invariants:
 *   1. a seal is on disk only while nobody has the environment open;
 *   2. a file is read in order, once, in pieces: memory is bounded by the
 *      seal, four bytes for a page.
 *
 * Threads: see seal.h.
 */
#include "seal.h"

#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "db_engine.h"

enum {
	SEAL_VERSION = 1,
	SEAL_PAGE = STATE_PAGE_SIZE,
	SEAL_PIECE = 64 << 10,
	SEAL_SIZE_MAX = 1 << 30, /* a state of 1 TiB */
	SEAL_NAMES_MAX = 4 << 20,
	SEAL_HEAD_SIZE = 16,
	PAGES_SIZE = 20,
};

_Static_assert(SEAL_PIECE % SEAL_PAGE == 0, "pieces are whole pages");

static const char seal_magic[8] = {'M', 'B', 'J', 'S', 'S', 'E', 'A', 'L'};
static const char pages_magic[8] = {'M', 'B', 'J', 'S', 'P', 'A', 'G', 'E'};
static const char tables_name[] = "state.db";

/* A file on its way through: one page at a time. */
struct seal_walk {
	struct mbj_file file;
	uint64_t size;
	uint64_t at; /* of the page that comes next */
	size_t piece_n;
	uint8_t piece[SEAL_PIECE];
};

static enum mbj_rc walk_open(struct seal_walk *walk, const struct mbj_sys *sys,
			     const char *home, const char *name,
			     struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	walk->file = MBJ_FILE_CLOSED;
	walk->at = 0;
	walk->piece_n = 0;
	rc = mbj_path_join(path, home, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &walk->file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&walk->file, &walk->size, err);
	return rc;
}

/* The next page; none left: *ret_page is empty. */
static enum mbj_rc walk_next(struct seal_walk *walk, struct mbj_bytes *ret_page,
			     struct mbj_error *err)
{
	size_t in_piece = (size_t)(walk->at % SEAL_PIECE);
	size_t n;
	enum mbj_rc rc;

	if (in_piece == 0) {
		rc = mbj_file_read(&walk->file, walk->at, walk->piece,
				   SEAL_PIECE, &walk->piece_n, err);
		if (rc < 0)
			return rc;
	}
	if (in_piece >= walk->piece_n) {
		*ret_page = mbj_bytes_make(NULL, 0);
		return MBJ_OK;
	}
	n = walk->piece_n - in_piece;
	if (n > SEAL_PAGE)
		n = SEAL_PAGE;
	*ret_page = mbj_bytes_make(walk->piece + in_piece, n);
	walk->at += n;
	return MBJ_OK;
}

/* Damage at the page that was read last. */
static enum mbj_rc page_fault(const struct seal_walk *walk,
			      struct mbj_bytes page, const char *what,
			      struct mbj_error *err)
{
	uint64_t at = walk->at - page.n;
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT, "page %llu of %s (byte %llu) %s",
			   (unsigned long long)(at / SEAL_PAGE),
			   walk->file.path, (unsigned long long)at, what);
	mbj_error_at(err, walk->file.path, at, 0);
	return rc;
}

static enum mbj_rc file_fault(const char *home, const char *name,
			      const char *what, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, home, name, err);
	if (rc < 0)
		return rc;
	rc = mbj_error_set(err, MBJ_ECORRUPT, "%s %s", path, what);
	mbj_error_at(err, path, 0, 0);
	return rc;
}

/* Names of files that a seal is about, each with its NUL, in order. */
static enum mbj_rc names_list(const struct mbj_sys *sys, const char *home,
			      struct mbj_buf *names, struct mbj_error *err)
{
	enum mbj_rc rc;

	mbj_buf_init(names, SEAL_NAMES_MAX);
	rc = mbj_dir_list(sys, home, names, err);
	if (rc < 0)
		mbj_buf_done(names);
	return rc;
}

/* The marks beside the environment are no part of it. */
static bool name_is_ours(const char *name)
{
	return strncmp(name, SEAL_NAME, strlen(SEAL_NAME)) == 0 ||
	       strcmp(name, "suspect") == 0;
}

/* ---------------------------------------------------------------- making */

static enum mbj_rc file_add(struct mbj_buf *seal, const struct mbj_sys *sys,
			    const char *home, const char *name,
			    struct seal_walk *walk, struct mbj_error *err)
{
	struct mbj_bytes page;
	enum mbj_rc rc;

	rc = walk_open(walk, sys, home, name, err);
	if (rc == MBJ_OK) {
		mbj_buf_put_block(seal, mbj_bytes_str(name));
		mbj_buf_put_u64(seal, walk->size);
	}
	while (rc == MBJ_OK) {
		rc = walk_next(walk, &page, err);
		if (rc < 0 || page.n == 0)
			break;
		mbj_buf_put_u32(seal, mbj_crc32c(0, page));
	}
	/* Nobody else writes here; a file that moves is not to be sealed. */
	if (rc == MBJ_OK && walk->at != walk->size)
		rc = file_fault(home, name, "changed while it was read", err);
	mbj_file_close(&walk->file);
	return rc;
}

static enum mbj_rc files_add(struct mbj_buf *seal, const struct mbj_sys *sys,
			     const char *home, const struct mbj_buf *names,
			     struct mbj_bytes tables, struct mbj_error *err)
{
	struct seal_walk *walk = mbj_alloc(sizeof(*walk));
	uint32_t count = 0;
	enum mbj_rc rc = MBJ_OK;

	if (walk == NULL)
		return mbj_error_nomem(err);
	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name)) {
		if (name_is_ours(name))
			continue;
		if (tables.n > 0 && strcmp(name, tables_name) == 0) {
			mbj_buf_put_block(seal, mbj_bytes_str(name));
			mbj_buf_put(seal, tables.p, tables.n);
		} else {
			rc = file_add(seal, sys, home, name, walk, err);
		}
		count++;
	}
	mbj_free(walk);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(seal, err);
	if (rc == MBJ_OK)
		mbj_store_u32(seal->p + SEAL_HEAD_SIZE - 4, count);
	return rc;
}

enum mbj_rc seal_make(const struct mbj_sys *sys, const char *home,
		      struct mbj_bytes tables, struct mbj_error *err)
{
	struct mbj_buf names;
	struct mbj_buf seal;
	enum mbj_rc rc;

	rc = names_list(sys, home, &names, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&seal, SEAL_SIZE_MAX);
	mbj_buf_put(&seal, seal_magic, sizeof(seal_magic));
	mbj_buf_put_u32(&seal, SEAL_VERSION);
	mbj_buf_put_u32(&seal, 0);
	rc = mbj_buf_ok(&seal, err);
	if (rc == MBJ_OK)
		rc = files_add(&seal, sys, home, &names, tables, err);
	if (rc == MBJ_OK) {
		mbj_buf_put_u32(&seal, mbj_crc32c(0, mbj_buf_view(&seal)));
		rc = mbj_buf_ok(&seal, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, home, SEAL_NAME, mbj_buf_view(&seal),
				      err);
	mbj_buf_done(&seal);
	mbj_buf_done(&names);
	return rc;
}

/* ------------------------------------------------------------- comparing */

/* One file against what the reader says of it. */
static enum mbj_rc file_compare(struct seal_walk *walk, struct mbj_reader *seal,
				struct mbj_error *err)
{
	uint64_t size = mbj_read_u64(seal);
	struct mbj_bytes page;
	enum mbj_rc rc;

	for (uint64_t at = 0; at < size; at += SEAL_PAGE) {
		uint32_t crc = mbj_read_u32(seal);

		if (!mbj_reader_ok(seal))
			break;
		rc = walk_next(walk, &page, err);
		if (rc < 0)
			return rc;
		if (page.n == 0)
			return page_fault(walk, page, "is missing", err);
		if (mbj_crc32c(0, page) != crc)
			return page_fault(walk, page,
					  "is not what it was when the state "
					  "was closed",
					  err);
	}
	if (walk->size != size) {
		walk->at = size;
		return page_fault(walk, mbj_bytes_make(NULL, 0),
				  "is beyond the end that it had", err);
	}
	return MBJ_OK;
}

/* For seal_make; too much, or no memory for it, is no error. */
static void tables_keep(struct mbj_buf *tables, struct mbj_bytes said)
{
	mbj_buf_put(tables, said.p, said.n);
	if (mbj_buf_ok(tables, NULL) < 0)
		mbj_buf_done(tables);
}

/* The next file of the seal must be the next one in the directory. */
static enum mbj_rc next_compare(const struct mbj_sys *sys, const char *home,
				const char *name, struct mbj_reader *seal,
				struct seal_walk *walk, struct mbj_buf *tables,
				struct mbj_error *err)
{
	struct mbj_bytes sealed = mbj_read_block(seal, MBJ_PATH_TEXT_MAX);
	struct mbj_bytes found = mbj_bytes_str(name);
	size_t begin = seal->offset;
	char text[64];
	enum mbj_rc rc;

	if (!mbj_reader_ok(seal) || mbj_bytes_compare(found, sealed) < 0)
		return file_fault(home, name, "does not belong to the state",
				  err);
	if (!mbj_bytes_equal(found, sealed)) {
		(void)mbj_text_escape(text, sizeof(text), sealed);
		return file_fault(home, text, "is missing", err);
	}
	rc = walk_open(walk, sys, home, name, err);
	if (rc == MBJ_OK)
		rc = file_compare(walk, seal, err);
	if (rc == MBJ_OK && strcmp(name, tables_name) == 0)
		tables_keep(tables, mbj_bytes_make(seal->p + begin,
						   seal->offset - begin));
	mbj_file_close(&walk->file);
	return rc;
}

static enum mbj_rc files_compare(const struct mbj_sys *sys, const char *home,
				 const struct mbj_buf *names, uint32_t count,
				 struct mbj_reader *seal,
				 struct mbj_buf *tables, struct mbj_error *err)
{
	struct seal_walk *walk = mbj_alloc(sizeof(*walk));
	uint32_t seen = 0;
	enum mbj_rc rc = MBJ_OK;

	if (walk == NULL)
		return mbj_error_nomem(err);
	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name)) {
		if (name_is_ours(name))
			continue;
		rc = next_compare(sys, home, name, seal, walk, tables, err);
		seen++;
	}
	mbj_free(walk);
	if (rc == MBJ_OK && (seen != count || !mbj_reader_is_spent(seal)))
		rc = file_fault(home, SEAL_NAME, "lists files that are missing",
				err);
	return rc;
}

/* The seal's own bytes: good, or damaged. */
static enum mbj_rc seal_judge(struct mbj_bytes bytes, const char *home,
			      struct mbj_reader *ret_reader,
			      uint32_t *ret_count, struct mbj_error *err)
{
	struct mbj_bytes magic;

	if (bytes.n < SEAL_HEAD_SIZE + 4 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4)) !=
		    mbj_load_u32(bytes.p + bytes.n - 4))
		return file_fault(home, SEAL_NAME, "is damaged", err);
	mbj_reader_init(ret_reader, mbj_bytes_make(bytes.p, bytes.n - 4));
	magic = mbj_read_bytes(ret_reader, sizeof(seal_magic));
	if (memcmp(magic.p, seal_magic, sizeof(seal_magic)) != 0 ||
	    mbj_read_u32(ret_reader) != SEAL_VERSION)
		return file_fault(home, SEAL_NAME, "is of another version",
				  err);
	*ret_count = mbj_read_u32(ret_reader);
	return MBJ_OK;
}

enum mbj_rc seal_check(const struct mbj_sys *sys, const char *home,
		       bool *ret_is_sealed, struct mbj_buf *ret_tables,
		       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_reader reader;
	struct mbj_buf names;
	struct mbj_buf seal;
	uint32_t count = 0;
	enum mbj_rc rc;

	mbj_buf_init(ret_tables, SEAL_TABLES_KEPT_MAX);
	rc = mbj_path_join(path, home, SEAL_NAME, err);
	if (rc < 0)
		return rc;
	*ret_is_sealed = mbj_path_exists(sys, path);
	if (!*ret_is_sealed)
		return MBJ_OK;
	rc = names_list(sys, home, &names, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&seal, SEAL_SIZE_MAX);
	rc = mbj_file_load(sys, path, SEAL_SIZE_MAX, &seal, err);
	if (rc == MBJ_OK)
		rc = seal_judge(mbj_buf_view(&seal), home, &reader, &count,
				err);
	if (rc == MBJ_OK)
		rc = files_compare(sys, home, &names, count, &reader,
				   ret_tables, err);
	mbj_buf_done(&seal);
	mbj_buf_done(&names);
	return rc;
}

enum mbj_rc seal_break(const struct mbj_sys *sys, const char *home,
		       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	/*
	 * Not synced: should a power cut bring it back beside files that were
	 * changed, they differ from it, and the state is made anew.
	 */
	rc = mbj_path_join(path, home, SEAL_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(sys, path, err);
	return rc;
}

/* ---------------------------------------------------------- without a seal */

static bool page_is_zero(struct mbj_bytes page)
{
	/* Equal to itself moved by one, and the first byte is zero. */
	return page.p[0] == 0 && memcmp(page.p, page.p + 1, page.n - 1) == 0;
}

static enum mbj_rc pages_count(const struct mbj_sys *sys, const char *home,
			       uint64_t *ret_count)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file file;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, home, tables_name, NULL);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &file, NULL);
	if (rc < 0)
		return rc;
	rc = mbj_file_size(&file, &size, NULL);
	mbj_file_close(&file);
	*ret_count = size / SEAL_PAGE;
	return rc;
}

static enum mbj_rc pages_note(const struct mbj_sys *sys, const char *home,
			      const char *path)
{
	uint8_t bytes[PAGES_SIZE];
	struct mbj_file file;
	uint64_t count = 0;
	enum mbj_rc rc;

	rc = pages_count(sys, home, &count);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_WRONLY | O_CREAT, &file, NULL);
	if (rc < 0)
		return rc;
	memcpy(bytes, pages_magic, sizeof(pages_magic));
	mbj_store_u64(bytes + 8, count);
	mbj_store_u32(bytes + 16, mbj_crc32c(0, mbj_bytes_make(bytes, 16)));
	rc = mbj_file_write(&file, 0, bytes, sizeof(bytes), NULL);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, NULL);
	mbj_file_close(&file);
	return rc;
}

void seal_pages_note(const struct mbj_sys *sys, const char *home)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (mbj_path_join(path, home, SEAL_PAGES_NAME, NULL) < 0)
		return;
	if (pages_note(sys, home, path) < 0)
		(void)!mbj_file_remove(sys, path, NULL);
}

/* All that there are, where nothing can be told. */
static uint64_t pages_noted(const struct mbj_sys *sys, const char *home)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t count = UINT64_MAX;
	struct mbj_buf note;

	mbj_buf_init(&note, PAGES_SIZE);
	if (mbj_path_join(path, home, SEAL_PAGES_NAME, NULL) == MBJ_OK &&
	    mbj_file_load(sys, path, PAGES_SIZE, &note, NULL) == MBJ_OK &&
	    note.n == PAGES_SIZE &&
	    memcmp(note.p, pages_magic, sizeof(pages_magic)) == 0 &&
	    mbj_load_u32(note.p + 16) ==
		    mbj_crc32c(0, mbj_bytes_make(note.p, 16)))
		count = mbj_load_u64(note.p + 8);
	mbj_buf_done(&note);
	return count;
}

/* count: pages that recovery does not write, whatever else it does. */
static enum mbj_rc pages_walk(struct seal_walk *walk, uint64_t count,
			      struct mbj_error *err)
{
	uint64_t last = 0;
	struct mbj_bytes page;
	enum mbj_rc rc;

	for (uint64_t i = 0;; i++) {
		rc = walk_next(walk, &page, err);
		if (rc < 0)
			return rc;
		if (page.n == 0 && i > 0 && (i > last || i >= count))
			return MBJ_OK;
		if (page.n < SEAL_PAGE)
			return page_fault(walk, page, "is cut off", err);
		if (i < count && page_is_zero(page))
			return page_fault(walk, page,
					  "was never written, or lost", err);
		if (!db_berkeley_page_is_sane(page))
			return page_fault(walk, page,
					  "says that it has no checksum, or is "
					  "of another type",
					  err);
		if (i == 0)
			last = db_berkeley_last_page(page);
	}
}

enum mbj_rc seal_pages_check(const struct mbj_sys *sys, const char *home,
			     struct mbj_error *err)
{
	struct seal_walk *walk = mbj_alloc(sizeof(*walk));
	enum mbj_rc rc;

	if (walk == NULL)
		return mbj_error_nomem(err);
	rc = walk_open(walk, sys, home, tables_name, err);
	if (rc == MBJ_OK)
		rc = pages_walk(walk, pages_noted(sys, home), err);
	if (rc == MBJ_ENOTFOUND)
		rc = file_fault(home, tables_name, "is missing", err);
	mbj_file_close(&walk->file);
	mbj_free(walk);
	return rc;
}

/* One that is shorter the engine passes over, or finds wanting. */
static enum mbj_rc log_check(const struct mbj_sys *sys, const char *home,
			     const char *name, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	uint8_t head[DB_LOG_HEAD_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, home, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_read(&file, 0, head, sizeof(head), &n, err);
	mbj_file_close(&file);
	if (rc == MBJ_OK && n == sizeof(head) &&
	    !db_berkeley_log_is_sane(mbj_bytes_make(head, n)))
		rc = file_fault(home, name,
				"begins with a record of a length that it "
				"cannot have",
				err);
	return rc;
}

enum mbj_rc seal_logs_check(const struct mbj_sys *sys, const char *home,
			    struct mbj_error *err)
{
	struct mbj_buf names;
	enum mbj_rc rc;

	rc = names_list(sys, home, &names, err);
	if (rc < 0)
		return rc;
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (strncmp(name, "log.", 4) == 0)
			rc = log_check(sys, home, name, err);
	}
	mbj_buf_done(&names);
	return rc;
}
