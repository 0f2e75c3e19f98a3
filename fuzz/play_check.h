/*
 * The checks of a play, see play.h.
 */
#ifndef FUZZ_PLAY_CHECK_H
#define FUZZ_PLAY_CHECK_H

#include "play.h"

/* The account of play_first_tree is the primary's; the model takes it. */
void play_begin_check(struct play *play);
/* after is what an edit should have come to; it becomes the model. */
void play_primary_check(struct play *play, struct model *after,
			const struct mbj_outcome *outcome);
void play_replica_check(struct play *play, int side);
/* Everything is delivered, and all is one. */
void play_end_check(struct play *play);

#endif
