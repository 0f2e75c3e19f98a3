/*
 * What an IMAP server says (RFC 3501, RFC 9051), taken apart, and the text of
 * strings in commands.  Pure: bytes in, values out.
 *
 * A server's bytes are hostile input: a response has at most
 * MBJ_IMAP_RESPONSE_MAX bytes, its literals included, whatever it announces;
 * nothing is reserved by what it says; nesting is counted, not recursed.
 *
 * Known here: LIST and LSUB, STATUS, EXISTS, FETCH, CAPABILITY, NAMESPACE,
 * conditions (OK, NO, BAD, PREAUTH, BYE) and continuations.  All else is OTHER,
 * and passed over.
 *
 * Threads: one at a time per reader.
 */
#ifndef MBJ_IMAP_H
#define MBJ_IMAP_H

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MBJ_IMAP_RESPONSE_MAX = 1 << 20, /* bytes of one response */
	MBJ_IMAP_OBJECTID_MAX = 255,	 /* RFC 8474 section 4.1 */
};

/* -------------------------------------------------------------- framing */

/* Whole responses out of a connection's bytes. */
struct mbj_imap_reader {
	struct mbj_buf buf;
	size_t begin;	/* of the response that is being read */
	size_t line;	/* of its line that is being read, behind literals */
	size_t scanned; /* up to here there is no end of that line */
};

void mbj_imap_reader_init(struct mbj_imap_reader *reader);
void mbj_imap_reader_done(struct mbj_imap_reader *reader);
/* What came; any number of bytes, cut anywhere. */
void mbj_imap_reader_feed(struct mbj_imap_reader *reader,
			  struct mbj_bytes bytes);
/*
 * The next whole response, without its last CRLF, borrowed until the next call.
 * Returns: MBJ_ENOTFOUND (more bytes are needed), MBJ_ELIMIT (it is longer than
 * any), MBJ_ECORRUPT (a line that does not end as lines do), MBJ_ENOMEM.
 */
enum mbj_rc mbj_imap_reader_next(struct mbj_imap_reader *reader,
				 struct mbj_bytes *ret_response,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------------------- tokens */

enum mbj_imap_token_kind {
	MBJ_IMAP_END, /* of the response */
	MBJ_IMAP_ATOM,
	MBJ_IMAP_STRING, /* quoted, or a literal */
	MBJ_IMAP_OPEN,
	MBJ_IMAP_CLOSE,
	MBJ_IMAP_BAD, /* no token of any kind: there is no going on */
};

struct mbj_imap_token {
	enum mbj_imap_token_kind kind;
	bool is_quoted;	       /* text has escapes as they came */
	struct mbj_bytes text; /* borrowed */
};

/* *rest loses the token, and spaces in front of it. */
struct mbj_imap_token mbj_imap_token_next(struct mbj_bytes *rest);
/* An atom in any case. */
bool mbj_imap_token_is(const struct mbj_imap_token *token, const char *word);
/* The value of a string, or an atom as it is. */
void mbj_imap_token_put(const struct mbj_imap_token *token,
			struct mbj_buf *buf);

/* ------------------------------------------------------------ responses */

enum mbj_imap_kind {
	MBJ_IMAP_OTHER,
	MBJ_IMAP_TAGGED,
	MBJ_IMAP_CONTINUE,
	MBJ_IMAP_CONDITION, /* untagged OK, NO, BAD or PREAUTH */
	MBJ_IMAP_BYE,
	MBJ_IMAP_CAPABILITY,
	MBJ_IMAP_LIST,
	MBJ_IMAP_LSUB,
	MBJ_IMAP_STATUS,
	MBJ_IMAP_NAMESPACE,
	MBJ_IMAP_EXISTS, /* messages of the mailbox that is selected */
	MBJ_IMAP_FETCH,
};

enum mbj_imap_verdict { MBJ_IMAP_OK, MBJ_IMAP_NO, MBJ_IMAP_REFUSED };

/* X(name, word): what is looked for in CAPABILITY. */
#define MBJ_IMAP_CAPABILITY_MAP(X)    \
	X(NAMESPACE, "NAMESPACE")     \
	X(LIST_STATUS, "LIST-STATUS") \
	X(OBJECTID, "OBJECTID")       \
	X(UIDPLUS, "UIDPLUS")         \
	X(LITERAL_PLUS, "LITERAL+")   \
	X(LITERAL_MINUS, "LITERAL-")

/* X(name, word): what a mailbox of a LIST is. */
#define MBJ_IMAP_LIST_MAP(X)      \
	X(NOSELECT, "\\Noselect") \
	X(NONEXISTENT, "\\NonExistent")

enum mbj_imap_capability {
#define X(name, word) MBJ_IMAP_CAPABILITY_##name,
	MBJ_IMAP_CAPABILITY_MAP(X)
#undef X
};

enum mbj_imap_list {
#define X(name, word) MBJ_IMAP_LIST_##name,
	MBJ_IMAP_LIST_MAP(X)
#undef X
};

struct mbj_imap_response {
	enum mbj_imap_kind kind;
	enum mbj_imap_verdict verdict; /* TAGGED, CONDITION */
	struct mbj_bytes tag;	       /* TAGGED */
	struct mbj_bytes text;	       /* behind OK, NO, BAD, BYE or + */
	uint32_t words;	       /* bits 1 << enum ..._capability or ..._list */
	char delimiter;	       /* LIST, LSUB, NAMESPACE; '\0': NIL */
	struct mbj_bytes name; /* a mailbox, as it is on the wire; NAMESPACE:
				  the prefix of one's own first one */
	bool has_messages;     /* they were told: 0 says that there are none */
	uint32_t messages;     /* STATUS, EXISTS */
	uint32_t uidnext;      /* STATUS, a code of CONDITION; 0: not told */
	uint32_t uidvalidity;  /* likewise, or APPENDUID's */
	struct mbj_bytes object; /* MAILBOXID, empty: not told */
	uint32_t uid;  /* FETCH; TAGGED: APPENDUID's (RFC 4315); 0: not told */
	bool has_size; /* FETCH */
	uint32_t size; /* RFC822.SIZE */
	bool has_body; /* FETCH: a section of it was told, or NIL */
	struct mbj_bytes body;	/* its bytes */
	bool has_append_max;	/* CAPABILITY: APPENDLIMIT=N (RFC 7889) */
	uint32_t append_max;	/* bytes */
	bool has_flags;		/* CONDITION: PERMANENTFLAGS */
	struct mbj_bytes flags; /* atoms, as they came */
	bool has_no_uids;	/* CONDITION: UIDNOTSTICKY */
};

/*
 * name, object and body are borrowed from strings, which is replaced; all else
 * from the bytes.
 * Returns: MBJ_ECORRUPT, with a piece of it, where it is of a kind that is
 * known and not as those are.
 */
enum mbj_rc mbj_imap_response_parse(struct mbj_bytes bytes,
				    struct mbj_buf *strings,
				    struct mbj_imap_response *ret_response,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------------- commands */

/*
 * A quoted string.  Requires: bytes are what mbj_imap_is_quotable says.
 */
void mbj_imap_quote_put(struct mbj_buf *buf, struct mbj_bytes bytes);
/* ASCII without controls: every name in modified UTF-7 is. */
bool mbj_imap_is_quotable(struct mbj_bytes bytes);
/* INBOX in any case. */
bool mbj_imap_is_inbox(struct mbj_bytes name);

#ifdef __cplusplus
}
#endif

#endif
