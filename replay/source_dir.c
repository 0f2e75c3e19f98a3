/*
 * A store's directory as a source; see source_dir.h.
 */
#include "source_dir.h"

#include <mbj/check.h>

static struct source_dir *dir_of(struct replay_source *source)
{
	return (struct source_dir *)source;
}

static enum mbj_rc dir_identity(struct replay_source *source,
				struct mbj_identity *ret_identity,
				struct mbj_error *err)
{
	struct source_dir *from = dir_of(source);
	enum mbj_rc rc;

	rc = mbj_identity_load(from->sys, from->dir, &from->identity, err);
	if (rc == MBJ_OK)
		*ret_identity = from->identity;
	return rc;
}

enum mbj_rc source_hello_read(const struct mbj_identity *source,
			      struct mbj_log_reader *reader,
			      struct mbj_lsn applied,
			      struct mbj_hello *ret_hello,
			      struct mbj_error *err)
{
	struct mbj_log_end end;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_log_reader_end(reader, &end, err);
	if (rc < 0)
		return rc;
	*ret_hello = (struct mbj_hello){
		.lineage = source->lineage,
		.epoch = source->epoch,
		.epoch_owner = source->epoch_owner,
		.end = end.lsn,
	};
	/* Just before its first group, the anchor says it. */
	if (applied.v + 1 == source->anchor.first.v) {
		ret_hello->has_chain = true;
		ret_hello->chain_there = source->anchor.chain;
		return MBJ_OK;
	}
	if (applied.v > end.lsn.v || applied.v < source->anchor.first.v)
		return MBJ_OK;
	rc = mbj_log_reader_seek(reader, applied, err);
	if (rc < 0)
		return rc;
	rc = mbj_log_reader_next(reader, &group, err);
	if (rc < 0)
		return rc;
	ret_hello->has_chain = true;
	ret_hello->chain_there = group.chain;
	return MBJ_OK;
}

static enum mbj_rc dir_hello(struct replay_source *source,
			     struct mbj_lsn applied,
			     struct mbj_hello *ret_hello, struct mbj_error *err)
{
	struct source_dir *from = dir_of(source);
	enum mbj_rc rc;

	MBJ_ASSERT(from->reader == NULL);
	rc = mbj_store_log_reader(from->sys, from->dir, &from->reader, err);
	if (rc < 0)
		return rc;
	return source_hello_read(&from->identity, from->reader, applied,
				 ret_hello, err);
}

static enum mbj_rc dir_seek(struct replay_source *source, struct mbj_lsn lsn,
			    struct mbj_error *err)
{
	return mbj_log_reader_seek(dir_of(source)->reader, lsn, err);
}

static enum mbj_rc dir_next(struct replay_source *source,
			    struct mbj_group *ret_group, struct mbj_error *err)
{
	struct mbj_log_reader *reader = dir_of(source)->reader;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK && !group.is_body_good)
		rc = mbj_log_reader_fault(reader, &group, err);
	if (rc == MBJ_OK)
		*ret_group = group;
	return rc;
}

/* Where copying fails, the source is to blame if it cannot be read itself. */
static enum mbj_rc dir_content(struct replay_source *source,
			       struct mbj_blobs *to,
			       struct replay_content *content,
			       bool *ret_is_here, struct mbj_error *ret_why,
			       struct mbj_error *err)
{
	struct source_dir *from = dir_of(source);
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	if (from->blobs == NULL)
		rc = mbj_store_blobs_take(from->sys, from->dir, &from->blobs,
					  NULL, err);
	if (rc < 0)
		return rc;
	rc = content->is_duplicating
		     ? mbj_blob_duplicate(from->blobs, to, content->digest,
					  content->size, &why)
		     : mbj_blob_copy(from->blobs, to, content->digest,
				     content->size, &why);
	*ret_is_here = rc == MBJ_OK;
	if (rc == MBJ_OK)
		return rc;
	rc = mbj_blob_verify(from->blobs, content->digest, content->size,
			     ret_why);
	if (rc != MBJ_OK && rc != MBJ_ENOMEM)
		return MBJ_OK;
	return mbj_error_set(err, why.rc, "%s", why.message);
}

static const struct replay_source_ops dir_ops = {
	.identity = dir_identity,
	.hello = dir_hello,
	.seek = dir_seek,
	.next = dir_next,
	.content = dir_content,
};

void source_dir_init(struct source_dir *from, const struct mbj_sys *sys,
		     const char *dir)
{
	*from = (struct source_dir){
		.source = {.ops = &dir_ops, .name = dir, .is_parking = true},
		.sys = sys,
		.dir = dir,
	};
}

enum mbj_rc source_dir_own(struct source_dir *from, struct mbj_store *store,
			   struct mbj_error *err)
{
	*from = (struct source_dir){
		.source = {.ops = &dir_ops,
			   .name = mbj_store_dir(store),
			   .is_own = true},
	};
	return mbj_store_log_reader_own(store, &from->reader, err);
}

void source_dir_done(struct source_dir *from)
{
	mbj_log_reader_close(&from->reader);
	mbj_blobs_close(&from->blobs);
}
