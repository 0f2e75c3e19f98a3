/*
 * What the tests of JMAP documents share: randomness that repeats, documents
 * in and out, plans made in one call, and assertions that show what came
 * instead.  Cases of the files test_jmap_*.c.
 */
#ifndef TEST_JOURNAL_JMAP_LAB_H
#define TEST_JOURNAL_JMAP_LAB_H

#include <stdio.h>

#include <mbj/codec.h>
#include <mbj/jmap.h>

#include "support.h"

TCase *test_jmap_entry_case(void);
TCase *test_jmap_json_case(void);
TCase *test_jmap_list_case(void);
TCase *test_jmap_log_case(void);
TCase *test_jmap_memory_case(void);
TCase *test_jmap_plan_case(void);
TCase *test_jmap_set_case(void);
TCase *test_plan_dot_case(void);

/* Fail with the library's own message. */
#define lab_ok(call, err)                                             \
	do {                                                          \
		enum mbj_rc lab_got = (call);                         \
		ck_assert_msg(lab_got == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(lab_got), (err).message);   \
	} while (0)

#define lab_rc(call, wanted)                                        \
	do {                                                        \
		enum mbj_rc lab_got = (call);                       \
		ck_assert_msg(lab_got == (wanted), "%s: %s", #call, \
			      mbj_rc_name(lab_got));                \
	} while (0)

/* The system of these tests: n random bytes are zeroes and a counter. */
struct lab_sys {
	struct mbj_sys sys;
	uint32_t counter;
};

void lab_sys_init(struct lab_sys *lab);

/* 32 digits that end in number. */
struct mbj_id lab_id(uint32_t number);

/* Parse with the mode's usual options. */
enum mbj_rc lab_list(const char *json, enum mbj_jmap_mode mode,
		     struct mbj_jmap_map *map, const struct mbj_tree *base,
		     struct mbj_jmap_list **ret_list, struct mbj_error *err);
/* The same for any bytes. */
enum mbj_rc lab_list_bytes(struct mbj_bytes json, enum mbj_jmap_mode mode,
			   struct mbj_jmap_map *map,
			   struct mbj_jmap_list **ret_list,
			   struct mbj_error *err);

/* A plan between two documents, with all that it rests on. */
struct lab_plan {
	struct mbj_jmap_map *map;
	struct mbj_jmap_list *lists[2];
	struct mbj_diff diff;
	struct mbj_plan plan;
	struct mbj_jmap_plan *shown;
};

void lab_plan_init(struct lab_plan *lab, const char *before, const char *after);
void lab_plan_done(struct lab_plan *lab);

/* An outcome whose record holds these operations of one account. */
void lab_outcome_init(struct mbj_outcome *outcome, const struct mbj_op *ops,
		      size_t count);

/* The buffer as a string, for comparing and for strstr. */
const char *lab_text(struct mbj_buf *buf);
/* Fail unless text is wanted, showing both. */
void lab_same(const char *text, const char *wanted);
/* Fail unless part is in text. */
void lab_has(const char *text, const char *part);

#endif
