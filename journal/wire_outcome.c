/*
 * Outcomes and errors over the wire, whole: what a caller is told is the same
 * whoever owns the store.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>

#include "wire.h"

/* What errors and refusals point at; static there, so found again here. */
#define WORD_MAP(X)       \
	X("account")      \
	X("delimiter")    \
	X("entry")        \
	X("flag")         \
	X("id")           \
	X("identifier")   \
	X("intent")       \
	X("isSelectable") \
	X("isSubscribed") \
	X("mailbox")      \
	X("name")         \
	X("parentId")     \
	X("path")         \
	X("producer")     \
	X("quota")        \
	X("rename")       \
	X("rights")       \
	X("role")         \
	X("source")       \
	X("target")       \
	X("uid")          \
	X("uidValidity")  \
	X("uids")

enum {
	WORD_MAX = 32,
	RESULT_SIZE_MIN = 1 + 4 + 4,
	MESSAGE_RESULT_SIZE_MIN = 4 + 4 + 8 + 8 + 4,
	IS_PROVEN = 1 << 0,
	HAS_INTENTS = 1 << 1,
	RESULT_UIDS_MAX = MBJ_EDIT_MESSAGES_MAX * MBJ_UID_RANGE_SIZE,
};

static const char *const words[] = {
#define X(word) word,
	WORD_MAP(X)
#undef X
};

const char *wire_word_find(struct mbj_bytes word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (mbj_bytes_equal(word, mbj_bytes_str(words[i])))
			return words[i];
	return NULL;
}

/* NULL goes as an empty word, and so does one that this table lacks. */
static void word_encode(struct mbj_buf *buf, const char *word)
{
	struct mbj_bytes bytes = {NULL, 0};

	if (word != NULL && wire_word_find(mbj_bytes_str(word)) != NULL)
		bytes = mbj_bytes_str(word);
	mbj_buf_put_block(buf, bytes);
}

static const char *word_decode(struct mbj_reader *reader)
{
	struct mbj_bytes word = mbj_read_block(reader, WORD_MAX);
	const char *found;

	if (word.n == 0)
		return NULL;
	found = wire_word_find(word);
	if (found == NULL)
		reader->failed = true;
	return found;
}

/* --------------------------------------------------------------- outcome */

static void result_encode(struct mbj_buf *buf,
			  const struct mbj_change_result *result)
{
	struct mbj_bytes text = {NULL, 0};

	if (result->description != NULL)
		text = mbj_bytes_str(result->description);
	mbj_buf_put_u8(buf, (uint8_t)result->refusal);
	word_encode(buf, result->property);
	wire_text_encode(buf, text, MBJ_ERROR_MESSAGE_MAX);
}

static enum mbj_rc result_decode(struct mbj_reader *reader,
				 struct mbj_change_result *ret_result,
				 struct mbj_error *err)
{
	unsigned refusal = mbj_read_u8(reader);
	const char *property = word_decode(reader);
	struct mbj_bytes text = mbj_read_block(reader, MBJ_ERROR_MESSAGE_MAX);

	if (!mbj_reader_ok(reader) || refusal > MBJ_REFUSAL_OVER_QUOTA ||
	    (text.n > 0 && memchr(text.p, '\0', text.n) != NULL))
		return wire_bad(err, "result of a change");
	if (text.n > 0) {
		ret_result->description = mbj_alloc(text.n + 1);
		if (ret_result->description == NULL)
			return mbj_error_nomem(err);
		memcpy(ret_result->description, text.p, text.n);
		ret_result->description[text.n] = '\0';
	}
	ret_result->refusal = (enum mbj_refusal)refusal;
	ret_result->property = property;
	return MBJ_OK;
}

/* Without intents the bytes are those that there were before them. */
static bool outcome_has_intents(const struct mbj_outcome *outcome)
{
	return !mbj_id_is_root(outcome->intent) ||
	       outcome->intents_closed > 0 || outcome->intents_left > 0;
}

void wire_outcome_encode(struct mbj_buf *buf, const struct mbj_outcome *outcome)
{
	bool has_intents = outcome_has_intents(outcome);

	mbj_buf_put_u64(buf, outcome->lsn.v);
	mbj_buf_put_u64(buf, outcome->old_state.v);
	mbj_buf_put_u64(buf, outcome->new_state.v);
	mbj_buf_put_id(buf, outcome->account);
	mbj_buf_put_id(buf, outcome->inbox);
	mbj_buf_put_u64(buf, outcome->lower_bound);
	mbj_buf_put_u64(buf, outcome->parks);
	mbj_buf_put_u8(buf, (uint8_t)((outcome->is_proven ? IS_PROVEN : 0) |
				      (has_intents ? HAS_INTENTS : 0)));
	if (has_intents) {
		mbj_buf_put_id(buf, outcome->intent);
		mbj_buf_put_u64(buf, outcome->intents_closed);
		mbj_buf_put_u64(buf, outcome->intents_left);
	}
	mbj_buf_put_u64(buf, outcome->refused_count);
	mbj_buf_put_u32(buf, (uint32_t)outcome->result_count);
	for (size_t i = 0; i < outcome->result_count; i++)
		result_encode(buf, &outcome->results[i]);
	mbj_buf_put_u32(buf, (uint32_t)outcome->message_count);
	for (size_t i = 0; i < outcome->message_count; i++) {
		const struct mbj_message_result *m = &outcome->messages[i];

		mbj_buf_put_u32(buf, m->uidvalidity);
		mbj_buf_put_u32(buf, m->uid);
		mbj_buf_put_u64(buf, m->modseq);
		mbj_buf_put_u64(buf, m->message_count);
		mbj_buf_put_block(buf, mbj_buf_view(&m->uids));
	}
	wire_text_encode(buf, mbj_buf_view(&outcome->record), MBJ_GROUP_MAX);
}

static enum mbj_rc results_decode(struct mbj_reader *reader,
				  struct mbj_outcome *outcome,
				  struct mbj_error *err)
{
	uint32_t count = mbj_read_u32(reader);
	enum mbj_rc rc = MBJ_OK;

	if (count > mbj_reader_left(reader) / RESULT_SIZE_MIN)
		return wire_bad(err, "number of results");
	if (count == 0)
		return MBJ_OK;
	outcome->results = mbj_calloc(count, sizeof(*outcome->results));
	if (outcome->results == NULL)
		return mbj_error_nomem(err);
	outcome->result_count = count;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = result_decode(reader, &outcome->results[i], err);
	return rc;
}

static enum mbj_rc message_result_decode(struct mbj_reader *reader,
					 struct mbj_message_result *ret_result,
					 struct mbj_error *err)
{
	struct mbj_bytes uids;

	ret_result->uidvalidity = mbj_read_u32(reader);
	ret_result->uid = mbj_read_u32(reader);
	ret_result->modseq = mbj_read_u64(reader);
	ret_result->message_count = mbj_read_u64(reader);
	uids = mbj_read_block(reader, RESULT_UIDS_MAX);
	if (!mbj_reader_ok(reader) || (uids.n > 0 && !mbj_uids_are_good(uids)))
		return wire_bad(err, "set of UIDs");
	mbj_buf_init(&ret_result->uids, RESULT_UIDS_MAX);
	mbj_buf_put_bytes(&ret_result->uids, uids);
	return mbj_buf_ok(&ret_result->uids, err);
}

static enum mbj_rc message_results_decode(struct mbj_reader *reader,
					  struct mbj_outcome *outcome,
					  struct mbj_error *err)
{
	uint32_t count = mbj_read_u32(reader);
	enum mbj_rc rc = MBJ_OK;

	if (count > mbj_reader_left(reader) / MESSAGE_RESULT_SIZE_MIN)
		return wire_bad(err, "number of results");
	if (count == 0)
		return MBJ_OK;
	outcome->messages = mbj_calloc(count, sizeof(*outcome->messages));
	if (outcome->messages == NULL)
		return mbj_error_nomem(err);
	outcome->message_count = count;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = message_result_decode(reader, &outcome->messages[i], err);
	return rc;
}

static bool outcome_head_decode(struct mbj_reader *reader,
				struct mbj_outcome *outcome)
{
	unsigned bits;

	outcome->lsn.v = mbj_read_u64(reader);
	outcome->old_state.v = mbj_read_u64(reader);
	outcome->new_state.v = mbj_read_u64(reader);
	outcome->account = mbj_read_id(reader);
	outcome->inbox = mbj_read_id(reader);
	outcome->lower_bound = (size_t)mbj_read_u64(reader);
	outcome->parks = (size_t)mbj_read_u64(reader);
	bits = mbj_read_u8(reader);
	outcome->is_proven = (bits & IS_PROVEN) != 0;
	if (bits & HAS_INTENTS) {
		outcome->intent = mbj_read_id(reader);
		outcome->intents_closed = mbj_read_u64(reader);
		outcome->intents_left = mbj_read_u64(reader);
	}
	if (bits > (IS_PROVEN | HAS_INTENTS) ||
	    outcome_has_intents(outcome) != ((bits & HAS_INTENTS) != 0))
		return false;
	outcome->refused_count = (size_t)mbj_read_u64(reader);
	return mbj_reader_ok(reader);
}

enum mbj_rc wire_outcome_decode(struct mbj_reader *reader,
				struct mbj_outcome *ret_outcome,
				struct mbj_error *err)
{
	struct mbj_bytes record;
	enum mbj_rc rc;

	if (!outcome_head_decode(reader, ret_outcome))
		return wire_bad(err, "outcome");
	rc = results_decode(reader, ret_outcome, err);
	if (rc == MBJ_OK)
		rc = message_results_decode(reader, ret_outcome, err);
	if (rc < 0)
		return rc;
	record = mbj_read_block(reader, MBJ_GROUP_MAX);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "group");
	if (record.n == 0)
		return MBJ_OK;
	mbj_buf_init(&ret_outcome->record, MBJ_GROUP_MAX);
	mbj_buf_put_bytes(&ret_outcome->record, record);
	return mbj_buf_ok(&ret_outcome->record, err);
}

/* ---------------------------------------------------------------- errors */

void wire_error_encode(struct mbj_buf *buf, const struct mbj_error *error)
{
	MBJ_ASSERT(error->rc < 0);
	mbj_buf_put_u8(buf, (uint8_t)-error->rc);
	mbj_buf_put_u8(buf, (uint8_t)error->refusal);
	word_encode(buf, error->subject_kind);
	mbj_buf_put_block(buf, mbj_bytes_str(error->subject));
	mbj_buf_put_block(buf, mbj_bytes_str(error->message));
	mbj_buf_put_block(buf, mbj_bytes_str(error->file));
	mbj_buf_put_u64(buf, error->offset);
	mbj_buf_put_u64(buf, error->lsn);
}

/* A text into its place: with its end, without a NUL in it. */
static void text_decode(struct mbj_reader *reader, char *ret_text, size_t size)
{
	struct mbj_bytes text = mbj_read_block(reader, size - 1);

	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		reader->failed = true;
	if (!mbj_reader_ok(reader))
		return;
	if (text.n > 0)
		memcpy(ret_text, text.p, text.n);
	ret_text[text.n] = '\0';
}

enum mbj_rc wire_error_decode(struct mbj_bytes body,
			      struct mbj_error *ret_error)
{
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_reader reader;
	unsigned refusal;
	int rc;

	mbj_reader_init(&reader, body);
	rc = -(int)mbj_read_u8(&reader);
	refusal = mbj_read_u8(&reader);
	error.subject_kind = word_decode(&reader);
	text_decode(&reader, error.subject, sizeof(error.subject));
	text_decode(&reader, error.message, sizeof(error.message));
	text_decode(&reader, error.file, sizeof(error.file));
	error.offset = mbj_read_u64(&reader);
	error.lsn = mbj_read_u64(&reader);
	if (!mbj_reader_is_spent(&reader) || rc >= MBJ_OK ||
	    rc < MBJ_EUNRECEIVED || refusal > MBJ_REFUSAL_OVER_QUOTA)
		return wire_bad(ret_error, "error");
	error.rc = (enum mbj_rc)rc;
	error.refusal = (enum mbj_refusal)refusal;
	if (ret_error != NULL)
		*ret_error = error;
	return error.rc;
}
