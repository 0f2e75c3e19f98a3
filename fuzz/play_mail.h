/*
 * A play's messages: steps, edits, and what is checked of them; see play.h.
 */
#ifndef FUZZ_PLAY_MAIL_H
#define FUZZ_PLAY_MAIL_H

#include "play.h"

void play_mail_begin(struct play *play);
/* One step of the next edit of messages; COPY may be a move. */
void play_mail_step(struct play *play, const struct script_step *step,
		    enum model_mail_kind kind);
void play_mail_submit(struct play *play);
/* The primary's messages are the model's. */
void play_mail_check(struct play *play);
/* A side's as well, with what else is known of them; it is up to date. */
void play_mail_end_check(struct play *play, int side);

#endif
