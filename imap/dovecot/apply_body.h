/*
 * A message's bytes, streamed from the service into a save.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_BODY_H
#define MBJ_DOVECOT_APPLY_BODY_H

#include "apply.h"

/* Ownership: the stream's.  An error of the service is the stream's. */
struct istream *body_stream(struct mbj_body_reader *reader);

#endif
