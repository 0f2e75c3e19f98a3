/*
 * Workloads of backups: one made and brought forward while its source goes on,
 * and a store made of one.
 */
#include <mbj/backup.h>

#include "cut_lab.h"

enum { STEP_ODDS = 24 };

static uint64_t backup_take(struct cut_lab *lab, const char *dir)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;

	options.store = &lab->options;
	SITE_OK(mbj_backup(lab->primary.dir, dir, &options, &result, err));
	ck_assert_uint_eq(result.end.v, lab->primary.acked);
	return result.end.v;
}

/* Into the replica's directory. */
static void backup_side(struct cut_lab *lab)
{
	struct cut_side *side = &lab->replica;

	side->is_tried = true;
	side->is_backup = true;
	side->tried = lab->primary.acked;
	side->acked = backup_take(lab, side->dir);
	side->marked = side->acked;
	side->is_promised = true;
}

/* Each state costs a store or two more than others: one step of so many. */
void cut_backup_prepare(struct cut_lab *lab)
{
	if (lab->only == NULL)
		lab->step_odds = STEP_ODDS;
	cut_primary_prepare(lab);
	cut_messages_run(lab);
}

/* The source is open: it is in use. */
void cut_backup_run(struct cut_lab *lab)
{
	lab->primary.is_quiet = true;
	backup_side(lab);
	cut_rename(lab, 1, "m5", "x5");
	backup_side(lab);
}

void cut_restore_prepare(struct cut_lab *lab)
{
	cut_backup_prepare(lab);
	cut_close(lab, &lab->primary);
	lab->primary.is_quiet = true;
	SITE_OK(mbj_path_join(lab->backup, lab->root, "backup", err));
	(void)backup_take(lab, lab->backup);
}

/* Of a store that is bent: whoever has only its journal sets u1 aside. */
void cut_promote_prepare(struct cut_lab *lab)
{
	cut_backup_prepare(lab);
	if (lab->only == NULL)
		lab->step_odds = 2 * STEP_ODDS;
	cut_diverge(lab, &lab->primary, 6);
	cut_rename(lab, 1, "m5", "x5");
	cut_close(lab, &lab->primary);
	SITE_OK(mbj_path_join(lab->backup, lab->root, "backup", err));
	(void)backup_take(lab, lab->backup);
	/* It can be made anew from nothing. */
	lab->primary.is_tried = false;
}

void cut_promote_run(struct cut_lab *lab)
{
	struct cut_side *side = &lab->replica;

	side->role = MBJ_STORE_PRIMARY;
	side->is_promoted = true;
	cut_restore_run(lab);
}

void cut_restore_run(struct cut_lab *lab)
{
	struct cut_side *side = &lab->replica;

	side->is_tried = true;
	side->is_restored = true;
	side->tried = lab->primary.acked;
	SITE_OK(cut_restore(lab, side->dir, &lab->options, err));
	side->acked = lab->primary.acked;
	side->is_promised = true;
}
