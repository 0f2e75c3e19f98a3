/*
 * One response of a server; see mbj/imap.h.
 *
 * Threads: pure functions.
 */
#include <string.h>

#include <mbj/imap.h>

enum { PIECE_MAX = 120 };

struct parse {
	struct mbj_bytes whole;
	struct mbj_bytes rest;
	struct mbj_buf *strings;
	struct mbj_imap_response *response;
	size_t name_at, name_n;	    /* in strings, which moves as it grows */
	size_t object_at, object_n; /* likewise */
	size_t body_at, body_n;	    /* likewise */
	struct mbj_error *err;
};

static enum mbj_rc bad(const struct parse *p, const char *what)
{
	char text[4 * PIECE_MAX];
	struct mbj_bytes piece = p->whole;

	if (piece.n > PIECE_MAX)
		piece.n = PIECE_MAX;
	(void)mbj_text_escape(text, sizeof(text), piece);
	return mbj_error_set(p->err, MBJ_ECORRUPT,
			     "what the server says is no %s: %s", what, text);
}

static struct mbj_imap_token next(struct parse *p)
{
	return mbj_imap_token_next(&p->rest);
}

/* Text behind a word, without the space. */
static struct mbj_bytes text_rest(const struct parse *p)
{
	struct mbj_bytes text = p->rest;

	if (text.n > 0 && text.p[0] == ' ') {
		text.p++;
		text.n--;
	}
	return text;
}

static bool verdict_parse(const struct mbj_imap_token *token,
			  enum mbj_imap_verdict *ret_verdict)
{
	if (mbj_imap_token_is(token, "OK"))
		*ret_verdict = MBJ_IMAP_OK;
	else if (mbj_imap_token_is(token, "NO"))
		*ret_verdict = MBJ_IMAP_NO;
	else if (mbj_imap_token_is(token, "BAD"))
		*ret_verdict = MBJ_IMAP_REFUSED;
	else
		return false;
	return true;
}

static bool number_parse(const struct mbj_imap_token *token,
			 uint32_t *ret_number)
{
	uint64_t number = 0;

	if (token->kind != MBJ_IMAP_ATOM || token->text.n == 0)
		return false;
	for (size_t i = 0; i < token->text.n; i++) {
		uint8_t c = token->text.p[i];

		if (c < '0' || c > '9' || number > UINT32_MAX)
			return false;
		number = 10 * number + (uint64_t)(c - '0');
	}
	if (number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

/* A mailbox's name, or a prefix: a string, or an atom. */
static bool name_take(struct parse *p, const struct mbj_imap_token *token)
{
	if (token->kind != MBJ_IMAP_STRING && token->kind != MBJ_IMAP_ATOM)
		return false;
	p->name_at = p->strings->n;
	mbj_imap_token_put(token, p->strings);
	p->name_n = p->strings->n - p->name_at;
	return true;
}

/* NIL, or one character. */
static bool delimiter_take(struct parse *p)
{
	struct mbj_imap_token token = next(p);
	/* A quoted one may be escaped. */
	size_t at =
		token.text.n == 2 && token.is_quoted && token.text.p[0] == '\\'
			? 1
			: 0;

	if (mbj_imap_token_is(&token, "NIL"))
		return true;
	if (token.kind != MBJ_IMAP_STRING || token.text.n != at + 1 ||
	    token.text.p[at] <= ' ' || token.text.p[at] > '~')
		return false;
	p->response->delimiter = (char)token.text.p[at];
	return true;
}

/* A value that nobody asked for: one token, or all between parentheses. */
static bool value_skip(struct parse *p)
{
	size_t depth = 0;

	do {
		struct mbj_imap_token token = next(p);

		if (token.kind == MBJ_IMAP_OPEN)
			depth++;
		else if (token.kind == MBJ_IMAP_CLOSE && depth > 0)
			depth--;
		else if (token.kind != MBJ_IMAP_ATOM &&
			 token.kind != MBJ_IMAP_STRING)
			return false;
	} while (depth > 0);
	return true;
}

/* APPENDLIMIT=N; one without a number says that mailboxes have their own. */
static void append_max_take(struct parse *p, struct mbj_imap_token token)
{
	static const char WORD[] = "APPENDLIMIT=";
	struct mbj_imap_token word = token;

	if (token.text.n < sizeof(WORD))
		return;
	word.text.n = sizeof(WORD) - 1;
	token.text.p += sizeof(WORD) - 1;
	token.text.n -= sizeof(WORD) - 1;
	if (mbj_imap_token_is(&word, WORD))
		p->response->has_append_max =
			number_parse(&token, &p->response->append_max);
}

static enum mbj_rc capability_parse(struct parse *p)
{
	static const char *const WORDS[] = {
#define X(name, word) [MBJ_IMAP_CAPABILITY_##name] = (word),
		MBJ_IMAP_CAPABILITY_MAP(X)
#undef X
	};
	struct mbj_imap_token token;

	p->response->kind = MBJ_IMAP_CAPABILITY;
	while ((token = next(p)).kind == MBJ_IMAP_ATOM) {
		append_max_take(p, token);
		for (size_t i = 0; i < sizeof(WORDS) / sizeof(*WORDS); i++) {
			if (mbj_imap_token_is(&token, WORDS[i]))
				p->response->words |= UINT32_C(1) << i;
		}
	}
	return token.kind == MBJ_IMAP_END ? MBJ_OK : bad(p, "CAPABILITY");
}

static enum mbj_rc list_parse(struct parse *p, enum mbj_imap_kind kind)
{
	static const char *const WORDS[] = {
#define X(name, word) [MBJ_IMAP_LIST_##name] = (word),
		MBJ_IMAP_LIST_MAP(X)
#undef X
	};
	const char *what = kind == MBJ_IMAP_LIST ? "LIST" : "LSUB";
	struct mbj_imap_token token = next(p);

	p->response->kind = kind;
	if (token.kind != MBJ_IMAP_OPEN)
		return bad(p, what);
	while ((token = next(p)).kind == MBJ_IMAP_ATOM) {
		for (size_t i = 0; i < sizeof(WORDS) / sizeof(*WORDS); i++) {
			if (mbj_imap_token_is(&token, WORDS[i]))
				p->response->words |= UINT32_C(1) << i;
		}
	}
	if (token.kind != MBJ_IMAP_CLOSE || !delimiter_take(p))
		return bad(p, what);
	token = next(p);
	/* Behind it there may be what LIST-EXTENDED adds. */
	return name_take(p, &token) ? MBJ_OK : bad(p, what);
}

/* RFC 8474 section 7 */
static bool is_object(const struct mbj_imap_token *token)
{
	if (token->kind != MBJ_IMAP_ATOM ||
	    token->text.n > MBJ_IMAP_OBJECTID_MAX)
		return false;
	for (size_t i = 0; i < token->text.n; i++) {
		uint8_t c = token->text.p[i];

		if ((c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
		    (c < 'a' || c > 'z') && c != '_' && c != '-')
			return false;
	}
	return true;
}

/* MAILBOXID (ID) */
static bool object_take(struct parse *p)
{
	struct mbj_imap_token open = next(p), id, close;

	if (open.kind != MBJ_IMAP_OPEN)
		return false;
	id = next(p);
	close = next(p);
	if (!is_object(&id) || close.kind != MBJ_IMAP_CLOSE)
		return false;
	p->object_at = p->strings->n;
	mbj_imap_token_put(&id, p->strings);
	p->object_n = p->strings->n - p->object_at;
	return true;
}

static bool status_item(struct parse *p, const struct mbj_imap_token *item)
{
	struct mbj_imap_response *response = p->response;
	struct mbj_imap_token value;
	uint32_t *number = NULL;

	if (mbj_imap_token_is(item, "MAILBOXID"))
		return object_take(p);
	if (mbj_imap_token_is(item, "MESSAGES"))
		number = &response->messages;
	else if (mbj_imap_token_is(item, "UIDNEXT"))
		number = &response->uidnext;
	else if (mbj_imap_token_is(item, "UIDVALIDITY"))
		number = &response->uidvalidity;
	if (number == NULL)
		return value_skip(p);
	value = next(p);
	response->has_messages |= number == &response->messages;
	return number_parse(&value, number);
}

static enum mbj_rc status_parse(struct parse *p)
{
	struct mbj_imap_token token = next(p);

	p->response->kind = MBJ_IMAP_STATUS;
	if (!name_take(p, &token) || next(p).kind != MBJ_IMAP_OPEN)
		return bad(p, "STATUS");
	while ((token = next(p)).kind == MBJ_IMAP_ATOM) {
		if (!status_item(p, &token))
			return bad(p, "STATUS");
	}
	return token.kind == MBJ_IMAP_CLOSE ? MBJ_OK : bad(p, "STATUS");
}

/* ((PREFIX DELIMITER ...) ...) or NIL: one's own. */
static enum mbj_rc namespace_parse(struct parse *p)
{
	struct mbj_imap_token token = next(p);

	p->response->kind = MBJ_IMAP_NAMESPACE;
	if (mbj_imap_token_is(&token, "NIL"))
		return MBJ_OK;
	if (token.kind != MBJ_IMAP_OPEN || next(p).kind != MBJ_IMAP_OPEN)
		return bad(p, "NAMESPACE");
	token = next(p);
	if (!name_take(p, &token) || !delimiter_take(p))
		return bad(p, "NAMESPACE");
	return MBJ_OK;
}

/* A number that ends the code, without the bracket. */
static bool number_last(struct mbj_imap_token value, uint32_t *ret_number)
{
	if (value.kind != MBJ_IMAP_ATOM ||
	    value.text.p[value.text.n - 1] != ']')
		return false;
	value.text.n--;
	return number_parse(&value, ret_number);
}

/* (ATOM ...), or NIL of servers that do not tell, nor leave it off. */
static bool flags_take(struct parse *p)
{
	struct mbj_imap_token token = next(p);
	struct mbj_bytes begin = p->rest;
	size_t n = 0;

	if (mbj_imap_token_is(&token, "NIL]"))
		return true;
	if (token.kind != MBJ_IMAP_OPEN)
		return false;
	while ((token = next(p)).kind == MBJ_IMAP_ATOM)
		n = begin.n - p->rest.n;
	p->response->has_flags = token.kind == MBJ_IMAP_CLOSE;
	p->response->flags = mbj_bytes_make(begin.p, n);
	return p->response->has_flags;
}

/* What SELECT says of a mailbox in codes: text for people is behind those. */
static enum mbj_rc code_parse(struct parse *p)
{
	struct mbj_imap_token word = next(p);
	uint32_t *number = NULL;

	if (mbj_imap_token_is(&word, "[MAILBOXID"))
		return object_take(p) ? MBJ_OK : bad(p, "MAILBOXID");
	if (mbj_imap_token_is(&word, "[PERMANENTFLAGS"))
		return flags_take(p) ? MBJ_OK : bad(p, "PERMANENTFLAGS");
	p->response->has_no_uids = mbj_imap_token_is(&word, "[UIDNOTSTICKY]");
	if (mbj_imap_token_is(&word, "[UIDNEXT"))
		number = &p->response->uidnext;
	else if (mbj_imap_token_is(&word, "[UIDVALIDITY"))
		number = &p->response->uidvalidity;
	if (number == NULL)
		return MBJ_OK;
	return number_last(next(p), number) ? MBJ_OK : bad(p, "response code");
}

/*
 * What the end of an APPEND says; whatever is not one UID is not told.
 */
static void appended_parse(struct parse *p)
{
	struct mbj_imap_token word = next(p), validity;
	uint32_t uidvalidity, uid;

	if (!mbj_imap_token_is(&word, "[APPENDUID"))
		return;
	validity = next(p);
	if (!number_parse(&validity, &uidvalidity) ||
	    !number_last(next(p), &uid))
		return;
	p->response->uidvalidity = uidvalidity;
	p->response->uid = uid;
}

/* ------------------------------------------------------------------ FETCH */

/* A string, or NIL: no such bytes. */
static bool body_take(struct parse *p)
{
	struct mbj_imap_token value = next(p);

	p->response->has_body = true;
	if (mbj_imap_token_is(&value, "NIL"))
		return true;
	if (value.kind != MBJ_IMAP_STRING)
		return false;
	p->body_at = p->strings->n;
	mbj_imap_token_put(&value, p->strings);
	p->body_n = p->strings->n - p->body_at;
	return true;
}

static bool fetch_item(struct parse *p, const struct mbj_imap_token *item)
{
	struct mbj_imap_token value, word = *item;
	uint32_t *number = NULL;

	if (word.text.n > 6)
		word.text.n = 6;
	if (mbj_imap_token_is(&word, "BODY[]"))
		return body_take(p);
	if (mbj_imap_token_is(item, "UID"))
		number = &p->response->uid;
	else if (mbj_imap_token_is(item, "RFC822.SIZE"))
		number = &p->response->size;
	if (number == NULL)
		return value_skip(p);
	value = next(p);
	p->response->has_size |= number == &p->response->size;
	return number_parse(&value, number);
}

static enum mbj_rc fetch_parse(struct parse *p)
{
	struct mbj_imap_token token;

	p->response->kind = MBJ_IMAP_FETCH;
	if (next(p).kind != MBJ_IMAP_OPEN)
		return bad(p, "FETCH");
	while ((token = next(p)).kind == MBJ_IMAP_ATOM) {
		if (!fetch_item(p, &token))
			return bad(p, "FETCH");
	}
	return token.kind == MBJ_IMAP_CLOSE ? MBJ_OK : bad(p, "FETCH");
}

static enum mbj_rc untagged_parse(struct parse *p)
{
	struct mbj_imap_token word = next(p), what;
	struct mbj_bytes rest = p->rest;

	what = mbj_imap_token_next(&rest);
	if (mbj_imap_token_is(&what, "EXISTS")) {
		p->response->kind = MBJ_IMAP_EXISTS;
		p->response->has_messages = true;
		return number_parse(&word, &p->response->messages)
			       ? MBJ_OK
			       : bad(p, "EXISTS");
	}
	if (mbj_imap_token_is(&what, "FETCH")) {
		p->rest = rest;
		return fetch_parse(p);
	}
	if (verdict_parse(&word, &p->response->verdict) ||
	    mbj_imap_token_is(&word, "PREAUTH")) {
		p->response->kind = MBJ_IMAP_CONDITION;
		p->response->text = text_rest(p);
		return code_parse(p);
	}
	if (mbj_imap_token_is(&word, "BYE")) {
		p->response->kind = MBJ_IMAP_BYE;
		p->response->text = text_rest(p);
		return MBJ_OK;
	}
	if (mbj_imap_token_is(&word, "CAPABILITY"))
		return capability_parse(p);
	if (mbj_imap_token_is(&word, "LIST"))
		return list_parse(p, MBJ_IMAP_LIST);
	if (mbj_imap_token_is(&word, "LSUB"))
		return list_parse(p, MBJ_IMAP_LSUB);
	if (mbj_imap_token_is(&word, "STATUS"))
		return status_parse(p);
	if (mbj_imap_token_is(&word, "NAMESPACE"))
		return namespace_parse(p);
	return MBJ_OK;
}

static enum mbj_rc line_parse(struct parse *p)
{
	struct mbj_imap_token token = next(p), word;

	if (mbj_imap_token_is(&token, "*"))
		return untagged_parse(p);
	if (mbj_imap_token_is(&token, "+")) {
		p->response->kind = MBJ_IMAP_CONTINUE;
		p->response->text = text_rest(p);
		return MBJ_OK;
	}
	if (token.kind != MBJ_IMAP_ATOM)
		return bad(p, "response");
	word = next(p);
	if (!verdict_parse(&word, &p->response->verdict))
		return bad(p, "response");
	p->response->kind = MBJ_IMAP_TAGGED;
	p->response->tag = token.text;
	p->response->text = text_rest(p);
	appended_parse(p);
	return MBJ_OK;
}

enum mbj_rc mbj_imap_response_parse(struct mbj_bytes bytes,
				    struct mbj_buf *strings,
				    struct mbj_imap_response *ret_response,
				    struct mbj_error *err)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	struct parse p = {.whole = bytes,
			  .rest = bytes,
			  .strings = strings,
			  .response = &response,
			  .err = err};
	enum mbj_rc rc;

	mbj_buf_clear(strings);
	rc = line_parse(&p);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(strings, err);
	if (rc < 0)
		return rc;
	if (p.name_n > 0)
		response.name =
			mbj_bytes_make(strings->p + p.name_at, p.name_n);
	if (p.object_n > 0)
		response.object =
			mbj_bytes_make(strings->p + p.object_at, p.object_n);
	if (p.body_n > 0)
		response.body =
			mbj_bytes_make(strings->p + p.body_at, p.body_n);
	*ret_response = response;
	return MBJ_OK;
}
