/*
 * The parser: line by line, of which the first MBJ_MBOX_LINE_MAX bytes, its
 * head, say what it is; the rest passes through.
 *
 * A head that is whole in what was fed is looked at where it lies; one that is
 * cut by the end of it is gathered.  An empty line is held back until it is
 * known what follows.
 *
 * Invariants:
 *   1. every byte is handed out once, or belongs to the envelope: a separator,
 *      the empty line before one or at the end, a '>' that quoted "From ";
 *   2. no event but the cutting of bodies depends on how the bytes were fed.
 *
 * Threads: one at a time.
 */
#include <mbj/check.h>

#include "mbox_header.h"

struct mbj_mbox {
	struct mbj_bytes input;		 /* what was fed and is not used up */
	uint64_t offset;		 /* of input.p in the file */
	uint8_t line[MBJ_MBOX_LINE_MAX]; /* a head that is gathered */
	size_t line_n;
	struct mbj_bytes due[2]; /* bodies to be handed out next */
	size_t due_count;
	const char *blank; /* the empty line that is held back, or NULL */
	struct mbox_header header;
	struct mbj_mbox_message next; /* what its separator says of the next */
	bool is_begin_due;
	bool is_mboxo;
	bool is_final;	/* nothing more will be fed */
	bool is_open;	/* a message is on its way */
	bool is_header; /* its header is not over */
	bool is_middle; /* what comes is the rest of a long line */
	bool is_none;	/* no mbox at all */
};

enum mbj_rc mbj_mbox_new(bool is_mboxo, struct mbj_mbox **ret_mbox,
			 struct mbj_error *err)
{
	struct mbj_mbox *mbox = mbj_calloc(1, sizeof(*mbox));

	if (mbox == NULL)
		return mbj_error_nomem(err);
	mbox->is_mboxo = is_mboxo;
	mbox_header_init(&mbox->header);
	*ret_mbox = mbox;
	return MBJ_OK;
}

void mbj_mbox_free(struct mbj_mbox **mbox)
{
	if (*mbox == NULL)
		return;
	mbox_header_done(&(*mbox)->header);
	mbj_free(*mbox);
	*mbox = NULL;
}

void mbj_mbox_feed(struct mbj_mbox *mbox, struct mbj_bytes bytes)
{
	MBJ_ASSERT(mbox->input.n == 0 && mbox->due_count == 0);
	MBJ_ASSERT(!mbox->is_final);
	mbox->input = bytes;
	mbox->is_final = bytes.n == 0;
}

const struct mbj_mbox_message *mbj_mbox_message(const struct mbj_mbox *mbox)
{
	return &mbox->header.message;
}

/* ------------------------------------------------------------------ lines */

static struct mbj_bytes input_take(struct mbj_mbox *mbox, size_t n)
{
	struct mbj_bytes taken = {mbox->input.p, n};

	MBJ_ASSERT(n <= mbox->input.n);
	if (n > 0)
		mbox->input.p += n;
	mbox->input.n -= n;
	mbox->offset += n;
	return taken;
}

/* Bytes of input up to the end of its line, its LF included. */
static size_t input_line(const struct mbj_mbox *mbox, bool *ret_is_ended)
{
	const uint8_t *end =
		mbox->input.n > 0 ? memchr(mbox->input.p, '\n', mbox->input.n)
				  : NULL;

	*ret_is_ended = end != NULL;
	return end != NULL ? (size_t)(end - mbox->input.p) + 1 : mbox->input.n;
}

/*
 * The next head, with its LF where it has one.  False: more has to be fed, or
 * where that is over, it is the end.
 */
static bool head_take(struct mbj_mbox *mbox, struct mbj_bytes *ret_head)
{
	bool is_ended;
	size_t n = input_line(mbox, &is_ended);
	size_t room = MBJ_MBOX_LINE_MAX - mbox->line_n;

	if (n >= room) {
		is_ended = is_ended && n == room;
		mbox->is_middle = !is_ended;
		n = room;
	} else if (!is_ended && !mbox->is_final) {
		struct mbj_bytes part = input_take(mbox, n);

		if (part.n > 0)
			memcpy(mbox->line + mbox->line_n, part.p, part.n);
		mbox->line_n += part.n;
		return false;
	}
	*ret_head = input_take(mbox, n);
	if (mbox->line_n > 0) {
		if (n > 0)
			memcpy(mbox->line + mbox->line_n, ret_head->p, n);
		*ret_head = mbj_bytes_make(mbox->line, mbox->line_n + n);
		mbox->line_n = 0;
	}
	return ret_head->n > 0;
}

/* Without LF or CRLF. */
static struct mbj_bytes head_trim(struct mbj_bytes head)
{
	if (head.n > 0 && head.p[head.n - 1] == '\n')
		head.n--;
	if (head.n > 0 && head.p[head.n - 1] == '\r')
		head.n--;
	return head;
}

static bool head_is_quoted(struct mbj_bytes head)
{
	size_t n = 0;

	while (n < head.n && head.p[n] == '>')
		n++;
	return n > 0 && head.n - n >= 5 && memcmp(head.p + n, "From ", 5) == 0;
}

/* ----------------------------------------------------------------- events */

static void due_put(struct mbj_mbox *mbox, struct mbj_bytes body)
{
	MBJ_ASSERT(mbox->due_count < 2);
	mbox->due[mbox->due_count++] = body;
}

static void blank_release(struct mbj_mbox *mbox)
{
	if (mbox->blank != NULL)
		due_put(mbox, mbj_bytes_str(mbox->blank));
	mbox->blank = NULL;
}

static enum mbj_mbox_event message_end(struct mbj_mbox *mbox)
{
	mbox->is_open = false;
	mbox->blank = NULL;
	mbox_header_end(&mbox->header);
	return MBJ_MBOX_END;
}

static enum mbj_mbox_event message_begin(struct mbj_mbox *mbox)
{
	mbox->is_begin_due = false;
	mbox->is_open = true;
	mbox->is_header = true;
	mbox_header_clear(&mbox->header);
	mbox->header.message = mbox->next;
	return MBJ_MBOX_BEGIN;
}

/* A head of a message that is on its way; true: the message is complete. */
static bool text_take(struct mbj_mbox *mbox, struct mbj_bytes head,
		      bool is_separator, bool is_dated)
{
	struct mbj_bytes line = head_trim(head);

	if (is_separator && mbox->blank != NULL) {
		mbox->is_begin_due = true;
		return true;
	}
	mbox->header.message.separators_bare += is_separator && is_dated;
	blank_release(mbox);
	if (line.n == 0 && head.p[head.n - 1] == '\n') {
		mbox->is_header = false;
		mbox->blank = head.n == 2 ? "\r\n" : "\n";
		return false;
	}
	if (mbox->is_header)
		mbox_header_line(&mbox->header, line, mbox->is_middle);
	if (!mbox->is_mboxo && head_is_quoted(head)) {
		head.p++;
		head.n--;
	}
	due_put(mbox, head);
	return false;
}

/* Returns MBJ_MBOX_MORE where there is nothing to be told of it yet. */
static enum mbj_mbox_event head_look(struct mbj_mbox *mbox,
				     struct mbj_bytes head, uint64_t offset)
{
	struct mbj_bytes line = head_trim(head);
	bool is_separator = false, has_time = false;
	int64_t time = 0;

	/* A separator is short. */
	if (!mbox->is_middle)
		is_separator = mbj_mbox_from_parse(line, &has_time, &time);
	if (is_separator)
		mbox->next = (struct mbj_mbox_message){.has_time = has_time,
						       .time = time,
						       .offset = offset};
	if (mbox->is_open)
		return text_take(mbox, head, is_separator, has_time)
			       ? message_end(mbox)
			       : MBJ_MBOX_MORE;
	if (is_separator)
		return message_begin(mbox);
	if (line.n > 0)
		mbox->is_none = true;
	return mbox->is_none ? MBJ_MBOX_NONE : MBJ_MBOX_MORE;
}

/* The rest of a long line. */
static struct mbj_bytes middle_take(struct mbj_mbox *mbox)
{
	bool is_ended;
	size_t n = input_line(mbox, &is_ended);

	mbox->is_middle = !is_ended;
	return input_take(mbox, n);
}

enum mbj_mbox_event mbj_mbox_next(struct mbj_mbox *mbox,
				  struct mbj_bytes *ret_body)
{
	enum mbj_mbox_event event = MBJ_MBOX_MORE;
	struct mbj_bytes head;

	if (mbox->is_none)
		return MBJ_MBOX_NONE;
	if (mbox->is_begin_due)
		return message_begin(mbox);
	while (event == MBJ_MBOX_MORE) {
		uint64_t offset = mbox->offset - mbox->line_n;

		if (mbox->due_count > 0) {
			*ret_body = mbox->due[0];
			mbox->due[0] = mbox->due[1];
			mbox->due_count--;
			return MBJ_MBOX_BODY;
		}
		if (mbox->is_middle && mbox->input.n > 0) {
			*ret_body = middle_take(mbox);
			return MBJ_MBOX_BODY;
		}
		/* A long line that ends with the file is over, too. */
		if (mbox->is_middle && !mbox->is_final)
			return MBJ_MBOX_MORE;
		mbox->is_middle = false;
		if (!head_take(mbox, &head)) {
			if (mbox->is_final && mbox->is_open)
				return message_end(mbox);
			return MBJ_MBOX_MORE;
		}
		event = head_look(mbox, head, offset);
	}
	return event;
}
