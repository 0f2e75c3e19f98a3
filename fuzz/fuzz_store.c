/*
 * Whole stores in memory: the scripts and the checks of fuzz_sequence, played
 * on a primary and two replicas with journals, segments, checkpoints, locks,
 * all on a disk that loses what was not synced.  A machine dies in any call
 * that changes something, comes back, and nothing acknowledged is lost.
 *
 * The disk with three fresh stores is made once and copied for each run.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/check.h>
#include <mbj/replay.h>

#include "disk.h"
#include "fuzz.h"
#include "play.h"

static const char *const dirs[PLAY_SIDES] = {"p", "q", "r"};

struct site {
	struct disk *image;
	struct disk *disk;
	struct mbj_store_options options;
	struct mbj_id account;
	struct mbj_store *stores[PLAY_SIDES];
	uint64_t durable[PLAY_SIDES]; /* acknowledged LSN */
	int armed;		      /* side that is to die */
	size_t kept;		      /* what its disk will keep */
	unsigned again;		      /* change of its return to die in, too */
	bool is_rebuilding; /* the next opening makes the state anew */
	const struct mbj_store *logged; /* whose contents go to a log */
};

enum { CONTENT_LOG_SIZE = 3 << 12 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

static struct site *site_of(struct play *play)
{
	return play->context;
}

static struct mbj_store *store_open(struct play *play, int side)
{
	struct site *site = site_of(play);
	struct mbj_store_options options = site->options;
	struct mbj_error err;
	enum mbj_rc rc;

	if (site->stores[side] != NULL)
		return site->stores[side];
	if (side == PLAY_PRIMARY)
		site->logged = NULL;
	options.is_rebuild_forced = site->is_rebuilding;
	site->is_rebuilding = false;
	rc = mbj_replica_open(dirs[side], &options, &site->stores[side], &err);
	if (disk_is_dead(site->disk)) {
		/* It died again while it came back: now it may not. */
		mbj_store_close(&site->stores[side]);
		site->armed = -1;
		disk_cut(site->disk, dirs[side], site->kept);
		options.is_rebuild_forced = false;
		rc = mbj_replica_open(dirs[side], &options, &site->stores[side],
				      &err);
	}
	play_check(play, rc == MBJ_OK, "store %s does not open: %s", dirs[side],
		   err.message);
	return site->stores[side];
}

static uint64_t site_applied(struct play *play, int side)
{
	struct mbj_watermark watermark;

	OK(mbj_store_applied(store_open(play, side), &watermark, NULL));
	return watermark.lsn.v;
}

/* The machine is dead: power comes back, and what was promised is there. */
static void store_revive(struct play *play, int side)
{
	struct site *site = site_of(play);
	const struct mbj_store_recovery *recovery;
	uint64_t applied;

	mbj_store_close(&site->stores[side]);
	disk_cut(site->disk, dirs[side], site->kept);
	disk_arm(site->disk, dirs[side], site->again);
	site->again = 0;
	recovery = mbj_store_recovery_get(store_open(play, side));
	/* It has come back: what was to end that must not end an edit. */
	disk_arm(site->disk, dirs[side], 0);
	applied = site_applied(play, side);
	play_say(play, "store %s comes back, is at group %llu, %llu torn",
		 dirs[side], (unsigned long long)applied,
		 (unsigned long long)recovery->torn_size);
	FUZZ_CANARY(recovery->torn_size > 0 && recovery->groups_applied > 0);
	play_check(play, applied >= site->durable[side],
		   "store %s has lost group %llu, it ends at %llu", dirs[side],
		   (unsigned long long)site->durable[side],
		   (unsigned long long)applied);
	site->durable[side] = applied;
}

/* -------------------------------------------------------------- primary */

/* While the primary may die: what the edit would come to. */
static enum mbj_rc edit_foresee(struct play *play, const struct mbj_edit *edit,
				struct mbj_outcome *outcome,
				struct mbj_error *err)
{
	struct mbj_edit copy = *edit;

	copy.is_dry_run = true;
	return mbj_store_submit(store_open(play, PLAY_PRIMARY), &copy, outcome,
				err);
}

static enum mbj_rc site_submit(struct play *play, const struct mbj_edit *edit,
			       bool *ret_is_lost, struct mbj_outcome *outcome,
			       struct mbj_error *err)
{
	struct site *site = site_of(play);
	struct mbj_outcome foreseen = {.lsn = {0}};
	enum mbj_rc rc;

	if (site->armed == PLAY_PRIMARY) {
		rc = edit_foresee(play, edit, &foreseen, err);
		if (rc < 0 || foreseen.record.n == 0) {
			*outcome = foreseen;
			return rc;
		}
	}
	rc = mbj_store_submit(store_open(play, PLAY_PRIMARY), edit, outcome,
			      err);
	if (rc == MBJ_OK && outcome->lsn.v > 0)
		site->durable[PLAY_PRIMARY] = outcome->lsn.v;
	if (disk_is_dead(site->disk)) {
		site->armed = -1;
		store_revive(play, PLAY_PRIMARY);
		*ret_is_lost = site->durable[PLAY_PRIMARY] == play->lsn;
		if (rc < 0 && !*ret_is_lost) {
			mbj_outcome_done(outcome);
			*outcome = foreseen;
			outcome->lsn.v = play->lsn + 1;
			memset(&foreseen, 0, sizeof(foreseen));
		}
		rc = MBJ_OK;
	}
	mbj_outcome_done(&foreseen);
	play->record = mbj_bytes_make(outcome->record.p, outcome->record.n);
	return rc;
}

/*
 * By a log from the longest content on, until the store is opened again; the
 * shortest let it come to rest.
 */
static enum mbj_rc content_log(struct site *site, struct mbj_store *store,
			       struct mbj_blobs *blobs, size_t size,
			       struct mbj_error *err)
{
	if (size == 3 && site->logged != store) {
		site->logged = store;
		mbj_blobs_log(blobs, CONTENT_LOG_SIZE);
	}
	return size < 2 ? mbj_blobs_rest(blobs, size == 0, err) : MBJ_OK;
}

static enum mbj_rc content_write(struct site *site, struct mbj_store *store,
				 struct mbj_bytes content,
				 struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash blob;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_store_blobs(store, &blobs, err);
	if (rc == MBJ_OK)
		rc = content_log(site, store, blobs, content.n, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_begin(blobs, &writer, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_write(writer, content, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&writer, &blob, &size, err);
	mbj_blob_writer_abort(&writer);
	return rc;
}

static bool site_content_put(struct play *play, struct mbj_bytes content)
{
	struct site *site = site_of(play);
	struct mbj_error err;
	enum mbj_rc rc;

	rc = content_write(site, store_open(play, PLAY_PRIMARY), content, &err);
	if (disk_is_dead(site->disk)) {
		site->armed = -1;
		store_revive(play, PLAY_PRIMARY);
		return false;
	}
	play_check(play, rc == MBJ_OK, "content is not stored: %s",
		   err.message);
	return true;
}

static void site_content_check(struct play *play, int side,
			       const struct mbj_hash *blob)
{
	struct mbj_blob_reader *reader = NULL;
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;
	uint8_t bytes[16];
	uint64_t size;
	size_t got = 1;
	enum mbj_rc rc;

	rc = mbj_store_blobs_read(disk_sys(site_of(play)->disk), dirs[side],
				  &blobs, &err);
	if (rc == MBJ_OK)
		rc = mbj_blob_reader_open(blobs, blob, &reader, &size, &err);
	while (rc == MBJ_OK && got > 0)
		rc = mbj_blob_reader_read(reader, bytes, sizeof(bytes), &got,
					  &err);
	mbj_blob_reader_close(&reader);
	mbj_blobs_close(&blobs);
	play_check(play, rc == MBJ_OK, "store %s: content: %s", dirs[side],
		   err.message);
}

/* ------------------------------------------------------------- replicas */

static void journal_replay(struct play *play, int side, const char *source,
			   const struct mbj_replay_options *options)
{
	struct site *site = site_of(play);
	struct mbj_replay_result result;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_replay_journal(store_open(play, side), source, options,
				&result, &err);
	if (rc == MBJ_OK && !options->is_dry_run) {
		play_check(play, result.groups_parked == 0, "replica %d parks",
			   side);
		site->durable[side] = result.applied.v;
	}
	if (disk_is_dead(site->disk)) {
		site->armed = -1;
		store_revive(play, side);
		return;
	}
	/* A source that is behind, or has nothing yet, is refused. */
	play_check(play,
		   rc == MBJ_OK ||
			   (source != dirs[PLAY_PRIMARY] && rc == MBJ_EFENCED),
		   "replay from %s to %s: %s", source, dirs[side], err.message);
}

static void site_deliver(struct play *play, const struct script_step *step)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	int side = 1 + step->a % PLAY_REPLICAS;
	const char *source = dirs[PLAY_PRIMARY];

	options.until.v = step->b >= 0xc0 ? 0 : 1 + step->b % play->lsn;
	options.batch_groups_max = 1 + step->c % 3;
	options.is_dry_run = step->c % 16 == 15;
	/* From the other replica, which is behind as often as not. */
	if (step->c % 16 >= 12)
		source = dirs[3 - side];
	play_say(play, "replay %s to %s until %llu%s", source, dirs[side],
		 (unsigned long long)options.until.v,
		 options.is_dry_run ? ", dry" : "");
	journal_replay(play, side, source, &options);
}

static void site_catch_up(struct play *play, int side)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct site *site = site_of(play);

	disk_arm(site->disk, dirs[side], 0);
	journal_replay(play, side, dirs[PLAY_PRIMARY], &options);
}

static void site_crash(struct play *play, const struct script_step *step)
{
	struct site *site = site_of(play);
	int side = step->a % PLAY_SIDES;

	site->kept = step->c < 0x80 ? 0 : (step->c & 0x7fu) * 13u;
	site->again = step->c % 4 == 3 ? 1 + step->c / 4 % 16 : 0;
	site->is_rebuilding = step->c % 8 == 7;
	if (step->b % 32 != 31) {
		site->armed = side;
		disk_arm(site->disk, dirs[side], 1 + step->b % 32);
		play_say(play, "store %s will die in change %d", dirs[side],
			 1 + step->b % 32);
		return;
	}
	if (site->stores[side] == NULL)
		return;
	site->armed = -1;
	disk_kill(site->disk, dirs[side]);
	store_revive(play, side);
}

static struct mbj_txn *site_look(struct play *play, int side)
{
	struct site *site = site_of(play);
	struct mbj_txn *txn = NULL;

	if (site->stores[side] == NULL && side != PLAY_PRIMARY)
		return NULL;
	OK(mbj_store_read(store_open(play, side), &txn, NULL));
	return txn;
}

static void site_looked(struct play *play, int side, struct mbj_txn **txn)
{
	(void)play;
	(void)side;
	mbj_txn_abort(txn);
}

/* ----------------------------------------------------------------- runs */

static struct site *site_new(void)
{
	struct site *site = calloc(1, sizeof(*site));
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_change changes[16];
	struct mbj_store *store;

	if (site == NULL)
		abort();
	site->image = disk_new();
	site->disk = disk_new();
	site->options = MBJ_STORE_OPTIONS_INIT;
	site->options.sys = disk_sys(site->image);
	site->options.state.engine = MBJ_STATE_MEMORY;
	site->options.state.checkpoint_log_size = 2048;
	site->options.log.segment_size = 8192;
	site->options.log.reserve_max = 4096;
	for (int side = 0; side < PLAY_SIDES; side++)
		OK(mbj_store_init(dirs[side],
				  side == PLAY_PRIMARY ? MBJ_STORE_PRIMARY
						       : MBJ_STORE_REPLICA,
				  &site->options, NULL));
	OK(mbj_store_open(dirs[PLAY_PRIMARY], &site->options, &store, NULL));
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(PLAY_ACCOUNT);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = play_first_tree(changes);
	OK(mbj_store_submit(store, &edit, &outcome, NULL));
	site->account = outcome.account;
	mbj_outcome_done(&outcome);
	mbj_store_close(&store);
	site->options.sys = disk_sys(site->disk);
	return site;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct play_site calls = {
		.submit = site_submit,
		.deliver = site_deliver,
		.crash = site_crash,
		.catch_up = site_catch_up,
		.look = site_look,
		.looked = site_looked,
		.applied = site_applied,
		.content_put = site_content_put,
		.content_check = site_content_check,
	};
	static struct site *site; /* made once, the same for each run */
	static struct play play;

	if (size > SCRIPT_STEPS_MAX * SCRIPT_STEP_SIZE)
		return 0;
	if (site == NULL)
		site = site_new();
	disk_copy(site->disk, site->image);
	disk_seed(site->disk, 1);
	memset(site->durable, 0, sizeof(site->durable));
	site->armed = -1;
	site->kept = 0;
	site->again = 0;
	site->is_rebuilding = false;
	play.site = &calls;
	play.context = site;
	play.is_verbose = fuzz_is_verbose();
	play.account = site->account;
	play.lsn = 1;
	play_script(&play, data, size);
	disk_arm(site->disk, dirs[PLAY_PRIMARY], 0);
	for (int side = 0; side < PLAY_SIDES; side++)
		mbj_store_close(&site->stores[side]);
	return 0;
}
