/*
 * Contents that groups which were given up name: no message of the state has
 * them, and a state that is made anew may take such a group after all.
 *
 * Threads: any; each call reads the journal's files.
 */
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/skips.h>

#include "store_impl.h"

/* 32 MiB of digests. */
enum { CONTENTS_MAX = 1 << 20 };

static int hash_order(const void *a, const void *b)
{
	return memcmp(a, b, MBJ_HASH_SIZE);
}

static enum mbj_rc content_add(struct skip_contents *contents,
			       const struct mbj_hash *blob,
			       struct mbj_error *err)
{
	void *list = contents->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &contents->capacity, contents->count + 1,
			       sizeof(*contents->list), CONTENTS_MAX, err);
	contents->list = list;
	if (rc < 0)
		return mbj_error_prefix(err, rc,
					"contents of groups that were given "
					"up");
	contents->list[contents->count++] = *blob;
	return MBJ_OK;
}

/* A body that is damaged has none that anybody could ask for. */
static enum mbj_rc group_add(struct skip_contents *contents,
			     const struct mbj_group *group,
			     struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	if (!group->is_body_good)
		return MBJ_OK;
	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK &&
	       mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK)
		if (op.kind == MBJ_OP_MESSAGE_APPEND)
			rc = content_add(contents, &op.blob, err);
	return rc;
}

/* Groups that the journal does not have any more nobody carries out again. */
static enum mbj_rc skip_add(struct mbj_store *store,
			    struct skip_contents *contents,
			    struct mbj_skip skip, struct mbj_error *err)
{
	struct mbj_identity id = mbj_store_identity_copy(store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	if (skip.lsn.v < id.anchor.first.v ||
	    skip.lsn.v > mbj_store_end(store).lsn.v)
		return MBJ_OK;
	rc = mbj_store_log_reader_own(store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, skip.lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK && group.header.epoch.v == skip.epoch.v)
		rc = group_add(contents, &group, err);
	mbj_log_reader_close(&reader);
	return rc;
}

enum mbj_rc skip_contents_load(struct mbj_store *store,
			       struct skip_contents *ret_contents,
			       struct mbj_error *err)
{
	struct skip_contents contents = {NULL, 0, 0};
	struct mbj_skips skips = {NULL, 0};
	enum mbj_rc rc;

	*ret_contents = contents;
	/* All that it names there is before the journal's beginning. */
	if (store_role(store) == MBJ_STORE_PRIMARY)
		return MBJ_OK;
	rc = mbj_skips_load(store->sys, store->dir, &skips, err);
	if (rc == MBJ_ECORRUPT)
		return mbj_error_prefix(err, rc,
					"\"mbj fsck --repair\" puts it aside");
	for (size_t i = 0; rc == MBJ_OK && i < skips.count; i++)
		rc = skip_add(store, &contents, skips.items[i], err);
	mbj_skips_done(&skips);
	if (rc < 0) {
		skip_contents_done(&contents);
		return rc;
	}
	if (contents.count > 0)
		qsort(contents.list, contents.count, sizeof(*contents.list),
		      hash_order);
	*ret_contents = contents;
	return MBJ_OK;
}

bool skip_contents_have(const struct skip_contents *contents,
			const struct mbj_hash *blob)
{
	return contents->count > 0 &&
	       bsearch(blob, contents->list, contents->count,
		       sizeof(*contents->list), hash_order) != NULL;
}

void skip_contents_done(struct skip_contents *contents)
{
	mbj_free(contents->list);
	*contents = (struct skip_contents){NULL, 0, 0};
}
