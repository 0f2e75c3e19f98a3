/*
 * Space: what edits leave free, and what is kept for when nothing is left all
 * the same, since others fill the disk too.
 *
 *	STORE/reserve	zeroes, as many bytes as edits leave free
 *
 * It is made by an opening that asks for it, where there is room for both;
 * given up, as a whole, by what cannot go on without: an opening, a state
 * that has to be made anew, and what makes room.  It is made again by a
 * collection and a trim of who asked for it, and by edits once there is
 * twice the room that they leave: looked at once a minute, by the batch's
 * leader, which waits for it.
 *
 * Invariant: the file is worth nothing: it may be there, be short or be gone at
 * any time.
 *
 * Threads: as store_impl.h says of each.
 */
#include <fcntl.h>

#include "log_impl.h"
#include "store_impl.h"

enum { RENEW_US = 60000000 };

/* What the file has; 0 where there is none. */
static uint64_t reserve_size(const struct mbj_sys *sys, const char *path)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	uint64_t size = 0;

	if (!mbj_path_exists(sys, path) ||
	    mbj_file_open(sys, path, O_RDONLY, &file, NULL) < 0)
		return 0;
	if (mbj_file_size(&file, &size, NULL) < 0)
		size = 0;
	mbj_file_close(&file);
	return size;
}

struct mbj_store_space store_space_look(const struct mbj_store *store)
{
	return (struct mbj_store_space){
		.left = mbj_space_left(store->sys, store->dir),
		.min = store->options.space_min,
	};
}

struct mbj_store_space mbj_store_space_get(const struct mbj_store *store)
{
	struct mbj_store_space space = store_space_look(store);
	char path[MBJ_PATH_TEXT_MAX];

	/* Where the system tells nothing there is nothing to keep. */
	if (space.left != UINT64_MAX &&
	    mbj_path_join(path, store->dir, STORE_RESERVE_NAME, NULL) == MBJ_OK)
		space.reserve = reserve_size(store->sys, path);
	return space;
}

void store_reserve_make(struct mbj_store *store)
{
	struct mbj_store_space space = mbj_store_space_get(store);
	uint64_t wanted = store->options.reserve_size;
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t have;
	enum mbj_rc rc;

	if (wanted == 0 || space.left == UINT64_MAX || space.reserve == wanted)
		return;
	/* Made when more was wanted: the rest is for others. */
	if (space.reserve > wanted &&
	    store_reserve_give(store->sys, store->dir))
		space = mbj_store_space_get(store);
	have = space.left + space.reserve;
	/* Edits come first; each is a number of bytes that somebody gave. */
	if (have < wanted || have - wanted < space.min)
		return;
	rc = mbj_path_join(path, store->dir, STORE_RESERVE_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_file_open(store->sys, path, O_RDWR | O_CREAT, &file,
				   NULL);
	if (rc == MBJ_OK)
		rc = log_zero_write(&file, space.reserve, wanted, NULL);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, NULL);
	mbj_file_close(&file);
	/* A part of it is no reserve: whoever needs it has that much less. */
	if (rc < 0)
		(void)store_reserve_give(store->sys, store->dir);
}

void store_reserve_renew(struct mbj_store *store,
			 const struct mbj_store_space *space, int64_t now_us)
{
	int64_t passed = now_us - store->reserve_us;

	if (store->options.reserve_size == 0 || space->left == UINT64_MAX ||
	    space->left / 2 < space->min || (passed >= 0 && passed < RENEW_US))
		return;
	store->reserve_us = now_us;
	store_reserve_make(store);
}

bool store_reserve_give(const struct mbj_sys *sys, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(path, dir, STORE_RESERVE_NAME, NULL) == MBJ_OK &&
	       mbj_path_exists(sys, path) &&
	       mbj_file_remove(sys, path, NULL) == MBJ_OK;
}

void store_reserve_use(const struct mbj_store *store)
{
	struct mbj_store_space space = store_space_look(store);

	if (space.left < space.min / 2)
		(void)store_reserve_give(store->sys, store->dir);
}

uint64_t store_space_room(const struct mbj_store_space *space, bool is_freeing)
{
	if (space->min == 0 || space->left == UINT64_MAX)
		return UINT64_MAX;
	if (is_freeing)
		return space->left >= space->min / 2 ? space->left : 0;
	return space->left > space->min ? space->left - space->min : 0;
}

/* No sum overflows: a mark is what somebody gave. */
static uint64_t space_needed(const struct mbj_store_space *space,
			     uint64_t growth, bool is_freeing)
{
	if (space->min == 0)
		return 0;
	if (is_freeing)
		return growth > space->min / 2 ? growth : space->min / 2;
	return growth > UINT64_MAX - space->min ? UINT64_MAX
						: space->min + growth;
}

enum mbj_rc store_space_check(const struct mbj_store *store,
			      struct mbj_store_space *space, uint64_t growth,
			      bool is_freeing, struct mbj_error *err)
{
	uint64_t needed = space_needed(space, growth, is_freeing);

	if (space->left >= needed)
		return MBJ_OK;
	/* Where even that is not enough it stays for something smaller. */
	if (is_freeing &&
	    mbj_store_space_get(store).reserve >= needed - space->left &&
	    store_reserve_give(store->sys, store->dir))
		*space = store_space_look(store);
	if (space->left >= needed)
		return MBJ_OK;
	return mbj_error_set(
		err, MBJ_ENOSPC,
		"%s has no space left but for %llu bytes; this takes up to "
		"%llu, and %llu are kept free: nothing is written before there "
		"is more",
		store->dir, (unsigned long long)space->left,
		(unsigned long long)growth,
		(unsigned long long)(is_freeing ? space->min / 2 : space->min));
}
