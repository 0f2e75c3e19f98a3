/*
 * Reading a segment file through one buffer.
 *
 * It is not a judge: what the bytes mean is decided by who asks for them.
 *
 * Invariants:
 *   1. the buffer holds bytes as they once were in the file: who follows a
 *      growing file drops it before looking at what is new;
 *   2. the buffer is at most one group record and a read-ahead large, and
 *      shrinks again when a large record has gone by.
 *
 * Threads: one at a time per view.
 */
#include "segment_view.h"

#include <fcntl.h>

#include <mbj/check.h>

enum {
	READ_SIZE = 256 << 10,
	CAPACITY_KEPT = 1 << 20,
};

void segment_view_init(struct segment_view *view)
{
	MBJ_ASSERT(view != NULL);
	*view = (struct segment_view){.file = MBJ_FILE_CLOSED};
}

void segment_view_drop(struct segment_view *view)
{
	view->begin = 0;
	view->n = 0;
}

void segment_view_close(struct segment_view *view)
{
	mbj_file_close(&view->file);
	segment_view_drop(view);
}

void segment_view_done(struct segment_view *view)
{
	segment_view_close(view);
	mbj_free(view->p);
	view->p = NULL;
	view->capacity = 0;
}

/* The name is what the directory says, the header what the file says. */
static enum mbj_rc header_check(const struct segment_header *header,
				const char *name, struct mbj_id lineage,
				const char *path, struct mbj_error *err)
{
	char expected[SEGMENT_NAME_SIZE];
	char ours[MBJ_ID_TEXT_SIZE];
	char theirs[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	segment_name_print(header->number, header->first, expected);
	if (strcmp(expected, name) != 0)
		return segment_fault(err, path, 0, header->first,
				     "a segment has another name than its "
				     "header says");
	if (mbj_id_equal(header->lineage, lineage))
		return MBJ_OK;
	mbj_id_print(lineage, ours);
	mbj_id_print(header->lineage, theirs);
	rc = mbj_error_set(err, MBJ_EFENCED,
			   "a segment is of lineage %s, the store of %s: %s",
			   theirs, ours, path);
	mbj_error_at(err, path, 0, header->first.v);
	return rc;
}

enum mbj_rc segment_view_open(struct segment_view *view,
			      const struct mbj_sys *sys, const char *dir,
			      const char *name, struct mbj_id lineage,
			      struct segment_header *ret_header,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct segment_header header;
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	segment_view_close(view);
	rc = mbj_path_join(path, dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY | O_NONBLOCK,
				   &view->file, err);
	if (rc < 0)
		return rc;
	rc = segment_view_get(view, 0, SEGMENT_HEADER_SIZE, &bytes, err);
	if (rc == MBJ_OK)
		rc = segment_header_decode(bytes, path, &header, err);
	if (rc == MBJ_OK)
		rc = header_check(&header, name, lineage, path, err);
	if (rc < 0) {
		segment_view_close(view);
		return rc;
	}
	*ret_header = header;
	return MBJ_OK;
}

/* A buffer for size bytes: grown where needed, shrunk where it can be. */
static enum mbj_rc view_reserve(struct segment_view *view, size_t size,
				struct mbj_error *err)
{
	size_t wanted = size < READ_SIZE ? READ_SIZE : size;

	if (wanted <= view->capacity &&
	    (view->capacity <= CAPACITY_KEPT || wanted > CAPACITY_KEPT))
		return MBJ_OK;
	mbj_free(view->p);
	view->p = mbj_alloc(wanted);
	view->capacity = view->p == NULL ? 0 : wanted;
	return view->p == NULL ? mbj_error_nomem(err) : MBJ_OK;
}

enum mbj_rc segment_view_get(struct segment_view *view, uint64_t at,
			     size_t size, struct mbj_bytes *ret_bytes,
			     struct mbj_error *err)
{
	size_t n = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(view->file.fd >= 0);
	MBJ_ASSERT(size <= MBJ_GROUP_MAX);
	if (at >= view->begin && at - view->begin <= view->n &&
	    size <= view->n - (at - view->begin)) {
		*ret_bytes = mbj_bytes_make(view->p + (at - view->begin), size);
		return MBJ_OK;
	}
	segment_view_drop(view);
	rc = view_reserve(view, size, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_read(&view->file, at, view->p, view->capacity, &n, err);
	if (rc < 0)
		return rc;
	view->begin = at;
	view->n = n;
	*ret_bytes = mbj_bytes_make(view->p, n < size ? n : size);
	return MBJ_OK;
}
