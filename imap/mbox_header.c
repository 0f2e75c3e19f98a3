/*
 * Status, X-Status and X-Keywords, as mail programs leave them in an mbox, and
 * Date.  Lines that are folded are read as far as their first one goes.
 *
 * Threads: one at a time.
 */
#include "mbox_header.h"

enum { KEYWORDS_ROOM = 2 * MBJ_KEYWORDS_MAX };

void mbox_header_init(struct mbox_header *header)
{
	memset(header, 0, sizeof(*header));
	mbj_buf_init(&header->keywords[0], KEYWORDS_ROOM);
	mbj_buf_init(&header->keywords[1], KEYWORDS_ROOM);
}

void mbox_header_done(struct mbox_header *header)
{
	mbj_buf_done(&header->keywords[0]);
	mbj_buf_done(&header->keywords[1]);
}

void mbox_header_clear(struct mbox_header *header)
{
	memset(&header->message, 0, sizeof(header->message));
	mbj_buf_clear(&header->keywords[0]);
	header->has_date = false;
}

/* The value of a field of this name, in any case; false: another field. */
static bool field_value(struct mbj_bytes line, const char *name,
			struct mbj_bytes *ret_value)
{
	size_t n = strlen(name);

	if (line.n < n + 1 || line.p[n] != ':')
		return false;
	for (size_t i = 0; i < n; i++)
		/* Names are of letters and '-': one bit is their case. */
		if ((line.p[i] | 0x20) != (name[i] | 0x20))
			return false;
	*ret_value = mbj_bytes_make(line.p + n + 1, line.n - n - 1);
	return true;
}

static void status_take(struct mbox_header *header, struct mbj_bytes value)
{
	static const struct {
		char letter;
		uint8_t flag;
	} statuses[] = {
		{'R', MBJ_FLAG_SEEN},	 {'A', MBJ_FLAG_ANSWERED},
		{'F', MBJ_FLAG_FLAGGED}, {'D', MBJ_FLAG_DELETED},
		{'T', MBJ_FLAG_DRAFT},
	};

	for (size_t i = 0; i < value.n; i++)
		for (size_t k = 0; k < sizeof(statuses) / sizeof(*statuses);
		     k++)
			if (value.p[i] == (uint8_t)statuses[k].letter)
				header->message.flags |= statuses[k].flag;
}

/* One more keyword, if it is one and there is room. */
static void keyword_take(struct mbox_header *header, struct mbj_bytes word)
{
	struct mbj_buf *now = &header->keywords[0];
	struct mbj_buf *next = &header->keywords[1];
	uint8_t one[MBJ_KEYWORD_MAX + 1];
	struct mbj_buf swap;

	if (!mbj_keyword_is_good(word)) {
		header->message.keywords_bad++;
		return;
	}
	memcpy(one, word.p, word.n);
	one[word.n] = '\0';
	mbj_buf_clear(next);
	mbj_keywords_change(mbj_buf_view(now), mbj_bytes_make(one, word.n + 1),
			    MBJ_FLAGS_ADD, next);
	if (next->failed != MBJ_OK || next->n > MBJ_KEYWORDS_MAX) {
		header->message.keywords_bad++;
		return;
	}
	swap = *now;
	*now = *next;
	*next = swap;
}

static void keywords_take(struct mbox_header *header, struct mbj_bytes value)
{
	for (size_t at = 0; at < value.n;) {
		size_t n = at;

		while (n < value.n && value.p[n] != ' ' && value.p[n] != '\t')
			n++;
		if (n > at)
			keyword_take(header,
				     mbj_bytes_make(value.p + at, n - at));
		at = n + 1;
	}
}

/*
 * What may be half a word is none; how many more there were is not known, so
 * it counts as one.
 */
static void keywords_cut(struct mbox_header *header, struct mbj_bytes value)
{
	while (value.n > 0 && value.p[value.n - 1] != ' ' &&
	       value.p[value.n - 1] != '\t')
		value.n--;
	keywords_take(header, value);
	header->message.keywords_bad++;
}

void mbox_header_line(struct mbox_header *header, struct mbj_bytes line,
		      bool is_cut)
{
	struct mbj_bytes value;

	if (field_value(line, "status", &value) ||
	    field_value(line, "x-status", &value))
		status_take(header, value);
	else if (field_value(line, "x-keywords", &value) && is_cut)
		keywords_cut(header, value);
	else if (field_value(line, "x-keywords", &value))
		keywords_take(header, value);
	else if (!header->has_date && field_value(line, "date", &value))
		header->has_date = mbj_mail_date_parse(value, &header->date);
}

void mbox_header_end(struct mbox_header *header)
{
	header->message.keywords = mbj_buf_view(&header->keywords[0]);
	if (header->message.has_time || !header->has_date)
		return;
	header->message.has_time = true;
	header->message.time = header->date;
}
