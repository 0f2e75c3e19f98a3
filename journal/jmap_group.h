/*
 * Groups as JSON, the piece that plans use too.  Private to journal/jmap*.
 */
#ifndef MBJ_JMAP_GROUP_H
#define MBJ_JMAP_GROUP_H

#include <mbj/group.h>

#include "jmap_out.h"

/* The operation's fields, by the names of mbj/op.def, as members. */
void jmap_op_out(struct jmap_out *out, const struct mbj_op *op);
/* A path's components (joined by NUL in records) as text. */
void jmap_path_text(struct mbj_bytes path, char delimiter, struct mbj_buf *buf);

#endif
