/*
 * What the golden tests share: a store whose every byte is fixed, files, and
 * decoding what docs/FORMAT.md describes back into the bytes it came from.
 */
#ifndef TEST_GOLDEN_H
#define TEST_GOLDEN_H

#include <mbj/store.h>

#include "support.h"

/* Fails the test with the error's text; the call names its error "err". */
#define GOLDEN_OK(call)                                           \
	do {                                                      \
		struct mbj_error err_ = {.rc = MBJ_OK};           \
		struct mbj_error *err = &err_;                    \
		enum mbj_rc rc_ = (call);                         \
		ck_assert_msg(rc_ == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(rc_), err->message);    \
	} while (0)

TCase *test_format_case(void);
TCase *test_journals_case(void);

enum { GOLDEN_FILES_MAX = 64, GOLDEN_FILE_MAX = 1 << 20 };

/* ------------------------------------------------------------- script */

/* Small segments and caches. */
struct mbj_store_options golden_options(void);
/*
 * Make a store in dir, which must not exist, by a fixed script with a fixed
 * clock and fixed randomness: every kind of primitive, parks, several
 * segments.  The bytes of superblock and journal depend on the library alone.
 */
void golden_write(const char *dir);
/*
 * Append what the store at dir holds as text: its groups with their
 * primitives, then the accounts with their digests, which are checked.
 */
void golden_describe(const char *dir, struct mbj_buf *text);

/* ----------------------------------------------- decode, encode again */

/* One group taken apart and built again; *chain is before it, then after. */
void golden_group_again(const struct mbj_group *group, struct mbj_sha256 *sha,
			struct mbj_hash *chain, struct mbj_buf *again);
/* A whole file each; name is the segment's. */
void golden_segment_again(struct mbj_bytes file, const char *name,
			  struct mbj_buf *again);
void golden_mark_again(struct mbj_bytes file, struct mbj_buf *again);
void golden_superblock_again(struct mbj_bytes file, struct mbj_buf *again);

/* -------------------------------------------------------------- files */

/* The whole file into bytes, which are cleared first. */
void golden_load(const char *path, struct mbj_buf *bytes);
void golden_save(const char *path, struct mbj_bytes bytes);
/* Sorted entries of a directory; returns how many.  Free each with free(3). */
size_t golden_list(const char *dir, char *names[GOLDEN_FILES_MAX]);
/* Superblock and journal of a store, to a place that must not exist. */
void golden_copy(const char *from, const char *to);

#endif
