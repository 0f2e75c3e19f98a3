/*
 * Writing JSON into a bounded buffer: commas, quotes and escapes are seen to
 * here and nowhere else.  Failures stay in the buffer until its end.
 * Private to journal/jmap*.
 *
 *	jmap_out_open(&out, NULL, '{');
 *	jmap_out_text(&out, "schema", "mbj.tree/1");
 *	jmap_out_open_lines(&out, "list", '[');
 *	...
 *	jmap_out_close(&out);
 *	jmap_out_close(&out);
 *	return jmap_out_finish(&out, err);
 *
 * key is NULL inside an array, and behind jmap_out_key.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JMAP_OUT_H
#define MBJ_JMAP_OUT_H

#include <mbj/memory.h>
#include <mbj/types.h>

enum { JMAP_OUT_DEPTH_MAX = 16 };

struct jmap_out_level {
	char close;
	bool is_lined; /* each member on a line of its own */
	bool is_empty; /* nothing written yet */
};

struct jmap_out {
	struct mbj_buf *buf;
	struct jmap_out_level levels[JMAP_OUT_DEPTH_MAX];
	size_t depth;
	bool is_keyed; /* a key was written, its value was not */
};

void jmap_out_init(struct jmap_out *out, struct mbj_buf *buf);
void jmap_out_open(struct jmap_out *out, const char *key, char open);
void jmap_out_open_lines(struct jmap_out *out, const char *key, char open);
void jmap_out_close(struct jmap_out *out);
/* Requires: everything is closed.  Ends the document with a newline. */
enum mbj_rc jmap_out_finish(struct jmap_out *out,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* A key that is not a word of ours. */
void jmap_out_key(struct jmap_out *out, struct mbj_bytes key);
void jmap_out_bytes(struct jmap_out *out, const char *key,
		    struct mbj_bytes utf8);
void jmap_out_text(struct jmap_out *out, const char *key, const char *text);
void jmap_out_number(struct jmap_out *out, const char *key, uint64_t number);
/* A number in quotes, as JMAP's states are. */
void jmap_out_decimal(struct jmap_out *out, const char *key, uint64_t number);
void jmap_out_bool(struct jmap_out *out, const char *key, bool is_true);
void jmap_out_null(struct jmap_out *out, const char *key);
/* 32 hexadecimal digits; null for ROOT, "temp" for TEMP. */
void jmap_out_id(struct jmap_out *out, const char *key, struct mbj_id id);
void jmap_out_hex(struct jmap_out *out, const char *key, struct mbj_bytes b);
/* A set of UIDs as IMAP writes it: "1:4,7". */
void jmap_out_uids(struct jmap_out *out, const char *key,
		   struct mbj_bytes uids);

/*
 * The length of the well-formed UTF-8 sequence (RFC 3629) at the front of b,
 * and its code point; 0 where there is none.  Requires: b is not empty.
 */
size_t jmap_utf8_next(struct mbj_bytes b, uint32_t *ret_point);
bool jmap_utf8_is_valid(struct mbj_bytes b);

#endif
