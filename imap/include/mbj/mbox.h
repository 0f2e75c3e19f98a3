/*
 * mbox (RFC 4155): messages one behind the other, each after a line that
 * begins with "From ".  A pure parser: bytes in, events out.
 *
 * A separator is a "From " line at the beginning, or behind an empty line, that
 * ends with a date as asctime(3) writes it (with a zone or without), or has
 * nothing but one word with an '@', or "-".  Other such lines are text.
 *
 * mboxrd, the default: one '>' of each line that has any number of them before
 * "From " is removed.  mboxo: nothing is removed, since ">From " may be what
 * was written.  The empty line in front of a separator, and one at the end,
 * belongs to the envelope; all else is handed out as it is, CRLF or LF.
 *
 * Not here: Content-Length (mboxcl), which is passed over; X-UID and
 * X-IMAPbase, which messages carry along when they are copied from mbox to
 * mbox, so that nobody knows whose UIDs they are.
 *
 * Threads: one at a time per parser.
 */
#ifndef MBJ_MBOX_H
#define MBJ_MBOX_H

#include <mbj/error.h>
#include <mbj/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a line at its beginning that are looked at. */
enum { MBJ_MBOX_LINE_MAX = 4096 };

enum mbj_mbox_event {
	MBJ_MBOX_MORE, /* what was fed is used up; after the end, all is told */
	MBJ_MBOX_BEGIN, /* a message begins */
	MBJ_MBOX_BODY,	/* bytes of it */
	MBJ_MBOX_END,	/* it is complete: its flags and time are known */
	MBJ_MBOX_NONE,	/* what was fed is no mbox; nothing more comes */
};

struct mbj_mbox;

enum mbj_rc mbj_mbox_new(bool is_mboxo, struct mbj_mbox **ret_mbox,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_mbox_free(struct mbj_mbox **mbox);
/*
 * The next bytes; none: that was all.  Borrowed until MBJ_MBOX_MORE.
 * Requires: the last event was MBJ_MBOX_MORE, or there was none.
 */
void mbj_mbox_feed(struct mbj_mbox *mbox, struct mbj_bytes bytes);
/* ret_body, of MBJ_MBOX_BODY, is borrowed until the next call. */
enum mbj_mbox_event mbj_mbox_next(struct mbj_mbox *mbox,
				  struct mbj_bytes *ret_body);

/* What is known of a message at MBJ_MBOX_END. */
struct mbj_mbox_message {
	uint8_t flags;		   /* of Status and X-Status */
	bool has_time;		   /* of its separator, else of Date */
	int64_t time;		   /* seconds since 1970, UTC */
	uint64_t offset;	   /* of its separator in the file */
	struct mbj_bytes keywords; /* of X-Keywords, a good set of them */
	size_t keywords_bad;	   /* words there that are none */
	/* Lines in it like a separator with a date, with no empty one before.
	 */
	size_t separators_bare;
};
/* Borrowed until the next call of mbj_mbox_next. */
const struct mbj_mbox_message *mbj_mbox_message(const struct mbj_mbox *mbox);

/* ------------------------------------------------------------------ dates */

/* What of a separator line, from "From " on, without its end, is its date. */
bool mbj_mbox_from_parse(struct mbj_bytes line, bool *ret_has_time,
			 int64_t *ret_time);
/* The value of a Date field (RFC 5322 section 3.3, obsolete forms too). */
bool mbj_mail_date_parse(struct mbj_bytes value, int64_t *ret_time);

#ifdef __cplusplus
}
#endif

#endif
