/*
 * Opening, closing and asking a store: the order in which its parts come up,
 * who may read its state, and what closes it before its time.
 *
 * Not here: making one (store_init.c), the lock (store_lock.c), journal and
 * state against each other (rebuild.c), edits and groups (batch*.c).
 *
 * Invariants:
 *   1. nothing is synced, repaired or made before the lock is held;
 *   2. a store that failed stays failed until it is opened again, and every
 *      call says why;
 *   3. the state is swapped by the leader alone, while nobody begins to read.
 *
 * Threads: see store.h; every function here that any thread may call takes
 * the mutex for what it reads.
 */
#include <poll.h>

#include <mbj/batch_room.h>
#include <mbj/check.h>

#include "received_look.h"
#include "store_impl.h"

/* How long the leader waits for readers before it gives up on a state. */
enum { SWAP_WAIT_MS = 5000 };

const char *mbj_store_role_name(enum mbj_store_role role)
{
	static const char *const words[] = {
#define X(name, number, word) [number] = (word),
		MBJ_STORE_ROLE_MAP(X)
#undef X
	};

	MBJ_ASSERT((size_t)role < sizeof(words) / sizeof(words[0]));
	MBJ_ASSERT(words[role] != NULL);
	return words[role];
}

enum mbj_rc store_options_take(const struct mbj_store_options *options,
			       struct mbj_store_options *ret_options,
			       struct mbj_error *err)
{
	*ret_options = MBJ_STORE_OPTIONS_INIT;
	if (options != NULL && options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "struct mbj_store_options has another "
				     "size here: built against other headers");
	if (options != NULL)
		*ret_options = *options;
	if (ret_options->request_window == 0 ||
	    ret_options->request_window > MBJ_REQUEST_WINDOW_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the window of requests has 1 to %d "
				     "groups",
				     MBJ_REQUEST_WINDOW_MAX);
	if (ret_options->contents_level > MBJ_PACK_LEVEL_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "contents are packed with level 1 to %d",
				     MBJ_PACK_LEVEL_MAX);
	if (ret_options->sys == NULL)
		ret_options->sys = mbj_sys_posix();
	return MBJ_OK;
}

/* ------------------------------------------------------- open and close */

static enum mbj_rc store_paths_set(struct mbj_store *store, const char *dir,
				   struct mbj_error *err)
{
	enum mbj_rc rc = mbj_store_path_check(dir, err);

	if (rc < 0)
		return rc;
	memcpy(store->dir, dir, strlen(dir) + 1);
	rc = mbj_path_join(store->journal_dir, dir, STORE_JOURNAL_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(store->state_dir, dir, STORE_STATE_NAME,
				   err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(store->blobs_dir, dir, STORE_BLOBS_NAME,
				   err);
	return rc;
}

static enum mbj_rc store_new(const char *dir,
			     const struct mbj_store_options *options,
			     struct mbj_store **ret_store,
			     struct mbj_error *err)
{
	struct mbj_store *store = mbj_calloc(1, sizeof(*store));
	struct mbj_id random;
	enum mbj_rc rc;

	if (store == NULL)
		return mbj_error_nomem(err);
	store->lock = MBJ_FILE_CLOSED;
	store->applying.file = MBJ_FILE_CLOSED;
	store->waiting_tail = &store->waiting_head;
	mbj_buf_init(&store->batch.records, BATCH_SIZE_MAX);
	mbj_group_writer_init(&store->writer);
	mbj_table_init(&store->recall.table);
	if (pthread_mutex_init(&store->mutex, NULL) != 0) {
		mbj_free(store);
		return mbj_error_nomem(err);
	}
	if (pthread_cond_init(&store->is_calm, NULL) != 0) {
		pthread_mutex_destroy(&store->mutex);
		mbj_free(store);
		return mbj_error_nomem(err);
	}
	rc = standing_init(&store->standing, err);
	if (rc < 0) {
		pthread_cond_destroy(&store->is_calm);
		pthread_mutex_destroy(&store->mutex);
		mbj_free(store);
		return rc;
	}
	rc = store_options_take(options, &store->options, err);
	store->sys = store->options.sys;
	if (rc == MBJ_OK)
		rc = store_paths_set(store, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&store->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(STORE_ARENA_MAX, &store->arena, err);
	if (rc == MBJ_OK)
		rc = mbj_id_generate(store->sys, &random, err);
	if (rc < 0) {
		mbj_store_close(&store);
		return rc;
	}
	memcpy(&store->table_key.k0, random.b, sizeof(store->table_key.k0));
	memcpy(&store->table_key.k1, random.b + sizeof(store->table_key.k0),
	       sizeof(store->table_key.k1));
	recall_init(&store->recall, store->table_key,
		    store->options.request_window);
	*ret_store = store;
	return MBJ_OK;
}

static enum mbj_rc restoring_refuse(const char *dir, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s is being restored, or was when that was "
			     "stopped: it is not whole before \"mbj restore\" "
			     "has come to its end",
			     dir);
}

static enum mbj_rc store_superblock_load(struct mbj_store *store,
					 struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = superblock_load(store->sys, store->dir, &store->superblock, err);
	if (rc < 0 ||
	    store->superblock.is_restoring == store->options.is_restoring)
		return rc;
	if (store->superblock.is_restoring)
		return restoring_refuse(store->dir, err);
	return mbj_error_set(err, MBJ_EEXISTS, "%s is a store already",
			     store->dir);
}

static enum mbj_rc open_once(const char *dir,
			     const struct mbj_store_options *options,
			     bool is_scarce, struct mbj_store **ret_store,
			     struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = store_new(dir, options, &store, err);
	if (rc < 0)
		return rc;
	store->is_scarce = is_scarce;
	rc = store_owner_check(store->sys, dir, err);
	/* Asked before the lock, so that no lock file is left elsewhere. */
	if (rc == MBJ_OK)
		rc = store_superblock_load(store, err);
	if (rc == MBJ_OK)
		rc = store_lock_take(store->sys, dir, &store->lock, err);
	if (rc == MBJ_OK)
		rc = store_superblock_load(store, err);
	if (rc == MBJ_OK) {
		store_view_sweep(store);
		rc = store_recover(store, err);
	}
	if (rc == MBJ_OK)
		rc = store_blobs_recover(store, err);
	if (rc < 0) {
		mbj_store_close(&store);
		return rc;
	}
	store_end_note(store);
	received_forget_above(store);
	store_reserve_make(store);
	*ret_store = store;
	return MBJ_OK;
}

enum mbj_rc mbj_store_open_scarce(const char *dir,
				  const struct mbj_store_options *options,
				  bool is_scarce, struct mbj_store **ret_store,
				  struct mbj_error *err)
{
	const struct mbj_sys *sys = options != NULL && options->sys != NULL
					    ? options->sys
					    : mbj_sys_posix();
	enum mbj_rc rc;

	MBJ_ASSERT(dir != NULL && ret_store != NULL);
	rc = open_once(dir, options, is_scarce, ret_store, err);
	/* Recovery writes: what is kept for a full disk is for that first. */
	if (rc == MBJ_ENOSPC && store_reserve_give(sys, dir))
		rc = open_once(dir, options, is_scarce, ret_store, err);
	return rc;
}

enum mbj_rc mbj_store_open(const char *dir,
			   const struct mbj_store_options *options,
			   struct mbj_store **ret_store, struct mbj_error *err)
{
	return mbj_store_open_scarce(dir, options, false, ret_store, err);
}

void mbj_store_close(struct mbj_store **store)
{
	struct mbj_store *s = *store;

	if (s == NULL)
		return;
	MBJ_ASSERT(!s->is_led && s->waiting_head == NULL);
	MBJ_ASSERT(s->batch.txn == NULL);
	if (s->state != NULL && mbj_state_is_suspect(s->state))
		store_suspect_note(s);
	mbj_file_close(&s->applying.file);
	mbj_state_close(&s->state);
	mbj_log_close(&s->log);
	store_blobs_close(s);
	store_lock_drop(&s->lock);
	mbj_buf_done(&s->batch.records);
	mbj_group_writer_done(&s->writer);
	recall_done(&s->recall);
	mbj_arena_free(&s->arena);
	mbj_sha256_free(&s->sha);
	standing_done(&s->standing);
	pthread_cond_destroy(&s->is_calm);
	pthread_mutex_destroy(&s->mutex);
	mbj_free(s);
	*store = NULL;
}

/* ---------------------------------------------------------------- asking */

const char *mbj_store_dir(const struct mbj_store *store)
{
	return store->dir;
}

const struct mbj_sys *mbj_store_sys(const struct mbj_store *store)
{
	return store->sys;
}

const struct mbj_store_recovery *
mbj_store_recovery_get(const struct mbj_store *store)
{
	return &store->recovery;
}

struct mbj_log_end mbj_store_end(struct mbj_store *store)
{
	struct mbj_log_end end;

	pthread_mutex_lock(&store->mutex);
	end = store->end;
	pthread_mutex_unlock(&store->mutex);
	return end;
}

bool mbj_store_state_is_suspect(const struct mbj_store *store)
{
	return mbj_state_is_suspect(store->state);
}

bool mbj_store_state_was_sealed(const struct mbj_store *store)
{
	return mbj_state_was_sealed(store->state);
}

enum mbj_rc mbj_identity_load(const struct mbj_sys *sys, const char *dir,
			      struct mbj_identity *ret_identity,
			      struct mbj_error *err)
{
	struct superblock superblock;
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	rc = superblock_load(sys, dir, &superblock, err);
	if (rc == MBJ_OK && superblock.is_restoring)
		rc = restoring_refuse(dir, err);
	if (rc == MBJ_OK)
		*ret_identity = superblock.identity;
	return rc;
}

/* A store without a lock file was never opened: nobody owns it. */
static enum mbj_rc owned_or_not(const struct mbj_sys *sys, const char *dir,
				bool *ret_is_owned, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	long pid;
	enum mbj_rc rc;

	rc = mbj_store_is_owned(sys, dir, ret_is_owned, &pid, &why);
	if (rc == MBJ_ENOTFOUND) {
		*ret_is_owned = false;
		return MBJ_OK;
	}
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc mbj_store_log_reader(const struct mbj_sys *sys, const char *dir,
				 struct mbj_log_reader **ret_reader,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_identity identity;
	bool is_owned;
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	rc = mbj_identity_load(sys, dir, &identity, err);
	if (rc < 0)
		return rc;
	if (mbj_id_is_root(identity.lineage))
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s has no journal yet: it has not "
				     "received anything",
				     dir);
	rc = mbj_path_join(path, dir, STORE_JOURNAL_NAME, err);
	if (rc == MBJ_OK)
		rc = owned_or_not(sys, dir, &is_owned, err);
	if (rc != MBJ_OK)
		return rc;
	return mbj_log_reader_open(sys, path, identity.lineage,
				   &identity.anchor, is_owned, ret_reader, err);
}

enum mbj_rc mbj_store_log_reader_own(struct mbj_store *store,
				     struct mbj_log_reader **ret_reader,
				     struct mbj_error *err)
{
	struct mbj_identity id = mbj_store_identity_copy(store);

	MBJ_ASSERT(!mbj_id_is_root(id.lineage));
	return mbj_log_reader_open(store->sys, store->journal_dir, id.lineage,
				   &id.anchor, true, ret_reader, err);
}

struct mbj_log_end store_log_end(const struct mbj_store *store)
{
	const struct mbj_anchor *anchor = &store->superblock.identity.anchor;
	struct mbj_log_end end = {{0}, {{0}}};

	if (store->log != NULL)
		end = mbj_log_end_get(store->log);
	if (end.lsn.v == 0 && anchor->first.v > 0) {
		end.lsn.v = anchor->first.v - 1;
		end.chain = anchor->chain;
	}
	return end;
}

void store_end_note(struct mbj_store *store)
{
	struct mbj_log_end end = store_log_end(store);

	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(end.lsn.v >= store->end.lsn.v);
	store->end = end;
	pthread_mutex_unlock(&store->mutex);
}

/* --------------------------------------------------------------- failure */

void store_fail(struct mbj_store *store, const struct mbj_error *why)
{
	MBJ_ASSERT(why->rc < 0);
	pthread_mutex_lock(&store->mutex);
	if (!store->is_failed)
		store->failure = *why;
	store->is_failed = true;
	pthread_mutex_unlock(&store->mutex);
}

enum mbj_rc store_check(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_error why;
	bool is_failed;

	pthread_mutex_lock(&store->mutex);
	is_failed = store->is_failed;
	if (is_failed)
		why = store->failure;
	pthread_mutex_unlock(&store->mutex);
	if (!is_failed)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EIO,
			     "%s was closed by an earlier failure; nothing was "
			     "done; open it again (%.200s)",
			     store->dir, why.message);
}

/* --------------------------------------------------------------- reading */

/* Stay between the leader and a swap of the state; MBJ_EIO once failed. */
static enum mbj_rc state_enter(struct mbj_store *store, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = store_check(store, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&store->mutex);
	while (store->is_swapping)
		pthread_cond_wait(&store->is_calm, &store->mutex);
	if (store->state == NULL)
		rc = mbj_error_set(err, MBJ_EIO,
				   "%s has no state any more: open it again",
				   store->dir);
	else
		store->state_users++;
	pthread_mutex_unlock(&store->mutex);
	return rc;
}

static void state_leave(struct mbj_store *store)
{
	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(store->state_users > 0);
	store->state_users--;
	if (store->is_swapping && store->state_users == 0)
		pthread_cond_broadcast(&store->is_calm);
	pthread_mutex_unlock(&store->mutex);
}

void store_state_watch(struct mbj_store *store)
{
	struct mbj_error why;
	bool is_failed;

	pthread_mutex_lock(&store->mutex);
	is_failed = !store->is_failed && !store->is_swapping &&
		    store->superblock.identity.role == MBJ_STORE_REPLICA &&
		    store->state != NULL && mbj_state_is_failed(store->state);
	pthread_mutex_unlock(&store->mutex);
	if (!is_failed)
		return;
	(void)mbj_error_set(&why, MBJ_EIO,
			    "the state of %s has failed: open the store again",
			    store->dir);
	store_fail(store, &why);
}

enum mbj_rc store_state_swap_begin(struct mbj_store *store,
				   struct mbj_error *err)
{
	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(!store->is_swapping);
	store->is_swapping = true;
	while (store->state_users > 0)
		pthread_cond_wait(&store->is_calm, &store->mutex);
	pthread_mutex_unlock(&store->mutex);
	/* Snapshots end by themselves; those of a failed state fail at once. */
	for (int i = 0; i < SWAP_WAIT_MS && store->state != NULL &&
			mbj_state_has_readers(store->state);
	     i++)
		(void)poll(NULL, 0, 1);
	if (store->state == NULL || !mbj_state_has_readers(store->state))
		return MBJ_OK;
	store_state_swap_end(store);
	return mbj_error_set(err, MBJ_EIO,
			     "a snapshot of %s is still open: its state cannot "
			     "be reopened under it",
			     store->dir);
}

void store_state_swap_end(struct mbj_store *store)
{
	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(store->is_swapping);
	store->is_swapping = false;
	pthread_cond_broadcast(&store->is_calm);
	pthread_mutex_unlock(&store->mutex);
}

enum mbj_rc mbj_store_read(struct mbj_store *store, struct mbj_txn **ret_txn,
			   struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = state_enter(store, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_begin_read(store->state, ret_txn, err);
	state_leave(store);
	return rc;
}

enum mbj_rc mbj_store_applied(struct mbj_store *store,
			      struct mbj_watermark *ret_watermark,
			      struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, ret_watermark, err);
	mbj_txn_abort(&txn);
	return rc;
}
