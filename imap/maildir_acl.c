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

/* A letter of IMAP's, and how it is called where names are written. */
static const struct {
	char letter;
	const char *word;
} acl_rights[] = {
	{'l', "lookup"}, {'r', "read"},		 {'s', "write-seen"},
	{'w', "write"},	 {'t', "write-deleted"}, {'i', "insert"},
	{'p', "post"},	 {'e', "expunge"},	 {'k', "create"},
	{'x', "delete"}, {'a', "admin"},
};

enum { RIGHT_COUNT = sizeof(acl_rights) / sizeof(acl_rights[0]) };

#define RIGHTS_ALL ((1U << RIGHT_COUNT) - 1)

_Static_assert(sizeof(((struct mbj_maildir_acl *)0)->rights) == RIGHT_COUNT + 1,
	       "each right once");

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

/* The right's bit, 0 where it is no letter. */
static unsigned letter_bit(uint8_t c)
{
	for (unsigned i = 0; i < RIGHT_COUNT; i++)
		if (c == (uint8_t)acl_rights[i].letter)
			return 1U << i;
	return 0;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
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

static struct mbj_bytes blanks_skip(struct mbj_bytes text)
{
	while (text.n > 0 && is_blank(text.p[0]))
		text = mbj_bytes_make(text.p + 1, text.n - 1);
	return text;
}

/* Names behind a ':', with commas or blanks between them. */
static unsigned words_read(struct mbj_bytes text, bool *ret_is_cut)
{
	unsigned rights = 0;

	for (size_t at = 0, end; at < text.n; at = end + 1) {
		struct mbj_bytes word;
		unsigned i = 0;

		for (end = at; end < text.n && text.p[end] != ',' &&
			       !is_blank(text.p[end]);)
			end++;
		word = mbj_bytes_make(text.p + at, end - at);
		while (i < RIGHT_COUNT &&
		       !mbj_bytes_equal(word,
					mbj_bytes_str(acl_rights[i].word)))
			i++;
		if (i < RIGHT_COUNT)
			rights |= 1U << i;
		else if (word.n > 0)
			*ret_is_cut = true;
	}
	return rights;
}

/* NULL, or what is wrong with them. */
static const char *rights_read(struct mbj_bytes text, unsigned *ret_rights,
			       bool *ret_is_cut)
{
	unsigned rights = 0;
	size_t n = 0;

	*ret_is_cut = false;
	text = blanks_skip(text);
	for (; n < text.n && text.p[n] != ':' && !is_blank(text.p[n]); n++) {
		unsigned bit = letter_bit(text.p[n]);

		if (bit == 0)
			return "has rights that are not letters of IMAP's";
		rights |= bit;
	}
	text = blanks_skip(mbj_bytes_make(text.p + n, text.n - n));
	if (text.n > 0 && text.p[0] != ':')
		return "has rights that are not letters of IMAP's";
	if (text.n > 0)
		rights |= words_read(mbj_bytes_make(text.p + 1, text.n - 1),
				     ret_is_cut);
	*ret_rights = rights;
	return NULL;
}

static void rights_print(unsigned rights, char ret_text[RIGHT_COUNT + 1])
{
	size_t n = 0;

	for (unsigned i = 0; i < RIGHT_COUNT; i++)
		if (rights & 1U << i)
			ret_text[n++] = acl_rights[i].letter;
	ret_text[n] = '\0';
}

/* Without rights it takes the place of what less specific lines give. */
static unsigned nothing_turn(struct mbj_buf *name)
{
	struct mbj_bytes text = mbj_buf_view(name);

	/* Nothing is less specific than anyone. */
	if (begins(text, "-") || mbj_bytes_equal(text, mbj_bytes_str("anyone")))
		return 0;
	mbj_buf_put_u8(name, '-');
	if (name->failed == MBJ_OK) {
		memmove(name->p + 1, name->p, name->n - 1);
		name->p[0] = '-';
	}
	return RIGHTS_ALL;
}

enum mbj_rc mbj_maildir_acl_next(struct mbj_bytes *rest,
				 struct mbj_maildir_acl *ret_line,
				 struct mbj_error *err)
{
	char shown[MBJ_ERROR_SUBJECT_MAX];
	struct mbj_bytes line, whole;
	unsigned rights = 0;
	struct mbj_buf text;
	const char *why;
	enum mbj_rc rc;

	do
		if (!maildir_line_next(rest, &line))
			return MBJ_ENOTFOUND;
	while (line.n == 0 || line.p[0] == '#');
	whole = line;
	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	why = identifier_cut(&line, &text)
		      ? identifier_read(mbj_buf_view(&text), &ret_line->name)
		      : "has a quote without an end";
	if (why == NULL)
		why = rights_read(line, &rights, &ret_line->is_cut);
	if (why == NULL && rights == 0)
		rights = nothing_turn(&ret_line->name);
	rights_print(rights, ret_line->rights);
	rc = mbj_buf_ok(&text, err);
	mbj_buf_done(&text);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&ret_line->name, err);
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

/* What was put from begin on is read as that name. */
static bool is_read_back(const struct mbj_buf *buf, size_t begin,
			 struct mbj_bytes name)
{
	struct mbj_bytes rest = mbj_buf_view(buf);
	struct mbj_maildir_acl line;
	bool is_same;

	rest = mbj_bytes_make(rest.p + begin, rest.n - begin);
	mbj_buf_init(&line.name, buf->max);
	is_same = mbj_maildir_acl_next(&rest, &line, NULL) == MBJ_OK &&
		  rest.n == 0 &&
		  mbj_bytes_equal(mbj_buf_view(&line.name), name);
	mbj_buf_done(&line.name);
	return is_same;
}

bool mbj_maildir_acl_put(struct mbj_buf *buf, struct mbj_bytes name,
			 struct mbj_bytes rights, bool *ret_is_lost)
{
	size_t begin = buf->n;
	size_t count = 0;

	*ret_is_lost = false;
	for (size_t i = 0; i < rights.n; i++)
		count += letter_bit(rights.p[i]) != 0;
	if (count == 0)
		return false;
	if (name.n > 0)
		identifier_put(buf, name);
	mbj_buf_put_u8(buf, ' ');
	for (size_t i = 0; i < rights.n; i++)
		if (letter_bit(rights.p[i]) != 0)
			mbj_buf_put_u8(buf, rights.p[i]);
	mbj_buf_put_str(buf, "\n");
	if (buf->failed != MBJ_OK)
		return false;
	for (size_t i = 0; i < name.n; i++)
		*ret_is_lost |= name.p[i] < 0x20 || name.p[i] == 0x7f;
	*ret_is_lost |= !is_read_back(buf, begin, name);
	if (*ret_is_lost)
		buf->n = begin;
	return !*ret_is_lost && count == rights.n;
}
