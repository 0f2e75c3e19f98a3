/*
 * What the tests of primitives, groups and the log share: random primitives
 * from the table, random groups in one chain, and logs on the disk in memory.
 */
#ifndef TEST_JOURNAL_LOG_LAB_H
#define TEST_JOURNAL_LOG_LAB_H

#include <mbj/log.h>

#include "log_disk.h"
#include "op_table.h"
#include "segment.h"

/* Fails the test with the error's text; the call names its error "err". */
#define LAB_OK(call)                                              \
	do {                                                      \
		struct mbj_error err_ = {.rc = MBJ_OK};           \
		struct mbj_error *err = &err_;                    \
		enum mbj_rc rc_ = (call);                         \
		ck_assert_msg(rc_ == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(rc_), err->message);    \
	} while (0)

/* Must fail with this code. */
#define LAB_FAILS(call, expected)                                             \
	do {                                                                  \
		struct mbj_error err_ = {.rc = MBJ_OK};                       \
		struct mbj_error *err = &err_;                                \
		enum mbj_rc rc_ = (call);                                     \
		ck_assert_msg(rc_ == (expected), "%s: %s, not %s: %s", #call, \
			      mbj_rc_name(rc_), mbj_rc_name(expected),        \
			      err->message);                                  \
		ck_assert_int_eq(err->rc, (expected));                        \
		ck_assert_uint_gt(strlen(err->message), 0);                   \
	} while (0)

/* ---------------------------------------------------------- primitives */

/* Where random values come from, and where their bytes live. */
struct lab_rng {
	struct test_rng rng;
	struct mbj_arena *arena;
	size_t bytes_max; /* longest random name or value, 0: the real limits */
};

void lab_rng_init(struct lab_rng *lab, uint64_t seed, size_t bytes_max);
void lab_rng_done(struct lab_rng *lab);
/* count bytes, none of them NUL. */
struct mbj_bytes lab_random_text(struct lab_rng *lab, size_t count);
struct mbj_id lab_random_id(struct lab_rng *lab);
/* Legal in every field; kind 0: any. */
struct mbj_op lab_op(struct lab_rng *lab, uint16_t kind, uint32_t accounts);

void lab_op_put(struct mbj_buf *buf, const struct mbj_op *op);
enum mbj_rc lab_op_get(struct mbj_bytes bytes, struct mbj_op *ret_op,
		       struct mbj_error *err);

/* -------------------------------------------------------------- groups */

/* Begin group 41 with so many random accounts. */
void lab_writer_begin(struct mbj_group_writer *writer, uint32_t accounts,
		      struct lab_rng *lab);
/* Parse, chain and content: everything that a reader checks. */
enum mbj_rc lab_record_check(struct mbj_sha256 *sha, struct mbj_bytes record,
			     const struct mbj_hash *before,
			     struct mbj_error *err);

/* Groups one after another, with all that is needed to compare them later. */
struct lab_chain {
	struct lab_rng lab;
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha;
	struct mbj_log_end end;
	struct mbj_buf records; /* all of them, back to back */
	size_t *begins;		/* [count + 1] of each in records */
	size_t count;
	size_t capacity;
	struct mbj_lsn first;
	enum mbj_origin origin; /* of those that are added */
};

void lab_chain_init(struct lab_chain *chain, uint64_t seed);
void lab_chain_done(struct lab_chain *chain);
/* Append a random group of at most ops primitives; returns its bytes. */
struct mbj_bytes lab_chain_add(struct lab_chain *chain, unsigned ops);
/* The record of an LSN. */
struct mbj_bytes lab_chain_get(const struct lab_chain *chain, uint64_t lsn);
/* The records of LSNs first to last, back to back. */
struct mbj_bytes lab_chain_range(const struct lab_chain *chain, uint64_t first,
				 uint64_t last);
/* LSN and chain value after a group of it, or before the first. */
struct mbj_log_end lab_chain_end(const struct lab_chain *chain, uint64_t lsn);

/* ---------------------------------------------------------------- logs */

extern const struct mbj_log_options lab_options; /* small segments */

struct mbj_id lab_lineage(void);
struct mbj_anchor lab_anchor(void);

enum mbj_rc lab_log_try(struct disk *disk, uint64_t known,
			struct mbj_log **ret_log, struct mbj_error *err);
struct mbj_log *lab_log_open(struct disk *disk, uint64_t known);
enum mbj_rc lab_reader_try(struct disk *disk, bool is_owned,
			   struct mbj_log_reader **ret_reader,
			   struct mbj_error *err);
/* Groups first to last of the chain as one batch; the log must be there. */
enum mbj_rc lab_append(struct mbj_log *log, const struct lab_chain *chain,
		       uint64_t first, uint64_t last, struct mbj_error *err);
/*
 * Read everything from the anchor: the chain's groups 1 to last, byte by byte,
 * and then the end.
 */
void lab_read_all(struct disk *disk, bool is_owned,
		  const struct lab_chain *chain, uint64_t last);
/* The last segment's name. */
const char *lab_segment(struct disk *disk);

#endif
