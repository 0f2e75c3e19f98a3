/*
 * dovecot-acl: "IDENTIFIER RIGHTS" a line, the identifier in quotes where it
 * has a space.  What the file calls user=, group= and group-override= IMAP has
 * as names with or without a '$'.
 *
 * Invariant: what is written is read back as it was.
 *
 * Threads: pure functions.
 */
#include <string.h>

#include <mbj/maildir.h>

#include "maildir_text.h"

static const char acl_letters[] = "lrswtipekxa";

/* What names of the file and of IMAP begin with, the longest first. */
static const struct {
	const char *file;
	const char *imap;
} acl_kinds[] = {
	{"group-override=", "!$"},
	{"group=", "$"},
	{"user=", ""},
};

/* Names that are no user's. */
static const char *const acl_words[] = {"anyone", "authenticated", "owner"};

static bool begins(struct mbj_bytes text, const char *word)
{
	size_t n = strlen(word);

	return text.n >= n && memcmp(text.p, word, n) == 0;
}

static bool is_letter(uint8_t c)
{
	return c != '\0' && strchr(acl_letters, c) != NULL;
}

static bool is_word(struct mbj_bytes text)
{
	for (size_t i = 0; i < sizeof(acl_words) / sizeof(acl_words[0]); i++)
		if (mbj_bytes_equal(text, mbj_bytes_str(acl_words[i])))
			return true;
	return false;
}

/* A user whose name IMAP would take for something else. */
static bool is_misread(struct mbj_bytes user)
{
	return user.n == 0 || is_word(user) || begins(user, "$") ||
	       begins(user, "!$") || begins(user, "-") || begins(user, "#");
}

/* Cut the identifier off, without its quotes.  False: they have no end. */
static bool identifier_cut(struct mbj_bytes *line, struct mbj_buf *ret_text)
{
	size_t at = 0;

	mbj_buf_clear(ret_text);
	if (!begins(*line, "\"")) {
		const uint8_t *end = memchr(line->p, ' ', line->n);

		at = end != NULL ? (size_t)(end - line->p) : line->n;
		mbj_buf_put_bytes(ret_text, mbj_bytes_make(line->p, at));
	} else {
		for (at = 1; at < line->n && line->p[at] != '"'; at++) {
			if (line->p[at] == '\\' && ++at == line->n)
				return false;
			mbj_buf_put_u8(ret_text, line->p[at]);
		}
		if (at == line->n)
			return false;
		at++;
		if (at < line->n && line->p[at] != ' ')
			return false;
	}
	*line = mbj_bytes_make(line->p + at, line->n - at);
	return true;
}

/* As IMAP has it; NULL, or why it does not. */
static const char *identifier_read(struct mbj_bytes text,
				   struct mbj_buf *ret_name)
{
	mbj_buf_clear(ret_name);
	if (begins(text, "-")) {
		mbj_buf_put_u8(ret_name, '-');
		text = mbj_bytes_make(text.p + 1, text.n - 1);
	}
	if (mbj_bytes_equal(text, mbj_bytes_str("anonymous")))
		text = mbj_bytes_str("anyone");
	if (is_word(text)) {
		mbj_buf_put_bytes(ret_name, text);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(acl_kinds) / sizeof(acl_kinds[0]); i++) {
		size_t n = strlen(acl_kinds[i].file);
		struct mbj_bytes name;

		if (!begins(text, acl_kinds[i].file))
			continue;
		name = mbj_bytes_make(text.p + n, text.n - n);
		if (acl_kinds[i].imap[0] == '\0' && is_misread(name))
			return "is a user that IMAP takes for something else";
		mbj_buf_put_str(ret_name, acl_kinds[i].imap);
		mbj_buf_put_bytes(ret_name, name);
		return NULL;
	}
	return "is nobody that is known";
}

/* NULL, or what is wrong with them. */
static const char *rights_read(struct mbj_bytes text,
			       struct mbj_bytes *ret_rights)
{
	size_t n = 0;

	while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
		text = mbj_bytes_make(text.p + 1, text.n - 1);
	while (n < text.n && is_letter(text.p[n]))
		n++;
	*ret_rights = mbj_bytes_make(text.p, n);
	while (n < text.n && (text.p[n] == ' ' || text.p[n] == '\t'))
		n++;
	if (n < text.n)
		return "has rights that are not letters of IMAP's";
	return ret_rights->n == 0 ? "has no rights, which is no entry" : NULL;
}

enum mbj_rc mbj_maildir_acl_next(struct mbj_bytes *rest,
				 struct mbj_buf *ret_name,
				 struct mbj_bytes *ret_rights,
				 struct mbj_error *err)
{
	char shown[MBJ_ERROR_SUBJECT_MAX];
	struct mbj_buf text;
	struct mbj_bytes line, whole;
	const char *why;
	enum mbj_rc rc;

	do
		if (!maildir_line_next(rest, &line))
			return MBJ_ENOTFOUND;
	while (line.n == 0 || line.p[0] == '#');
	whole = line;
	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	why = identifier_cut(&line, &text)
		      ? identifier_read(mbj_buf_view(&text), ret_name)
		      : "has a quote without an end";
	if (why == NULL)
		why = rights_read(line, ret_rights);
	rc = mbj_buf_ok(&text, err);
	mbj_buf_done(&text);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(ret_name, err);
	if (rc < 0 || why == NULL)
		return rc;
	(void)mbj_text_escape(shown, sizeof(shown), whole);
	return mbj_error_set(err, MBJ_EINVALID, "\"%s\" %s", shown, why);
}

static void identifier_put(struct mbj_buf *buf, struct mbj_bytes name)
{
	bool is_quoted = name.n > 0 && memchr(name.p, ' ', name.n) != NULL;
	bool is_taken = begins(name, "-");
	size_t kind = 0;

	if (is_quoted)
		mbj_buf_put_u8(buf, '"');
	if (is_taken) {
		mbj_buf_put_u8(buf, '-');
		name = mbj_bytes_make(name.p + 1, name.n - 1);
	}
	/* The last kind has no mark in IMAP: it is what is left. */
	while (!begins(name, acl_kinds[kind].imap))
		kind++;
	if (!is_word(name)) {
		size_t n = strlen(acl_kinds[kind].imap);

		mbj_buf_put_str(buf, acl_kinds[kind].file);
		name = mbj_bytes_make(name.p + n, name.n - n);
	}
	for (size_t i = 0; i < name.n; i++) {
		if (is_quoted && strchr("\"\\'", name.p[i]) != NULL)
			mbj_buf_put_u8(buf, '\\');
		mbj_buf_put_u8(buf, name.p[i]);
	}
	if (is_quoted)
		mbj_buf_put_u8(buf, '"');
}

bool mbj_maildir_acl_put(struct mbj_buf *buf, struct mbj_bytes name,
			 struct mbj_bytes rights)
{
	size_t count = 0;

	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < 0x20 || name.p[i] == 0x7f)
			return false;
	for (size_t i = 0; i < rights.n; i++)
		count += is_letter(rights.p[i]);
	if (count == 0 || name.n == 0)
		return false;
	identifier_put(buf, name);
	mbj_buf_put_u8(buf, ' ');
	for (size_t i = 0; i < rights.n; i++)
		if (is_letter(rights.p[i]))
			mbj_buf_put_u8(buf, rights.p[i]);
	mbj_buf_put_str(buf, "\n");
	return count == rights.n;
}
