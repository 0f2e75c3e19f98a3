/*
 * Whether the content that an edit appends is there: asked before it is
 * submitted, and again in the batch where something was removed meanwhile.
 *
 * Threads: any.
 */
#include <mbj/blob.h>

#include "store_impl.h"

uint64_t store_removals(struct mbj_store *store)
{
	uint64_t removals;

	pthread_mutex_lock(&store->mutex);
	removals = store->removals;
	pthread_mutex_unlock(&store->mutex);
	return removals + store_blobs_drops(store);
}

void store_removal_note(struct mbj_store *store)
{
	pthread_mutex_lock(&store->mutex);
	store->removals++;
	pthread_mutex_unlock(&store->mutex);
}

/* Messages that nobody has the bytes of are not for the journal. */
static enum mbj_rc body_check(struct mbj_blobs *blobs,
			      const struct mbj_message_edit *step,
			      struct mbj_error *err)
{
	char text[MBJ_BLOB_TEXT_SIZE];
	bool is_there = false;
	enum mbj_rc rc;

	rc = mbj_blob_has(blobs, &step->blob, step->size, &is_there, err);
	if (rc < 0 || is_there)
		return rc;
	mbj_blob_print(&step->blob, text);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "a message's bytes %s (%llu) are not in the "
			     "store: they come before the edit",
			     text, (unsigned long long)step->size);
}

enum mbj_rc store_content_check(struct mbj_store *store,
				const struct mbj_edit *edit,
				struct mbj_error *err)
{
	struct mbj_blobs *blobs = NULL;
	enum mbj_rc rc = MBJ_OK;

	/* An intent's messages are still to come. */
	if (edit->stage == MBJ_STAGE_INTENT)
		return MBJ_OK;
	for (size_t i = 0; rc == MBJ_OK && i < edit->message_count; i++) {
		if (edit->messages[i].kind != MBJ_MESSAGE_APPEND)
			continue;
		if (blobs == NULL)
			rc = mbj_store_blobs(store, &blobs, err);
		if (rc == MBJ_OK)
			rc = body_check(blobs, &edit->messages[i], err);
	}
	return rc;
}
