/*
 * Room for a state that could not be brought up: what goes then, and what is
 * said where that does not help.
 *
 * The journal is the truth, so a state is worth the time that it takes to make
 * it.  In this order:
 *
 *	1. the reserve;
 *	2. a state that was being made anew, and what was set aside for it;
 *	3. one that cannot even be opened, where it is its log that takes the
 *	   room, far more than in ordinary use: what an edit left that met the
 *	   end of the disk.
 *
 * Once it had to, a store goes on in small transactions with a checkpoint
 * behind each, so that the state's log stays short.
 *
 * Invariant: whatever is tried again has more room than before, or is the first
 * to go in small transactions.
 *
 * Threads: the leader's.
 */
#include <fcntl.h>

#include <mbj/batch_room.h>
#include <mbj/check.h>

#include "store_impl.h"

enum {
	TAIL_GROWTH_MAX = 64 << 20,
	TAIL_GROWTH_SCARCE = 1 << 20,
	ROOM_NAMES_MAX = 4 << 20,
	/* Bytes of a state, at most, for one of the journal: see batch.c. */
	STATE_PER_JOURNAL = 32,
	/* A log of less than this part of the tables is not what is large. */
	BLOATED_PART = 4,
};

uint64_t store_tail_growth_max(const struct mbj_store *store)
{
	return store->is_scarce ? TAIL_GROWTH_SCARCE : TAIL_GROWTH_MAX;
}

static uint64_t file_size(const struct mbj_sys *sys, const char *dir,
			  const char *name)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t size = 0;

	if (mbj_path_join(path, dir, name, NULL) < 0 ||
	    mbj_file_open(sys, path, O_RDONLY, &file, NULL) < 0)
		return 0;
	if (mbj_file_size(&file, &size, NULL) < 0)
		size = 0;
	mbj_file_close(&file);
	return size;
}

/* Of the files in dir that begin so; 0 where that cannot be told. */
static uint64_t files_size(const struct mbj_sys *sys, const char *dir,
			   const char *begin)
{
	struct mbj_buf names;
	uint64_t sum = 0;

	mbj_buf_init(&names, ROOM_NAMES_MAX);
	if (mbj_dir_list(sys, dir, &names, NULL) < 0)
		mbj_buf_clear(&names);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (strncmp(name, begin, strlen(begin)) == 0)
			sum += file_size(sys, dir, name);
	}
	mbj_buf_done(&names);
	return sum;
}

/* What one needs beside its pages that is made in small transactions. */
static uint64_t state_log_size(const struct mbj_store *store)
{
	return 2 * (uint64_t)store->options.state.log_file_size;
}

static bool aside_is_there(const struct mbj_store *store)
{
	char path[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(path, store->dir, STORE_OLD_NAME, NULL) ==
		       MBJ_OK &&
	       mbj_path_exists(store->sys, path);
}

static void state_remove(const struct mbj_store *store)
{
	enum mbj_rc rc = mbj_state_destroy(store->sys, store->state_dir, NULL);

	/* What stays there is a state that the next opening finds damaged. */
	(void)rc;
}

/*
 * Its log is what takes the room, more than waits for a checkpoint in ordinary
 * use, and what comes instead can be made.
 */
static bool state_is_bloated(struct mbj_store *store)
{
	uint64_t log = files_size(store->sys, store->state_dir, "log.");
	uint64_t all = files_size(store->sys, store->state_dir, "");
	uint64_t left = mbj_space_left(store->sys, store->dir);

	if (left == UINT64_MAX ||
	    log <= store->options.state.checkpoint_log_size ||
	    log < (all - log) / BLOATED_PART ||
	    left + log < state_log_size(store))
		return false;
	return store_snapshot_require(store, "it has no space", NULL) == MBJ_OK;
}

bool store_room_make(struct mbj_store *store, bool is_rebuilt, bool is_open)
{
	bool is_aside = aside_is_there(store);
	bool was_scarce = store->is_scarce;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(store->state == NULL);
	store->is_scarce = true;
	if (store_reserve_give(store->sys, store->dir))
		return true;
	if (is_rebuilt)
		state_remove(store);
	if (is_aside)
		rc = store_aside_remove(store, NULL);
	if (is_rebuilt || is_aside)
		return !was_scarce || (is_aside && rc == MBJ_OK);
	/* The tail that it did not take is what may fit now. */
	if (is_open)
		return !was_scarce;
	if (!state_is_bloated(store))
		return false;
	state_remove(store);
	return !mbj_path_exists(store->sys, store->state_dir);
}

enum mbj_rc store_room_say(const struct mbj_store *store, struct mbj_error *err)
{
	uint64_t needed = files_size(store->sys, store->journal_dir, "");
	uint64_t left = mbj_space_left(store->sys, store->dir);

	if (mbj_path_exists(store->sys, store->state_dir))
		return mbj_error_prefix(
			err, MBJ_ENOSPC,
			"%s has no space to go on: %llu bytes are left; make "
			"room (\"mbj log\" works without)",
			store->dir, (unsigned long long)left);
	needed = needed * STATE_PER_JOURNAL + state_log_size(store);
	return mbj_error_prefix(
		err, MBJ_ENOSPC,
		"%s has no space for its state: up to %llu bytes, and %llu are "
		"left; make room, then it is made by the next command (\"mbj "
		"log\" works without)",
		store->dir, (unsigned long long)needed,
		(unsigned long long)left);
}

bool mbj_store_room_make(struct mbj_store *store, struct mbj_error *err)
{
	bool is_open = store->state != NULL;

	mbj_state_close(&store->state);
	if (store_room_make(store, store->recovery.is_rebuilt, is_open))
		return true;
	(void)store_room_say(store, err);
	return false;
}
