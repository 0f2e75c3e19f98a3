/*
 * What Dovecot keeps in text beside the messages: dovecot-uidlist,
 * dovecot-keywords, subscriptions.  Lines end with LF; the last one may not.
 *
 * Invariants:
 *   1. UIDs that are handed out rise, and none is 0 or has no UIDNEXT above;
 *   2. a bad line costs itself, never the list.
 *
 * Threads: pure functions.
 */
#include <inttypes.h>

#include <mbj/maildir.h>

#include "maildir_path.h"
#include "maildir_text.h"

#define SUBSCRIPTIONS_HEAD "V\t2\n\n"

bool maildir_line_next(struct mbj_bytes *rest, struct mbj_bytes *ret_line)
{
	const uint8_t *end;

	if (rest->n == 0)
		return false;
	end = memchr(rest->p, '\n', rest->n);
	ret_line->p = rest->p;
	ret_line->n = end != NULL ? (size_t)(end - rest->p) : rest->n;
	rest->p += ret_line->n + (end != NULL);
	rest->n -= ret_line->n + (end != NULL);
	return true;
}

/* Cut a word off at a space; empty where there is none. */
static struct mbj_bytes word_next(struct mbj_bytes *line)
{
	const uint8_t *end = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
	struct mbj_bytes word = *line;

	if (end != NULL)
		word.n = (size_t)(end - line->p);
	line->p += word.n + (end != NULL);
	line->n -= word.n + (end != NULL);
	return word;
}

/* Digits and nothing else, at most UINT32_MAX. */
static bool number_parse(struct mbj_bytes text, uint32_t *ret_number)
{
	uint64_t number = 0;

	if (text.n == 0 || text.n > 10)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		number = number * 10 + (text.p[i] - '0');
	}
	if (number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

/* --------------------------------------------------------- dovecot-uidlist */

/* One word of a head of version 3: a letter and its value. */
static void head_word(struct mbj_bytes word, struct mbj_uidlist *list)
{
	struct mbj_bytes value = {word.p + 1, word.n - 1};

	if (word.p[0] == 'V')
		(void)number_parse(value, &list->uidvalidity);
	else if (word.p[0] == 'N')
		(void)number_parse(value, &list->uidnext);
	else if (word.p[0] == 'G')
		list->has_id = mbj_id_parse(value, &list->id) &&
			       !mbj_id_is_reserved(list->id);
}

enum mbj_rc mbj_uidlist_begin(struct mbj_bytes text,
			      struct mbj_uidlist *ret_list,
			      struct mbj_error *err)
{
	struct mbj_uidlist list = {.rest = text};
	struct mbj_bytes line, word;

	if (!maildir_line_next(&list.rest, &line))
		return mbj_error_set(err, MBJ_EINVALID, "it is empty");
	if (!number_parse(word_next(&line), &list.version))
		return mbj_error_set(err, MBJ_EINVALID,
				     "it does not begin with a version");
	if (list.version == 1) {
		(void)number_parse(word_next(&line), &list.uidvalidity);
		(void)number_parse(word_next(&line), &list.uidnext);
	} else if (list.version == 3) {
		while (line.n > 0) {
			word = word_next(&line);
			if (word.n > 0)
				head_word(word, &list);
		}
	} else {
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "it is of version %" PRIu32
				     ", not of 1 or 3",
				     list.version);
	}
	if (list.uidvalidity == 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "it has no UIDVALIDITY");
	if (list.uidnext == 0)
		list.uidnext = 1;
	*ret_list = list;
	return MBJ_OK;
}

/*
 * What is behind the UID: version 3 has fields before a ':', each a letter and
 * its value.
 */
static bool line_rest(const struct mbj_uidlist *list, struct mbj_bytes line,
		      struct mbj_uidlist_line *ret_line)
{
	while (list->version == 3 && line.n > 0 && line.p[0] != ':') {
		struct mbj_bytes word = word_next(&line);
		struct mbj_bytes value = {word.p + 1, word.n - 1};

		/* As Dovecot, which takes the first. */
		if (word.n > 1 && word.p[0] == 'G' && ret_line->guid.n == 0)
			ret_line->guid = value;
	}
	if (list->version == 3 && line.n > 0) {
		line.p++;
		line.n--;
	}
	ret_line->name = line;
	return line.n > 0;
}

bool mbj_uidlist_next(struct mbj_uidlist *list,
		      struct mbj_uidlist_line *ret_line)
{
	struct mbj_bytes line;

	while (maildir_line_next(&list->rest, &line)) {
		struct mbj_uidlist_line found = {.uid = 0};

		if (!number_parse(word_next(&line), &found.uid) ||
		    found.uid <= list->last || found.uid == MBJ_UIDNEXT_MAX ||
		    !line_rest(list, line, &found)) {
			list->bad_count++;
			continue;
		}
		list->last = found.uid;
		if (list->uidnext <= found.uid)
			list->uidnext = found.uid + 1;
		*ret_line = found;
		return true;
	}
	return false;
}

void mbj_uidlist_put_head(struct mbj_buf *buf, uint32_t uidvalidity,
			  uint32_t uidnext, struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	mbj_buf_format(buf, "3 V%" PRIu32 " N%" PRIu32 " G%s\n", uidvalidity,
		       uidnext, text);
}

void mbj_uidlist_put(struct mbj_buf *buf, const struct mbj_uidlist_line *line)
{
	mbj_buf_format(buf, "%" PRIu32 " ", line->uid);
	if (line->guid.n > 0) {
		mbj_buf_put_str(buf, "G");
		mbj_buf_put_bytes(buf, line->guid);
		mbj_buf_put_str(buf, " ");
	}
	mbj_buf_put_str(buf, ":");
	mbj_buf_put_bytes(buf, line->name);
	mbj_buf_put_str(buf, "\n");
}

/* -------------------------------------------------------- dovecot-keywords */

void mbj_maildir_keywords_parse(struct mbj_bytes text,
				struct mbj_bytes ret_words[MBJ_MAILDIR_LETTERS])
{
	struct mbj_bytes line;
	uint32_t letter;

	memset(ret_words, 0, MBJ_MAILDIR_LETTERS * sizeof(*ret_words));
	while (maildir_line_next(&text, &line))
		if (number_parse(word_next(&line), &letter) &&
		    letter < MBJ_MAILDIR_LETTERS && mbj_keyword_is_good(line))
			ret_words[letter] = line;
}

void mbj_maildir_keywords_put(struct mbj_buf *buf, unsigned letter,
			      struct mbj_bytes word)
{
	mbj_buf_format(buf, "%u ", letter);
	mbj_buf_put_bytes(buf, word);
	mbj_buf_put_str(buf, "\n");
}

/* ----------------------------------------------------------- subscriptions */

void mbj_maildir_subscriptions_begin(struct mbj_bytes text,
				     struct mbj_maildir_subscriptions *ret_list)
{
	size_t n = strlen(SUBSCRIPTIONS_HEAD);

	*ret_list = (struct mbj_maildir_subscriptions){.rest = text};
	if (text.n < n || memcmp(text.p, SUBSCRIPTIONS_HEAD, n) != 0)
		return;
	ret_list->is_tabbed = true;
	ret_list->rest = mbj_bytes_make(text.p + n, text.n - n);
}

enum mbj_rc
mbj_maildir_subscriptions_next(struct mbj_maildir_subscriptions *list,
			       struct mbj_utf7 *utf7, struct mbj_buf *ret_path,
			       struct mbj_error *err)
{
	struct mbj_bytes line;

	do
		if (!maildir_line_next(&list->rest, &line))
			return MBJ_ENOTFOUND;
	while (line.n == 0);
	return maildir_path_split(utf7, line, list->is_tabbed ? '\t' : '.',
				  ret_path, err);
}

void mbj_maildir_subscriptions_put_head(struct mbj_buf *buf)
{
	mbj_buf_put_str(buf, SUBSCRIPTIONS_HEAD);
}

enum mbj_rc mbj_maildir_subscriptions_put(struct mbj_buf *buf,
					  struct mbj_utf7 *utf7,
					  struct mbj_bytes path,
					  struct mbj_error *err)
{
	size_t before = buf->n;
	enum mbj_rc rc = maildir_path_join(utf7, path, '\t', buf, err);

	if (rc < 0 && buf->failed == MBJ_OK)
		buf->n = before;
	else
		mbj_buf_put_str(buf, "\n");
	return rc;
}
