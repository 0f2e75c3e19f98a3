/*
 * The fields of which a frame's body is made, each there and back.  Private to
 * stream_frame.c, whose table says which ones a kind has.
 *
 * Threads: pure functions.
 */
#ifndef MBJ_STREAM_FIELD_H
#define MBJ_STREAM_FIELD_H

#include "stream_frame.h"

void stream_field_encode(struct mbj_buf *buf, enum stream_field field,
			 const struct stream_message *m);
/* Returns: MBJ_ECORRUPT, MBJ_ELIMIT, naming what is wrong. */
enum mbj_rc stream_field_decode(struct mbj_reader *reader,
				enum stream_field field,
				struct stream_message *m,
				struct mbj_error *err) MBJ_MUST_CHECK;

#endif
