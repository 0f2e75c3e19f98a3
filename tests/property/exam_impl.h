/*
 * What the parts of an exam share.  Private to exam*.c:
 *
 *	exam.c           the state, delivery, interruption, A-B-A
 *	exam_script.c    from an edit to the primitives that would be recorded
 *	exam_amiss.c     deliveries that are not as they should be
 */
#ifndef TEST_EXAM_IMPL_H
#define TEST_EXAM_IMPL_H

#include <mbj/apply.h>
#include <mbj/diff.h>
#include <mbj/plan.h>
#include <mbj/tree.h>

#include "exam.h"
#include "plan_op.h"

enum { STEPS_MAX = 2 * SMALL_MAX };

#define EXAM_OK(call)                                                \
	do {                                                         \
		struct mbj_error err_ = {.rc = MBJ_OK};              \
		struct mbj_error *err = &err_;                       \
		if ((call) != MBJ_OK)                                \
			small_die(err->message, __FILE__, __LINE__); \
	} while (0)

struct exam {
	char *dir;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct small_place base[SMALL_MAX]; /* the tree in the transaction */
	uint32_t base_count;
	struct mbj_tree *before; /* the same as a tree */
	size_t start;		 /* savepoint with the base in place */
	uint32_t cases_in_txn;
	bool is_thorough;
	struct mbj_sha256 *sha;
	struct mbj_group_writer writer;
	struct mbj_buf record;
};

/* A group as it was recorded: primitives, and where each leads. */
struct script {
	size_t count;
	struct plan_op ops[STEPS_MAX];
	uint32_t ids[STEPS_MAX];
	struct small_place walk[STEPS_MAX + 1][SMALL_MAX]; /* after so many */
};

/* Write down what is wrong; always false. */
bool wrong(char why[EXAM_WHY_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------- exam_script.c */

struct mbj_id id_of(int mailbox);
struct mbj_name name_of(struct small_place place);
/* The mailboxes of a tree, parents first; the number of them. */
uint32_t tree_order(const struct small_place *tree, uint32_t count,
		    uint32_t order[SMALL_MAX]);
struct mbj_tree *tree_make(const struct small_place *tree, uint32_t count);
/* Plan from one tree to the other: the group that would be recorded. */
bool script_plan(struct script *script, const struct small *small,
		 const struct mbj_tree *before, const struct mbj_tree *after,
		 uint32_t parks, struct exam_tally *tally,
		 char why[EXAM_WHY_SIZE]);

/* -------------------------------------------------------------- exam.c */

extern const struct mbj_id exam_account;

/* One primitive, which must get that verdict. */
bool deliver(struct exam *exam, const struct mbj_op *op,
	     enum mbj_verdict wanted, char why[EXAM_WHY_SIZE]);
struct mbj_digest exam_digest(struct exam *exam);

/* -------------------------------------------------------- exam_amiss.c */

/* Where done primitives have happened: what must not happen now. */
bool amiss_early(struct exam *exam, const struct small *small,
		 const struct script *script, size_t done,
		 struct exam_tally *tally, char why[EXAM_WHY_SIZE]);
/* Where all have happened. */
bool amiss_after(struct exam *exam, const struct small *small,
		 const struct script *script, char why[EXAM_WHY_SIZE]);
/* The whole group on the state before, in every wrong way and the right one. */
bool amiss_group(struct exam *exam, const struct script *script,
		 const struct mbj_digest *end, char why[EXAM_WHY_SIZE]);

#endif
