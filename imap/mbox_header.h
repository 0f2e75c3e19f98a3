/*
 * What the header of a message in an mbox says of its flags, keywords, date.
 */
#ifndef MBOX_HEADER_H
#define MBOX_HEADER_H

#include <mbj/mbox.h>

struct mbox_header {
	struct mbj_mbox_message message;
	struct mbj_buf keywords[2]; /* the second is scratch */
	bool has_date;
	int64_t date;
};

void mbox_header_init(struct mbox_header *header);
void mbox_header_done(struct mbox_header *header);
void mbox_header_clear(struct mbox_header *header);
/* One line of the header without its end; is_cut: its beginning alone. */
void mbox_header_line(struct mbox_header *header, struct mbj_bytes line,
		      bool is_cut);
/* All lines were given. */
void mbox_header_end(struct mbox_header *header);

#endif
