/*
 * Keeping house beside others: who does, and how far the state is for good.
 *
 * Snapshots, trims and collections read for long and change little.  They read
 * beside edits, in files that do not change, and take a turn (store_turn_take)
 * for what they change.
 *
 * Of the state they read a copy of its files, taken in a turn.  A reading
 * transaction of the state itself would do, but for how long it takes: beside a
 * busy writer it is refused in the end (docs/decisions/0028, 0065).
 *
 * Threads: any.
 */
#include "store_impl.h"

static bool halt_is_asked(const void *ctx)
{
	const struct mbj_store *store = ctx;

	return atomic_load(&store->is_halted);
}

void store_house_halt(struct mbj_store *store)
{
	atomic_store(&store->is_halted, true);
}

struct mbj_halt store_house_halting(const struct mbj_store *store)
{
	return (struct mbj_halt){halt_is_asked, store};
}

enum mbj_rc store_house_check(const struct mbj_store *store,
			      struct mbj_error *err)
{
	if (!halt_is_asked(store))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EBUSY,
			     "the service of %s stops: what was under way is "
			     "given up",
			     store->dir);
}

const char *mbj_house_word(enum mbj_house_work work)
{
	switch (work) {
#define X(name, number, word, what) \
	case MBJ_HOUSE_##name:      \
		return word;
		MBJ_HOUSE_MAP(X)
#undef X
	}
	return "unknown";
}

struct mbj_house_status mbj_store_house_get(struct mbj_store *store)
{
	struct mbj_house_status status = {MBJ_HOUSE_NONE, 0};

	pthread_mutex_lock(&store->mutex);
	status.work = store->house;
	if (status.work != MBJ_HOUSE_NONE)
		status.ms = (uint64_t)(mbj_monotonic_ms() - store->house_ms);
	pthread_mutex_unlock(&store->mutex);
	return status;
}

enum mbj_rc store_house_begin(struct mbj_store *store, enum mbj_house_work work,
			      struct mbj_error *err)
{
	enum mbj_rc rc = store_check(store, err);
	enum mbj_house_work before;

	if (rc == MBJ_OK)
		rc = store_house_check(store, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&store->mutex);
	before = store->house;
	if (before == MBJ_HOUSE_NONE) {
		store->house = work;
		store->house_ms = mbj_monotonic_ms();
	}
	pthread_mutex_unlock(&store->mutex);
	if (before == MBJ_HOUSE_NONE)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EBUSY,
			     "another %s of %s is under way: try again when it "
			     "is done",
			     mbj_house_word(before), store->dir);
}

void store_house_end(struct mbj_store *store)
{
	pthread_mutex_lock(&store->mutex);
	store->house = MBJ_HOUSE_NONE;
	pthread_cond_broadcast(&store->is_calm);
	pthread_mutex_unlock(&store->mutex);
}

static enum mbj_rc watermark_read(struct mbj_store *store, const char *what,
				  struct mbj_watermark *ret_watermark,
				  struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, ret_watermark, err);
	if (rc == MBJ_OK)
		rc = store_parked_refuse(store, txn, what, err);
	mbj_txn_abort(&txn);
	return rc;
}

/* In a turn: a state that failed is made good, as the next edit would. */
static enum mbj_rc turn_ready(struct mbj_store *store, struct mbj_error *err)
{
	enum mbj_rc rc = store_check(store, err);

	if (rc == MBJ_OK && store_role(store) == MBJ_STORE_PRIMARY &&
	    mbj_state_is_failed(store->state))
		rc = store_state_recover(store, err);
	return rc;
}

enum mbj_rc store_house_checkpoint(struct mbj_store *store, const char *what,
				   struct mbj_watermark *ret_watermark,
				   struct mbj_error *err)
{
	enum mbj_rc rc = store_turn_take(store, err);

	if (rc < 0)
		return rc;
	rc = turn_ready(store, err);
	/* Read before: what comes later is perhaps not on disk. */
	if (rc == MBJ_OK)
		rc = watermark_read(store, what, ret_watermark, err);
	if (rc == MBJ_OK)
		rc = mbj_state_checkpoint(store->state, true, err);
	store_turn_give(store);
	return rc;
}

/* ----------------------------------------------------------------- views */

/* Page cache of what is read once, from one end to the other. */
enum { IMAGE_CACHE_SIZE = 8 << 20 };

enum mbj_rc store_share(struct mbj_store *store, uint32_t recent_ms,
			struct mbj_error *err)
{
	enum mbj_rc rc;

	pthread_mutex_lock(&store->mutex);
	store->is_shared = true;
	store->recent_ms = recent_ms;
	/* Else they are told when they are opened. */
	rc = store_blobs_share(store, err);
	pthread_mutex_unlock(&store->mutex);
	return rc;
}

void store_unshare(struct mbj_store *store)
{
	pthread_mutex_lock(&store->mutex);
	while (store->house != MBJ_HOUSE_NONE)
		pthread_cond_wait(&store->is_calm, &store->mutex);
	store->is_shared = false;
	store->recent_ms = 0;
	atomic_store(&store->is_halted, false);
	pthread_mutex_unlock(&store->mutex);
	store_blobs_unshare(store);
}

bool store_is_shared(struct mbj_store *store)
{
	bool is_shared;

	pthread_mutex_lock(&store->mutex);
	is_shared = store->is_shared;
	pthread_mutex_unlock(&store->mutex);
	return is_shared;
}

enum mbj_rc store_house_reserve(struct mbj_store *store, struct mbj_error *err)
{
	enum mbj_rc rc = store_turn_take(store, err);

	if (rc < 0)
		return rc;
	store_reserve_make(store);
	store_turn_give(store);
	return MBJ_OK;
}

static enum mbj_rc image_remove(const struct mbj_store *store, const char *dir,
				struct mbj_error *err)
{
	if (!mbj_path_exists(store->sys, dir))
		return MBJ_OK;
	return mbj_state_destroy(store->sys, dir, err);
}

void store_view_sweep(const struct mbj_store *store)
{
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(dir, store->dir, STORE_IMAGE_NAME, NULL);
	if (rc == MBJ_OK)
		rc = image_remove(store, dir, NULL);
	(void)rc;
}

/*
 * Bytes that a copy may have: what is written from it has room for as much, its
 * opening for a log file, and edits keep their space twice, as they go on.
 */
static uint64_t image_room(const struct mbj_store *store)
{
	struct mbj_store_space space = store_space_look(store);
	const uint64_t others[] = {space.min, space.min,
				   store->options.state.log_file_size};
	uint64_t left = space.left;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		left = left > others[i] ? left - others[i] : 0;
	return left / 2;
}

/* In a turn. */
static enum mbj_rc image_copy(struct mbj_store *store, const char *dir,
			      struct mbj_error *err)
{
	struct mbj_halt halt = store_house_halting(store);
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = turn_ready(store, err);
	/* Only where the state can be read is there something to copy. */
	if (rc == MBJ_OK)
		rc = mbj_store_read(store, &txn, err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK)
		rc = mbj_state_image(store->state, dir, image_room(store),
				     &halt, err);
	return rc;
}

static enum mbj_rc image_open(struct store_view *view, const char *dir,
			      struct mbj_error *err)
{
	struct mbj_store *store = view->store;
	struct mbj_state_options options = store->options.state;
	struct mbj_identity identity = mbj_store_identity_copy(store);
	enum mbj_rc rc;

	if (options.cache_size > IMAGE_CACHE_SIZE)
		options.cache_size = IMAGE_CACHE_SIZE;
	rc = mbj_state_open(store->sys, dir, identity.lineage, &options,
			    &view->image, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_begin_read(view->image, &view->txn, err);
	return rc;
}

static enum mbj_rc image_begin(struct store_view *view, struct mbj_error *err)
{
	struct mbj_store *store = view->store;
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(dir, store->dir, STORE_IMAGE_NAME, err);
	if (rc == MBJ_OK)
		rc = image_remove(store, dir, err);
	if (rc == MBJ_OK)
		rc = store_turn_take(store, err);
	if (rc < 0)
		return rc;
	rc = image_copy(store, dir, err);
	store_turn_give(store);
	if (rc == MBJ_OK)
		rc = image_open(view, dir, err);
	if (rc < 0) {
		mbj_state_close(&view->image);
		store_view_sweep(store);
	}
	return rc;
}

enum mbj_rc store_view_begin(struct mbj_store *store, bool is_own,
			     struct store_view *ret_view, struct mbj_error *err)
{
	struct store_view view = {.store = store};
	struct mbj_error why;
	enum mbj_rc rc = MBJ_ENOSPC;

	if (!is_own && store_is_shared(store)) {
		rc = image_begin(&view, &why);
		if (rc < 0 && rc != MBJ_ENOSPC && err != NULL)
			*err = why;
	}
	/* A trim makes room where there is none: better this way than not. */
	if (rc == MBJ_ENOSPC)
		rc = mbj_store_read(store, &view.txn, err);
	if (rc == MBJ_OK)
		*ret_view = view;
	return rc;
}

void store_view_end(struct store_view *view)
{
	bool is_image = view->image != NULL;

	mbj_txn_abort(&view->txn);
	mbj_state_close(&view->image);
	if (is_image)
		store_view_sweep(view->store);
}
