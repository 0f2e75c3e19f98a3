/*
 * Workloads of keeping house: snapshots beside edits, a journal that loses its
 * beginning, a state made anew from a snapshot, a replica made from one.
 */
#include <mbj/trim.h>

#include "cut_lab.h"

/* Each state costs a store or two more than others: one step of so many. */
enum { TRIM_ODDS = 5, SEED_ODDS = 24 };

static void trim(struct cut_lab *lab)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_trim_result result;

	options.keep_us = 0;
	options.keep_requests = 1;
	SITE_OK(mbj_store_trim(lab->primary.store, &options, &result, err));
	ck_assert_uint_gt(result.segments, 0);
}

static void snapshot(struct cut_lab *lab)
{
	struct mbj_snapshot_result result;

	SITE_OK(mbj_store_snapshot(lab->primary.store, &result, err));
	ck_assert(result.is_new);
}

static void back_and_forth(struct cut_lab *lab, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		cut_rename(lab, 1, "m2", "x2");
		cut_rename(lab, 1, "x2", "m2");
	}
}

static void small_segments(struct cut_lab *lab, unsigned step_odds)
{
	if (lab->only == NULL)
		lab->step_odds = step_odds;
	lab->options.log.segment_size = 2u << 10;
	lab->options.log.reserve_max = 1u << 10;
	cut_primary_prepare(lab);
	back_and_forth(lab, 6);
}

void cut_trim_prepare(struct cut_lab *lab)
{
	small_segments(lab, TRIM_ODDS);
}

void cut_trim_run(struct cut_lab *lab)
{
	snapshot(lab);
	back_and_forth(lab, 2);
	trim(lab);
	cut_rename(lab, 1, "m3", "x3");
	cut_close(lab, &lab->primary);
	lab->options.is_rebuild_forced = true;
	cut_open(lab, &lab->primary);
	lab->options.is_rebuild_forced = false;
	back_and_forth(lab, 3);
	trim(lab);
}

void cut_seed_prepare(struct cut_lab *lab)
{
	small_segments(lab, SEED_ODDS);
	trim(lab);
	cut_close(lab, &lab->primary);
	lab->primary.is_quiet = true;
}

void cut_seed_run(struct cut_lab *lab)
{
	struct cut_side *side = &lab->replica;

	side->is_tried = true;
	side->is_seeded = true;
	side->tried = lab->primary.acked;
	SITE_OK(cut_seed(lab, side->dir, &lab->options, err));
	side->acked = lab->primary.acked;
	side->is_promised = true;
}
