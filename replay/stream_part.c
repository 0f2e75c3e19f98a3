/*
 * A part of a snapshot; see stream_part.h.
 */
#include "stream_part.h"

/*
 * As much as was asked for, and no more.  What cannot be written here is read
 * to its end all the same: the answer to the next question comes behind it.
 */
static enum mbj_rc pieces_take(struct source_stream *s,
			       struct snapshot_part *part, uint64_t n,
			       struct mbj_error *err)
{
	struct mbj_error failed = {.rc = MBJ_OK};
	struct stream_message m;
	enum stream_kind kind = STREAM_FAULT;
	enum mbj_rc rc;

	for (;;) {
		rc = stream_link_receive(&s->link, 0, &kind, &m, err);
		if (rc < 0)
			return rc;
		if (kind == STREAM_HERE && n == 0)
			break;
		if (kind == STREAM_LOST)
			return stream_fault_take(s, &m.error, err);
		if (kind != STREAM_PIECE || m.data.n > n)
			return source_stream_bad(
				s, err,
				"something else than the part of a "
				"snapshot");
		n -= m.data.n;
		if (failed.rc == MBJ_OK)
			failed.rc = snapshot_part_write(part, m.data, &failed);
	}
	if (failed.rc < 0 && err != NULL)
		*err = failed;
	return failed.rc;
}

enum mbj_rc stream_part_ask(struct source_stream *s, struct snapshot_part *part,
			    const struct part_want *want,
			    struct mbj_lsn *ret_lsn, uint64_t *ret_size,
			    struct mbj_error *err)
{
	struct stream_message m = {.least = want->least,
				   .snapshot = want->most,
				   .size = want->at,
				   .bytes_max = want->max};
	struct stream_link *link = &s->link;
	enum stream_kind kind = STREAM_FAULT;
	uint64_t left;
	enum mbj_rc rc;

	rc = stream_link_send(link, STREAM_PART, &m, err);
	if (rc == MBJ_OK)
		rc = stream_link_receive(link, 0, &kind, &m, err);
	if (rc < 0)
		return rc;
	if (kind == STREAM_FAULT && m.error.rc == MBJ_ENOTFOUND) {
		if (err != NULL)
			*err = m.error;
		return MBJ_ENOTFOUND;
	}
	if (kind == STREAM_FAULT)
		return stream_fault_take(s, &m.error, err);
	if (kind != STREAM_OFFER || m.snapshot.v < want->least.v ||
	    m.snapshot.v > want->most.v || m.size == 0 || m.size < want->at)
		return source_stream_bad(s, err,
					 "another snapshot than was asked for");
	*ret_lsn = m.snapshot;
	*ret_size = m.size;
	left = m.size - want->at;
	return pieces_take(s, part, left < want->max ? left : want->max, err);
}
