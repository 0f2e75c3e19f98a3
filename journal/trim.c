/*
 * Trimming the journal; see mbj/trim.h.
 *
 *	checkpoint -> how far by every reason -> a good snapshot at or past that
 *	  -> superblock: the journal begins later -> segments go, lowest first,
 *	     each entry synced before the next
 *
 * Edits go on meanwhile: checkpoint and superblock have a turn each
 * (store_turn_take), and in that of the superblock the register of
 * replicas is read again, as a snapshot takes its time; what is read lies
 * behind the journal's end as it was, and who reads the journal for an
 * edit does so from its beginning as it is then.
 *
 * Where a crash leaves segments that lie before the journal's beginning, they
 * are void, as the superblock says, and go at the next opening or trim.
 *
 * Invariants:
 *   1. the superblock says so before any byte is gone;
 *   2. file numbers never get a gap: what is left at any time is what the list
 *      of segments calls whole;
 *   3. from the journal's beginning to its end there is a good snapshot, or the
 *      beginning is group 1;
 *   4. nothing goes that the state had not on disk before it was looked at.
 *
 * Threads: one at a time (store_house_begin), beside others.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/replicas.h>
#include <mbj/trim.h>

#include "log_impl.h"
#include "segment_list.h"
#include "segment_view.h"
#include "store_impl.h"

const char *mbj_trim_reason_name(enum mbj_trim_reason reason)
{
	static const char *const words[] = {
#define X(name, number, word, what) [number] = (word),
		MBJ_TRIM_REASON_MAP(X)
#undef X
	};

	MBJ_ASSERT((size_t)reason < sizeof(words) / sizeof(words[0]));
	return words[reason];
}

const char *mbj_trim_reason_text(enum mbj_trim_reason reason)
{
	static const char *const texts[] = {
#define X(name, number, word, what) [number] = (what),
		MBJ_TRIM_REASON_MAP(X)
#undef X
	};

	MBJ_ASSERT((size_t)reason < sizeof(texts) / sizeof(texts[0]));
	return texts[reason];
}

struct trimming {
	struct mbj_store *store;
	const struct mbj_trim_options *options;
	struct mbj_trim_result *result;
	struct segment_list list;
	struct mbj_watermark watermark; /* on disk */
	/* Groups from here on stay, for the result's reason. */
	uint64_t bound;
	struct mbj_anchor anchor; /* wanted */
	uint32_t number;	  /* of the segment that it is in */
};

static void bound_lower(struct trimming *t, uint64_t lsn,
			enum mbj_trim_reason why)
{
	if (lsn >= t->bound)
		return;
	t->bound = lsn;
	t->result->why = why;
}

/* --------------------------------------------------------------- reasons */

static enum mbj_rc entry_look(const struct trimming *t, size_t index,
			      struct segment_header *ret_header,
			      uint64_t *ret_size, struct mbj_error *err)
{
	const struct segment_entry *entry = &t->list.entries[index];
	struct mbj_store *store = t->store;
	struct segment_view view;
	char name[SEGMENT_NAME_SIZE];
	enum mbj_rc rc;

	segment_view_init(&view);
	segment_name_print(entry->number, entry->first, name);
	rc = segment_view_open(&view, store->sys, store->journal_dir, name,
			       mbj_store_identity_copy(store).lineage,
			       ret_header, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&view.file, ret_size, err);
	segment_view_done(&view);
	return rc;
}

/*
 * From the newest segment back: the bytes that are to be kept, and the time.
 * A segment was written to until the next one was begun.
 */
static enum mbj_rc segments_bound(struct trimming *t, struct mbj_error *err)
{
	const struct mbj_sys *sys = t->store->sys;
	/* In range: see options_check. */
	int64_t cutoff = sys->now_us(sys->ctx) - t->options->keep_us;
	struct segment_header header = {.number = 0};
	bool is_old = t->options->keep_us <= 0;
	bool is_enough = t->options->keep_size == 0;
	uint64_t size = 0, kept = 0;

	for (size_t i = t->list.count; i > 0 && !(is_old && is_enough); i--) {
		enum mbj_rc rc = entry_look(t, i - 1, &header, &size, err);

		if (rc < 0)
			return rc;
		kept += size;
		if (!is_old)
			bound_lower(t, header.first.v, MBJ_TRIM_AGE);
		is_old = is_old || header.created_us <= cutoff;
		if (!is_enough)
			bound_lower(t, header.first.v, MBJ_TRIM_SIZE);
		is_enough = is_enough || kept >= t->options->keep_size;
	}
	return MBJ_OK;
}

/* What a registered replica has on its disk it asks for no more. */
static enum mbj_rc replicas_bound(struct trimming *t, struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_replica_notes_load(t->store->sys, t->store->dir, &notes,
				    &count, NULL, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		bound_lower(t, notes[i].received.v + 1, MBJ_TRIM_REPLICA);
	mbj_free(notes);
	return rc;
}

static enum mbj_rc bound_find(struct trimming *t, struct mbj_error *err)
{
	uint64_t end = t->result->end.v;
	uint64_t window = t->options->keep_requests;
	enum mbj_rc rc;

	t->bound = t->list.entries[t->list.count - 1].first.v;
	t->result->why = MBJ_TRIM_NEWEST;
	bound_lower(t, end > window ? end - window + 1 : 1, MBJ_TRIM_REQUESTS);
	bound_lower(t, t->watermark.lsn.v + 1, MBJ_TRIM_STATE);
	rc = replicas_bound(t, err);
	if (rc == MBJ_OK)
		rc = segments_bound(t, err);
	return rc;
}

/* The segment with that group begins the journal. */
static enum mbj_rc anchor_find(struct trimming *t, struct mbj_error *err)
{
	struct segment_header header = {.number = 0};
	size_t index;
	uint64_t size = 0;
	enum mbj_rc rc;

	index = segment_list_find(&t->list, (struct mbj_lsn){t->bound});
	t->anchor = mbj_store_identity_copy(t->store).anchor;
	t->number = 0;
	if (index == t->list.count ||
	    t->list.entries[index].first.v <= t->anchor.first.v)
		return MBJ_OK;
	rc = entry_look(t, index, &header, &size, err);
	if (rc < 0)
		return rc;
	t->anchor.first = header.first;
	t->anchor.chain = header.chain;
	t->number = header.number;
	return MBJ_OK;
}

/* ---------------------------------------------------------------- removal */

/*
 * Files with a number below that one go, lowest first; counted only where that
 * is wanted.
 */
static enum mbj_rc files_remove(const struct mbj_store *store, uint32_t number,
				bool is_counting,
				struct mbj_trim_result *result,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, SEGMENT_NAMES_SIZE_MAX);
	rc = mbj_dir_list(store->sys, store->journal_dir, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		struct mbj_file file = MBJ_FILE_CLOSED;
		struct mbj_lsn first;
		uint64_t size = 0;
		uint32_t found;

		if (!segment_name_parse(name, &found, &first) ||
		    found >= number)
			continue;
		rc = store_house_check(store, err);
		if (rc == MBJ_OK)
			rc = mbj_path_join(path, store->journal_dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_open(store->sys, path, O_RDONLY, &file,
					   err);
		if (rc == MBJ_OK)
			rc = mbj_file_size(&file, &size, err);
		mbj_file_close(&file);
		if (rc == MBJ_OK && !is_counting)
			rc = mbj_file_remove(store->sys, path, err);
		if (rc == MBJ_OK && !is_counting)
			rc = mbj_dir_sync(store->sys, store->journal_dir, err);
		result->segments += rc == MBJ_OK;
		result->size += rc == MBJ_OK ? size : 0;
	}
	mbj_buf_done(&names);
	return rc;
}

/* In a turn: the journal begins there from now on. */
static enum mbj_rc anchor_set(struct trimming *t, struct mbj_error *err)
{
	struct mbj_store *store = t->store;
	struct superblock superblock = store->superblock;
	enum mbj_rc rc = store_check(store, err);

	superblock.identity.anchor = t->anchor;
	if (rc == MBJ_OK)
		rc = superblock_save(store->sys, store->dir, SUPERBLOCK_NAME,
				     &superblock, err);
	if (rc < 0)
		return rc;
	/* Nothing else: who feeds a replica reads the rest without the mutex.
	 */
	pthread_mutex_lock(&store->mutex);
	store->superblock.identity.anchor = t->anchor;
	pthread_mutex_unlock(&store->mutex);
	recall_first_set(&store->recall, t->anchor.first);
	return MBJ_OK;
}

/*
 * In a turn.  A replica that was registered since the bound was found is waited
 * for; whoever registers one later finds the journal's beginning as it is then
 * (stream_register), as nobody does so in between.
 */
static enum mbj_rc anchor_judge(struct trimming *t, struct mbj_error *err)
{
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc = store_replicas_lock(t->store, &lock, err);

	if (rc < 0)
		return rc;
	rc = replicas_bound(t, err);
	if (rc == MBJ_OK)
		rc = anchor_find(t, err);
	if (rc == MBJ_OK && t->number > 0)
		rc = anchor_set(t, err);
	mbj_file_close(&lock);
	return rc;
}

static enum mbj_rc anchor_move(struct trimming *t, struct mbj_error *err)
{
	struct mbj_store *store = t->store;
	struct mbj_snapshot_result snapshot;
	enum mbj_rc rc;

	rc = store_snapshot_run(store, &snapshot, err);
	if (rc < 0)
		return mbj_error_prefix(err, rc, "nothing was trimmed");
	/* Only a state that was mended meanwhile is behind what it was. */
	if (snapshot.info.watermark.lsn.v + 1 < t->anchor.first.v)
		return mbj_error_set(err, MBJ_EBUSY,
				     "nothing was trimmed: the state of %s "
				     "was made good from the journal "
				     "meanwhile: try again",
				     store->dir);
	rc = store_turn_take(store, err);
	if (rc < 0)
		return rc;
	rc = anchor_judge(t, err);
	store_turn_give(store);
	if (rc < 0)
		return mbj_error_prefix(err, rc, "nothing was trimmed");
	t->result->first = t->anchor.first;
	if (t->number == 0)
		return MBJ_OK;
	t->result->snapshot = snapshot.info.watermark.lsn;
	rc = files_remove(store, t->number, false, t->result, err);
	if (rc < 0)
		return mbj_error_prefix(err, rc,
					"the journal begins at group %llu "
					"now, but what lies before it is not "
					"gone; the next trim removes it",
					(unsigned long long)t->anchor.first.v);
	return MBJ_OK;
}

/* What an earlier trim could not remove; the list is of what is left. */
static enum mbj_rc void_remove(struct trimming *t, struct mbj_error *err)
{
	struct mbj_store *store = t->store;
	struct mbj_lsn first = mbj_store_identity_copy(store).anchor.first;
	size_t index = segment_list_find(&t->list, first);
	enum mbj_rc rc;

	if (t->options->is_dry_run || index == 0 || index == t->list.count)
		return MBJ_OK;
	rc = files_remove(store, t->list.entries[index].number, false,
			  t->result, err);
	if (rc < 0)
		return rc;
	segment_list_done(&t->list);
	segment_list_init(&t->list);
	return segment_list_load(&t->list, store->sys, store->journal_dir, err);
}

static enum mbj_rc trim_run(struct trimming *t, struct mbj_error *err)
{
	struct mbj_trim_result *result = t->result;
	struct mbj_store *store = t->store;
	enum mbj_rc rc;

	rc = store_house_checkpoint(store, "trimmed", &t->watermark, err);
	if (rc == MBJ_OK)
		rc = segment_list_load(&t->list, store->sys, store->journal_dir,
				       err);
	if (rc < 0 || t->list.count == 0)
		return rc;
	rc = void_remove(t, err);
	if (rc == MBJ_OK)
		rc = bound_find(t, err);
	if (rc == MBJ_OK)
		rc = anchor_find(t, err);
	if (rc < 0 || t->number == 0)
		return rc;
	result->first = t->anchor.first;
	return t->options->is_dry_run
		       ? files_remove(store, t->number, true, result, err)
		       : anchor_move(t, err);
}

static enum mbj_rc trim_all(struct trimming *t, struct mbj_error *err)
{
	struct mbj_store *store = t->store;
	bool is_dry_run = t->options->is_dry_run;
	struct mbj_identity identity = mbj_store_identity_copy(store);
	enum mbj_rc rc;

	if (mbj_id_is_root(identity.lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a replica that has not received "
				     "anything yet",
				     store->dir);
	rc = store_backup_refuse(store, "trimmed", err);
	if (rc < 0)
		return rc;
	t->result->before = identity.anchor.first;
	t->result->first = t->result->before;
	t->result->end = mbj_store_end(store).lsn;
	segment_list_init(&t->list);
	if (!is_dry_run)
		store_reserve_use(store);
	rc = trim_run(t, err);
	segment_list_done(&t->list);
	if (rc == MBJ_OK && !is_dry_run)
		rc = store_house_reserve(store, err);
	return rc;
}

/* They come from a peer as well. */
static enum mbj_rc options_check(const struct mbj_trim_options *options,
				 struct mbj_error *err)
{
	if (options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the options of a trim have another size "
				     "here: built against other headers");
	if (options->keep_us < 0 || options->keep_us > MBJ_TRIM_KEEP_US_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "a trim keeps 0 to %lld microseconds, "
				     "not %lld",
				     (long long)MBJ_TRIM_KEEP_US_MAX,
				     (long long)options->keep_us);
	if (options->keep_requests > MBJ_REQUEST_WINDOW_MAX)
		return mbj_error_set(
			err, MBJ_EINVALID,
			"a trim keeps the requests of 0 to %d groups, not %llu",
			MBJ_REQUEST_WINDOW_MAX,
			(unsigned long long)options->keep_requests);
	return MBJ_OK;
}

enum mbj_rc mbj_store_trim(struct mbj_store *store,
			   const struct mbj_trim_options *options,
			   struct mbj_trim_result *ret_result,
			   struct mbj_error *err)
{
	struct mbj_trim_result result = {.segments = 0};
	struct trimming t = {.store = store,
			     .options = options,
			     .result = &result};
	enum mbj_rc rc = options_check(options, err);

	if (rc == MBJ_OK)
		rc = store_house_begin(store, MBJ_HOUSE_TRIM, err);
	if (rc < 0)
		return rc;
	rc = trim_all(&t, err);
	store_house_end(store);
	if (rc == MBJ_OK)
		*ret_result = result;
	return rc;
}

void store_trim_finish(const struct mbj_store *store)
{
	struct mbj_trim_result result = {.segments = 0};
	struct segment_list list;
	enum mbj_rc rc;
	size_t index;

	segment_list_init(&list);
	rc = segment_list_load(&list, store->sys, store->journal_dir, NULL);
	index = segment_list_find(&list,
				  store->superblock.identity.anchor.first);
	if (index == 0 || index == list.count)
		rc = MBJ_ENOTFOUND;
	/* After a kill the superblock that says so may not be on disk: a power
	 * cut could bring the one before it back, and not what it begins with.
	 */
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(store->sys, store->dir, NULL);
	/* What cannot be removed now is void all the same. */
	if (rc == MBJ_OK)
		rc = files_remove(store, list.entries[index].number, false,
				  &result, NULL);
	(void)rc;
	segment_list_done(&list);
}

/* ------------------------------------------------------------ begun anew */

/* What was published last; LSN 0: nothing, or it cannot be read. */
static enum mbj_rc published_get(const struct mbj_store *store,
				 struct mbj_log_end *ret_end,
				 struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	bool is_damaged = false;
	enum mbj_rc rc;

	*ret_end = (struct mbj_log_end){{0}, {{0}}};
	rc = mbj_path_join(path, store->journal_dir, LOG_PUBLISHED_NAME, &why);
	if (rc == MBJ_OK)
		rc = mbj_file_open(store->sys, path, O_RDONLY, &file, &why);
	if (rc == MBJ_OK)
		rc = log_published_read(&file, ret_end, &is_damaged, &why);
	mbj_file_close(&file);
	if (is_damaged)
		ret_end->lsn.v = 0;
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

/*
 * The superblock of a replica that begins anew is on disk, and says that its
 * journal begins behind all that was ever published here.  A trim never says
 * so, nor does damage.
 */
enum mbj_rc store_void_remove(const struct mbj_store *store,
			      struct mbj_error *err)
{
	struct mbj_lsn first = store->superblock.identity.anchor.first;
	struct mbj_trim_result result = {.segments = 0};
	struct mbj_log_end end;
	enum mbj_rc rc;

	if (store->superblock.identity.role != MBJ_STORE_REPLICA ||
	    first.v <= 1)
		return MBJ_OK;
	rc = published_get(store, &end, err);
	if (rc < 0 || end.lsn.v == 0 || end.lsn.v + 1 >= first.v)
		return rc;
	/* After a kill, too: see store_trim_finish. */
	rc = mbj_dir_sync(store->sys, store->dir, err);
	return rc == MBJ_OK
		       ? files_remove(store, UINT32_MAX, false, &result, err)
		       : rc;
}
