/*
 * The workloads that are cut: each writes through the library alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cut_lab.h"

enum { MAILBOXES = 6 };

/* ---------------------------------------------------------------- edits */

static void import(struct cut_lab *lab, unsigned account, unsigned count)
{
	cut_edit_begin(lab);
	site_import(lab->primary.store, account, count);
	cut_edit_end(lab);
}

void cut_rename(struct cut_lab *lab, unsigned account, const char *from,
		const char *to)
{
	cut_edit_begin(lab);
	SITE_OK(site_rename(lab->primary.store, account, from, to, NULL, err));
	cut_edit_end(lab);
}

void cut_submit(struct cut_lab *lab, struct mbj_edit *edit, unsigned account)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit->account = mbj_bytes_str(name);
	cut_edit_begin(lab);
	SITE_OK(mbj_store_submit(lab->primary.store, edit, &outcome, err));
	ck_assert_uint_eq(outcome.refused_count, 0);
	cut_edit_end(lab);
	edit->account = mbj_bytes_make(NULL, 0);
	mbj_outcome_done(&outcome);
}

/* Two names exchanged, all at once. */
static void swap(struct cut_lab *lab, unsigned account, const char *a,
		 const char *b)
{
	const struct mbj_rename renames[] = {
		{mbj_bytes_str(a), mbj_bytes_str(b)},
		{mbj_bytes_str(b), mbj_bytes_str(a)},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = renames;
	edit.rename_count = 2;
	cut_submit(lab, &edit, account);
}

/* The names of mailboxes 2 .. MAILBOXES go round by one, one is new. */
static void set_cycle(struct cut_lab *lab, unsigned account, unsigned turn)
{
	struct mbj_change changes[MAILBOXES];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char names[MAILBOXES][24];

	for (unsigned i = 0; i + 1 < MAILBOXES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u",
			       2 + (i + turn) % (MAILBOXES - 1));
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_UPDATE,
			.has = MBJ_CHANGE_HAS_NAME,
			.id = site_mailbox(account, i + 2),
			.name = mbj_bytes_str(names[i]),
		};
	}
	(void)snprintf(names[MAILBOXES - 1], sizeof(names[0]), "new%u", turn);
	changes[MAILBOXES - 1] = (struct mbj_change){
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
		       MBJ_CHANGE_HAS_SUBSCRIBED,
		.id = site_mailbox(account, 100 + turn),
		.name = mbj_bytes_str(names[MAILBOXES - 1]),
		.is_subscribed = true,
	};
	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes;
	edit.change_count = MAILBOXES;
	cut_submit(lab, &edit, account);
}

/* A whole tree: each mailbox below the one before, in another order. */
static void reconcile(struct cut_lab *lab, unsigned account, unsigned turn)
{
	struct mbj_change changes[MAILBOXES];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char names[MAILBOXES][24];

	for (unsigned i = 0; i < MAILBOXES; i++) {
		unsigned number = 2 + (i * 2 + turn) % (MAILBOXES - 1);
		unsigned above = 2 + ((i - 1) * 2 + turn) % (MAILBOXES - 1);

		(void)snprintf(names[i], sizeof(names[i]), "t%u", turn + i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = site_mailbox(account, i == 0 ? 1 : number),
			.parent = i < 2 ? (struct mbj_id){{0}}
					: site_mailbox(account, above),
			.name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]),
		};
	}
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.changes = changes;
	edit.change_count = MAILBOXES;
	cut_submit(lab, &edit, account);
}

/* ------------------------------------------------------------ workloads */

void cut_primary_prepare(struct cut_lab *lab)
{
	cut_init(lab, &lab->primary);
	cut_open(lab, &lab->primary);
	import(lab, 1, MAILBOXES);
	cut_rename(lab, 1, "m3", "n3");
	cut_rename(lab, 1, "n3", "m3");
}

static void init_run(struct cut_lab *lab)
{
	cut_init(lab, &lab->primary);
	cut_open(lab, &lab->primary);
	import(lab, 1, 3);
	cut_close(lab, &lab->primary);
	cut_init(lab, &lab->replica);
	cut_open(lab, &lab->replica);
}

static void append_run(struct cut_lab *lab)
{
	for (unsigned i = 0; i < 3; i++) {
		swap(lab, 1, "m2", "m3");
		set_cycle(lab, 1, i);
		cut_rename(lab, 1, "m5",
			   i == 0   ? "old0"
			   : i == 1 ? "old1"
				    : "old2");
	}
	cut_close(lab, &lab->primary);
	cut_open(lab, &lab->primary);
	swap(lab, 1, "m2", "m4");
}

static void import_run(struct cut_lab *lab)
{
	import(lab, 2, 3);
	import(lab, 3, 40);
	import(lab, 4, 1);
}

static void reconcile_run(struct cut_lab *lab)
{
	for (unsigned i = 0; i < 5; i++)
		reconcile(lab, 1, i);
}

/* Segments roll over with each group or two. */
static void rotate_run(struct cut_lab *lab)
{
	for (unsigned i = 0; i < 4; i++) {
		import(lab, 10 + i, 12);
		swap(lab, 10 + i, "m2", "m3");
	}
}

/* A checkpoint after each batch, and a log file that goes with each. */
static void checkpoint_prepare(struct cut_lab *lab)
{
	lab->options.state.log_file_size = 16u << 10;
	lab->options.state.checkpoint_log_size = 1u << 10;
	cut_primary_prepare(lab);
}

static void checkpoint_run(struct cut_lab *lab)
{
	for (unsigned i = 0; i < 4; i++) {
		set_cycle(lab, 1, i);
		import(lab, 20 + i, 5);
	}
}

static void rebuild_prepare(struct cut_lab *lab)
{
	cut_primary_prepare(lab);
	for (unsigned i = 0; i < 4; i++)
		set_cycle(lab, 1, i);
	cut_close(lab, &lab->primary);
	lab->options.is_rebuild_forced = true;
}

static void rebuild_run(struct cut_lab *lab)
{
	cut_open(lab, &lab->primary);
	lab->options.is_rebuild_forced = false;
	swap(lab, 1, "m2", "m3");
}

/* -------------------------------------------------------------- replicas */

static void replica_prepare(struct cut_lab *lab)
{
	cut_primary_prepare(lab);
	append_run(lab);
	import(lab, 2, 4);
	cut_close(lab, &lab->primary);
	lab->primary.is_quiet = true;
	cut_init(lab, &lab->replica);
	cut_open(lab, &lab->replica);
}

static void replay_run(struct cut_lab *lab)
{
	cut_replay(lab, 1, 1);
	cut_replay(lab, 9, 3);
	cut_close(lab, &lab->replica);
	cut_open(lab, &lab->replica);
	cut_replay(lab, 0, 100);
}

/* Both at work: what the replica lacks is being written. */
static void both_run(struct cut_lab *lab)
{
	cut_replay(lab, 3, 2);
	lab->primary.is_quiet = false;
	cut_open(lab, &lab->primary);
	set_cycle(lab, 1, 7);
	cut_close(lab, &lab->primary);
	cut_replay(lab, 0, 2);
}

/*
 * A mailbox moved behind the journal's back: what a bug would leave.  Its
 * account is parked at the next group that names it.
 */
void cut_diverge(struct cut_lab *lab, struct cut_side *side, unsigned mailbox)
{
	struct mbj_id lineage = mbj_store_identity(side->store)->lineage;

	cut_close(lab, side);
	site_bend(&lab->options, side->dir, lineage, mailbox);
	cut_open(lab, side);
}

static void quarantine_prepare(struct cut_lab *lab)
{
	replica_prepare(lab);
	cut_replay(lab, 2, 1);
	cut_diverge(lab, &lab->replica, 3);
}

static void quarantine_run(struct cut_lab *lab)
{
	cut_replay(lab, 6, 1);
	cut_replay(lab, 0, 4);
}

const struct cut_work cut_works[] = {
	{"init", NULL, init_run, 0, false},
	{"append", cut_primary_prepare, append_run, 0, false},
	{"import", cut_primary_prepare, import_run, 0, false},
	{"reconcile", cut_primary_prepare, reconcile_run, 0, false},
	{"rotate", cut_primary_prepare, rotate_run, 0, false},
	{"checkpoint", checkpoint_prepare, checkpoint_run, 0, false},
	{"rebuild", rebuild_prepare, rebuild_run, 0, false},
	{"replay", replica_prepare, replay_run, 0, false},
	{"both", replica_prepare, both_run, 0, false},
	{"quarantine", quarantine_prepare, quarantine_run, 0, false},
	{"messages", cut_primary_prepare, cut_messages_run, 0, false},
	{"fetch", cut_fetch_prepare, cut_fetch_run, 0, false},
	{"backup", cut_backup_prepare, cut_backup_run, 0, false},
	{"restore", cut_restore_prepare, cut_restore_run, 0, false},
	{"promote", cut_promote_prepare, cut_promote_run, 0, false},
	{"trim", cut_trim_prepare, cut_trim_run, 0, false},
	{"seed", cut_seed_prepare, cut_seed_run, 0, false},
	/* Contents packed on disk. */
	{"packed", cut_primary_prepare, cut_messages_run, 1, false},
	{"packed-fetch", cut_fetch_prepare, cut_fetch_run, 1, false},
	{"packed-backup", cut_backup_prepare, cut_backup_run, 1, false},
	{"packed-restore", cut_restore_prepare, cut_restore_run, 1, false},
	/* By a log. */
	{"logged", cut_primary_prepare, cut_messages_run, 0, true},
	{"logged-packed", cut_primary_prepare, cut_messages_run, 1, true},
};
const size_t cut_work_count = sizeof(cut_works) / sizeof(cut_works[0]);
