/*
 * Tokens of responses, and quoted strings of commands.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/imap.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static bool is_equal_anycase(struct mbj_bytes bytes, const char *word)
{
	size_t n = strlen(word);

	if (bytes.n != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (lower(bytes.p[i]) != lower((uint8_t)word[i]))
			return false;
	}
	return true;
}

/* Eight bits are in no atom of RFC 3501, and in keywords and names of some. */
static bool is_atom_char(uint8_t c)
{
	return c > ' ' && c != 0x7f && c != '(' && c != ')' && c != '{' &&
	       c != '"';
}

static struct mbj_bytes take(struct mbj_bytes *rest, size_t n)
{
	struct mbj_bytes taken = mbj_bytes_make(rest->p, n);

	rest->p += n;
	rest->n -= n;
	return taken;
}

static struct mbj_imap_token quoted(struct mbj_bytes *rest)
{
	struct mbj_imap_token token = {MBJ_IMAP_BAD, true, {NULL, 0}};
	size_t n = 1;

	while (n < rest->n && rest->p[n] != '"') {
		if (rest->p[n] == '\r' || rest->p[n] == '\n' ||
		    rest->p[n] == '\0')
			return token;
		n += rest->p[n] == '\\' ? 2 : 1;
	}
	if (n >= rest->n)
		return token;
	token.kind = MBJ_IMAP_STRING;
	token.text = mbj_bytes_make(rest->p + 1, n - 1);
	(void)take(rest, n + 1);
	return token;
}

static struct mbj_imap_token literal(struct mbj_bytes *rest)
{
	struct mbj_imap_token token = {MBJ_IMAP_BAD, false, {NULL, 0}};
	size_t n = 1, size = 0;

	for (; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++) {
		size = 10 * size + (size_t)(rest->p[n] - '0');
		if (size > MBJ_IMAP_RESPONSE_MAX)
			return token;
	}
	if (n == 1 || rest->n - n < 3 || memcmp(rest->p + n, "}\r\n", 3) != 0 ||
	    rest->n - n - 3 < size)
		return token;
	(void)take(rest, n + 3);
	token.kind = MBJ_IMAP_STRING;
	token.text = take(rest, size);
	return token;
}

struct mbj_imap_token mbj_imap_token_next(struct mbj_bytes *rest)
{
	struct mbj_imap_token token = {MBJ_IMAP_END, false, {NULL, 0}};
	size_t n = 0;

	while (rest->n > 0 && rest->p[0] == ' ')
		(void)take(rest, 1);
	if (rest->n == 0)
		return token;
	switch (rest->p[0]) {
	case '(':
	case ')':
		token.kind = rest->p[0] == '(' ? MBJ_IMAP_OPEN : MBJ_IMAP_CLOSE;
		token.text = take(rest, 1);
		return token;
	case '"':
		return quoted(rest);
	case '{':
		return literal(rest);
	default:
		while (n < rest->n && is_atom_char(rest->p[n]))
			n++;
		token.kind = n > 0 ? MBJ_IMAP_ATOM : MBJ_IMAP_BAD;
		token.text = take(rest, n);
		return token;
	}
}

bool mbj_imap_token_is(const struct mbj_imap_token *token, const char *word)
{
	return token->kind == MBJ_IMAP_ATOM &&
	       is_equal_anycase(token->text, word);
}

void mbj_imap_token_put(const struct mbj_imap_token *token, struct mbj_buf *buf)
{
	if (!token->is_quoted) {
		mbj_buf_put_bytes(buf, token->text);
		return;
	}
	for (size_t i = 0; i < token->text.n; i++) {
		/* A quoted string never ends with half an escape. */
		if (token->text.p[i] == '\\')
			i++;
		MBJ_ASSERT(i < token->text.n);
		mbj_buf_put_u8(buf, token->text.p[i]);
	}
}

bool mbj_imap_is_quotable(struct mbj_bytes bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		if (bytes.p[i] < ' ' || bytes.p[i] > '~')
			return false;
	}
	return true;
}

void mbj_imap_quote_put(struct mbj_buf *buf, struct mbj_bytes bytes)
{
	MBJ_ASSERT(mbj_imap_is_quotable(bytes));
	mbj_buf_put_str(buf, "\"");
	for (size_t i = 0; i < bytes.n; i++) {
		if (bytes.p[i] == '"' || bytes.p[i] == '\\')
			mbj_buf_put_str(buf, "\\");
		mbj_buf_put_u8(buf, bytes.p[i]);
	}
	mbj_buf_put_str(buf, "\"");
}

bool mbj_imap_is_inbox(struct mbj_bytes name)
{
	return is_equal_anycase(name, "INBOX");
}
