/*
 * Lines of a map's messages; see push_map.h.
 */
#include "push_map_line.h"

#include <inttypes.h>

static bool word_blob(const struct push_words *words, size_t at,
		      uint64_t *ret_blob)
{
	const struct mbj_imap_token *token = &words->tokens[at];
	uint64_t value = 0;

	if (at > words->count || token->kind != MBJ_IMAP_ATOM ||
	    token->text.n != 16)
		return false;
	for (size_t i = 0; i < 16; i++) {
		uint8_t c = token->text.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
			return false;
		value = value << 4 |
			(uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_blob = value;
	return true;
}

bool push_map_attempt_parse(const struct push_words *words,
			    struct push_attempt *attempt)
{
	return push_word_u32(words, 1, &attempt->uid) && attempt->uid != 0 &&
	       push_word_u32(words, 2, &attempt->uidnext) &&
	       push_word_number(words, 3, UINT64_MAX, &attempt->modseq) &&
	       word_blob(words, 4, &attempt->blob) &&
	       push_word_number(words, 5, UINT64_MAX, &attempt->size) &&
	       push_word_hash(words, 6, &attempt->digest) &&
	       word_blob(words, 7, &attempt->head);
}

bool push_map_entry_parse(const struct push_words *words, size_t at,
			  struct push_entry *entry)
{
	*entry = (struct push_entry){.uid = 0};
	return push_word_u32(words, at, &entry->uid) &&
	       push_word_u32(words, at + 1, &entry->there) &&
	       push_word_number(words, at + 2, UINT64_MAX, &entry->modseq) &&
	       word_blob(words, at + 3, &entry->blob) &&
	       push_word_u32(words, at + 4, &entry->size) &&
	       word_blob(words, at + 5, &entry->head);
}

bool push_map_over_parse(const struct push_words *words,
			 struct push_entry *entry)
{
	*entry = (struct push_entry){.is_over = true};
	if (!push_word_u32(words, 1, &entry->there) || entry->there == 0)
		return false;
	entry->uid = entry->there;
	return word_blob(words, 2, &entry->blob) &&
	       push_word_u32(words, 3, &entry->size) &&
	       word_blob(words, 4, &entry->head);
}

bool push_map_marked_parse(const struct push_words *words,
			   struct push_entry *entry)
{
	*entry = (struct push_entry){.is_over = true, .is_marked = true};
	return push_words_are(words, "marked", 5) &&
	       push_word_u32(words, 1, &entry->uid) &&
	       push_word_u32(words, 2, &entry->there) && entry->there != 0 &&
	       word_blob(words, 3, &entry->blob) &&
	       push_word_u32(words, 4, &entry->size) &&
	       word_blob(words, 5, &entry->head);
}

bool push_map_short_parse(const struct push_words *words,
			  struct push_entry *entry)
{
	return push_words_are(words, "short", 3) &&
	       push_word_u32(words, 1, &entry->uid) && entry->uid != 0 &&
	       push_word_number(words, 2, UINT64_MAX, &entry->modseq) &&
	       word_blob(words, 3, &entry->sent);
}

static void put_entry(struct mbj_buf *line, const struct push_entry *entry)
{
	mbj_buf_format(line,
		       " %" PRIu32 " %" PRIu32 " %" PRIu64 " %016" PRIx64
		       " %" PRIu32 " %016" PRIx64,
		       entry->uid, entry->there,
		       entry->sent == 0 ? entry->modseq : 0, entry->blob,
		       entry->size, entry->head);
}

void push_map_put_marked(struct push_log *log, const struct push_entry *entry)
{
	mbj_buf_format(push_line_begin(log, "marked"),
		       " %" PRIu32 " %" PRIu32 " %016" PRIx64 " %" PRIu32
		       " %016" PRIx64,
		       entry->is_over ? 0 : entry->uid, entry->there,
		       entry->blob, entry->size, entry->head);
}

void push_map_put_entry(struct push_log *log, const struct push_entry *entry)
{
	if (entry->is_marked)
		push_map_put_marked(log, entry);
	else if (entry->is_over)
		mbj_buf_format(push_line_begin(log, "over"),
			       " %" PRIu32 " %016" PRIx64 " %" PRIu32
			       " %016" PRIx64,
			       entry->there, entry->blob, entry->size,
			       entry->head);
	else
		put_entry(push_line_begin(log, "message"), entry);
}

void push_map_put_attempt(struct push_log *log,
			  const struct push_attempt *attempt,
			  const struct push_entry *last)
{
	struct mbj_buf *line =
		push_line_begin(log, attempt->is_over ? "doubt" : "append");

	mbj_buf_format(line,
		       " %" PRIu32 " %" PRIu32 " %" PRIu64 " %016" PRIx64
		       " %" PRIu64,
		       attempt->uid, attempt->uidnext, attempt->modseq,
		       attempt->blob, attempt->size);
	push_line_hash(line, &attempt->digest);
	mbj_buf_format(line, " %016" PRIx64, attempt->head);
	if (!attempt->is_over)
		put_entry(line, last);
}

void push_map_put_short(struct push_log *log, const struct push_entry *entry)
{
	mbj_buf_format(push_line_begin(log, "short"),
		       " %" PRIu32 " %" PRIu64 " %016" PRIx64, entry->uid,
		       entry->modseq, entry->sent);
}
