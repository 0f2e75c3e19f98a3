/*
 * Frames and bodies: heads, the table of kinds, a body's fields in order.
 * Not here: what the fields hold (wire_edit.c, wire_outcome.c, wire_record.c).
 *
 * Threads: pure functions.
 */
#include "wire.h"

#include <mbj/check.h>

static const uint8_t hello_magic[8] = {'m', 'b', 'j', ' ', 'w', 'i', 'r', 'e'};

/* A row of the table. */
struct kind {
	const char *word;
	unsigned fields[2]; /* by side */
	size_t size_max[2];
};

static const struct kind kinds[WIRE_KIND_LAST + 1] = {
#define X(name, number, text, asked, asked_max, answered, answered_max) \
	[(number)] = {(text),                                           \
		      {(unsigned)(asked), (unsigned)(answered)},        \
		      {(asked_max), (answered_max)}},
	WIRE_KIND_MAP(X)
#undef X
};

/* An error's text and what is around it. */
enum { ERROR_SIZE_MAX = WIRE_SMALL_MAX };

const char *wire_kind_word(enum wire_kind kind)
{
	MBJ_ASSERT((size_t)kind <= WIRE_KIND_LAST);
	MBJ_ASSERT(kinds[kind].word != NULL);
	return kinds[kind].word;
}

size_t wire_size_max(enum wire_kind kind, enum wire_side side)
{
	MBJ_ASSERT((size_t)kind <= WIRE_KIND_LAST);
	MBJ_ASSERT((size_t)side <= WIRE_REFUSAL);
	return side == WIRE_REFUSAL ? ERROR_SIZE_MAX
				    : kinds[kind].size_max[side];
}

/* ----------------------------------------------------------------- heads */

void wire_head_encode(const struct wire_head *head,
		      uint8_t bytes[WIRE_HEAD_SIZE])
{
	MBJ_ASSERT(head->size <= wire_size_max(head->kind, head->side));
	mbj_store_u32(bytes, head->size);
	mbj_store_u16(bytes + 4, (uint16_t)head->kind);
	mbj_store_u16(bytes + 6, (uint16_t)head->side);
	mbj_store_u64(bytes + 8, head->number);
}

enum mbj_rc wire_head_decode(const uint8_t bytes[WIRE_HEAD_SIZE],
			     struct wire_head *ret_head, struct mbj_error *err)
{
	uint32_t size = mbj_load_u32(bytes);
	unsigned kind = mbj_load_u16(bytes + 4);
	unsigned side = mbj_load_u16(bytes + 6);

	if (kind > WIRE_KIND_LAST || kinds[kind].word == NULL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame has the kind %u, which there is "
				     "not: the peer speaks something else",
				     kind);
	if (side > WIRE_REFUSAL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame has the side %u, which there is "
				     "not",
				     side);
	if (size > wire_size_max((enum wire_kind)kind, (enum wire_side)side))
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a frame \"%s\" says it has %lu bytes, "
				     "at most %zu are allowed",
				     kinds[kind].word, (unsigned long)size,
				     wire_size_max((enum wire_kind)kind,
						   (enum wire_side)side));
	ret_head->kind = (enum wire_kind)kind;
	ret_head->side = (enum wire_side)side;
	ret_head->size = size;
	ret_head->number = mbj_load_u64(bytes + 8);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- pieces */

bool wire_read_bool(struct mbj_reader *reader)
{
	uint8_t value = mbj_read_u8(reader);

	if (value > 1)
		reader->failed = true;
	return value == 1;
}

struct mbj_hash wire_read_hash(struct mbj_reader *reader)
{
	struct mbj_bytes bytes = mbj_read_bytes(reader, MBJ_HASH_SIZE);
	struct mbj_hash hash = {{0}};

	if (bytes.n == MBJ_HASH_SIZE)
		memcpy(hash.b, bytes.p, MBJ_HASH_SIZE);
	return hash;
}

void wire_put_hash(struct mbj_buf *buf, const struct mbj_hash *hash)
{
	mbj_buf_put(buf, hash->b, sizeof(hash->b));
}

void wire_text_encode(struct mbj_buf *buf, struct mbj_bytes text, size_t max)
{
	if (text.n > max && buf->failed == MBJ_OK)
		buf->failed = MBJ_ELIMIT;
	mbj_buf_put_block(buf, text);
}

/* ---------------------------------------------------------------- fields */

static void versions_encode(struct mbj_buf *buf, const struct wire_message *m)
{
	mbj_buf_put(buf, hello_magic, sizeof(hello_magic));
	mbj_buf_put_u16(buf, m->version_lowest);
	mbj_buf_put_u16(buf, m->version_highest);
}

static enum mbj_rc versions_decode(struct mbj_reader *reader,
				   struct wire_message *m,
				   struct mbj_error *err)
{
	struct mbj_bytes magic = mbj_read_bytes(reader, sizeof(hello_magic));

	if (!mbj_bytes_equal(magic,
			     mbj_bytes_make(hello_magic, sizeof(hello_magic))))
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the peer does not speak mbj's protocol");
	m->version_lowest = mbj_read_u16(reader);
	m->version_highest = mbj_read_u16(reader);
	if (!mbj_reader_ok(reader) || m->version_lowest > m->version_highest)
		return wire_bad(err, "versions");
	return MBJ_OK;
}

static void welcome_encode(struct mbj_buf *buf, const struct wire_welcome *w)
{
	mbj_buf_put_u16(buf, w->version);
	mbj_buf_put_u8(buf, w->is_owner);
	mbj_buf_put_u64(buf, w->process);
	wire_identity_encode(buf, &w->identity);
	wire_text_encode(buf, w->dir, MBJ_PATH_TEXT_MAX);
}

static enum mbj_rc welcome_decode(struct mbj_reader *reader,
				  struct wire_welcome *w, struct mbj_error *err)
{
	enum mbj_rc rc;

	w->version = mbj_read_u16(reader);
	w->is_owner = wire_read_bool(reader);
	w->process = mbj_read_u64(reader);
	rc = wire_identity_decode(reader, &w->identity, err);
	if (rc < 0)
		return rc;
	w->dir = mbj_read_block(reader, MBJ_PATH_TEXT_MAX);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "welcome");
}

static void range_encode(struct mbj_buf *buf, const struct wire_message *m)
{
	mbj_buf_put_id(buf, m->account_id);
	mbj_buf_put_id(buf, m->mailbox_id);
	mbj_buf_put_u64(buf, m->rev);
	mbj_buf_put_u32(buf, m->uid);
	mbj_buf_put_u32(buf, m->limit);
}

static enum mbj_rc range_decode(struct mbj_reader *reader,
				struct wire_message *m, struct mbj_error *err)
{
	m->account_id = mbj_read_id(reader);
	m->mailbox_id = mbj_read_id(reader);
	m->rev = mbj_read_u64(reader);
	m->uid = mbj_read_u32(reader);
	m->limit = mbj_read_u32(reader);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "range");
}

static void list_encode(struct mbj_buf *buf, const struct wire_message *m)
{
	mbj_buf_put_u32(buf, m->count);
	wire_text_encode(buf, m->list, WIRE_LIST_MAX);
}

static void since_encode(struct mbj_buf *buf, const struct wire_message *m)
{
	mbj_buf_put_id(buf, m->account_id);
	mbj_buf_put_id(buf, m->mailbox_id);
	mbj_buf_put_u64(buf, m->modseq);
}

static enum mbj_rc since_decode(struct mbj_reader *reader,
				struct wire_message *m, struct mbj_error *err)
{
	m->account_id = mbj_read_id(reader);
	m->mailbox_id = mbj_read_id(reader);
	m->modseq = mbj_read_u64(reader);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "modseq");
}

static void wait_encode(struct mbj_buf *buf, const struct wire_wait *wait)
{
	mbj_buf_put_u64(buf, wait->lsn.v);
	mbj_buf_put_u32(buf, wait->replicas);
	mbj_buf_put_u32(buf, wait->ms);
}

static void chain_encode(struct mbj_buf *buf, const struct mbj_chain_at *at)
{
	mbj_buf_put_u64(buf, at->first.v);
	mbj_buf_put_u64(buf, at->last.v);
	mbj_buf_put_u8(buf, at->is_there);
	wire_put_hash(buf, &at->chain);
}

static enum mbj_rc chain_decode(struct mbj_reader *reader,
				struct mbj_chain_at *at, struct mbj_error *err)
{
	at->first.v = mbj_read_u64(reader);
	at->last.v = mbj_read_u64(reader);
	at->is_there = wire_read_bool(reader);
	at->chain = wire_read_hash(reader);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "chain value");
}

/* What keeping house is asked, and comes to. */
static void house_encode(struct mbj_buf *buf, enum wire_field field,
			 const struct wire_message *m)
{
	if (field == WIRE_HAS_KEEP) {
		wire_keep_encode(buf, &m->keep);
	} else if (field == WIRE_HAS_SNAPSHOT) {
		wire_snapshot_encode(buf, &m->snapshot);
	} else if (field == WIRE_HAS_TRIM) {
		wire_trim_encode(buf, &m->trim);
	} else {
		MBJ_ASSERT(field == WIRE_HAS_COLLECTED);
		wire_collected_encode(buf, &m->collected);
	}
}

/* Fields that are one value or text, or bytes that others have encoded. */
static void plain_encode(struct mbj_buf *buf, enum wire_field field,
			 const struct wire_message *m)
{
	if (field == WIRE_HAS_DIGEST)
		wire_put_hash(buf, &m->digest);
	else if (field == WIRE_HAS_SIZE)
		mbj_buf_put_u64(buf, m->size);
	else if (field == WIRE_HAS_DRY_RUN)
		mbj_buf_put_u8(buf, m->is_dry_run);
	else if (field == WIRE_HAS_WHOLE)
		mbj_buf_put_u8(buf, m->is_whole);
	else if (field == WIRE_HAS_WAIT)
		wait_encode(buf, &m->wait);
	else if (field == WIRE_HAS_RECEIVED)
		mbj_buf_put_u32(buf, m->received);
	else if (field == WIRE_HAS_LSN)
		mbj_buf_put_u64(buf, m->lsn.v);
	else if (field == WIRE_HAS_PRODUCER)
		wire_text_encode(buf, m->edit.producer, MBJ_ATTR_NAME_MAX);
	else if (field == WIRE_HAS_DATA)
		wire_text_encode(buf, m->data, WIRE_PIECE_MAX);
	else
		mbj_buf_put_bytes(buf, m->survey);
}

static void field_encode(struct mbj_buf *buf, enum wire_field field,
			 const struct wire_message *m)
{
	switch (field) {
	case WIRE_HAS_VERSIONS:
		versions_encode(buf, m);
		return;
	case WIRE_HAS_WELCOME:
		welcome_encode(buf, &m->welcome);
		return;
	case WIRE_HAS_NAME:
		wire_text_encode(buf, m->name, WIRE_SMALL_MAX);
		return;
	case WIRE_HAS_PATH:
		wire_text_encode(buf, m->path, WIRE_PATH_MAX);
		mbj_buf_put_u8(buf, m->is_last_wanted);
		return;
	case WIRE_HAS_RANGE:
		range_encode(buf, m);
		return;
	case WIRE_HAS_SINCE:
		since_encode(buf, m);
		return;
	case WIRE_HAS_EDIT:
		wire_edit_encode(buf, &m->edit);
		return;
	case WIRE_HAS_OUTCOME:
		wire_outcome_encode(buf, &m->outcome);
		return;
	case WIRE_HAS_ACCOUNT:
		wire_account_encode(buf, &m->account);
		return;
	case WIRE_HAS_MAILBOX:
		wire_mailbox_encode(buf, &m->mailbox);
		mbj_buf_put_u32(buf, m->last_uid);
		return;
	case WIRE_HAS_CONTENT:
		wire_content_encode(buf, &m->content);
		return;
	case WIRE_HAS_LIST:
		list_encode(buf, m);
		return;
	case WIRE_HAS_STATUS:
		wire_status_encode(buf, m->version, &m->status);
		return;
	case WIRE_HAS_KEEP:
	case WIRE_HAS_SNAPSHOT:
	case WIRE_HAS_TRIM:
	case WIRE_HAS_COLLECTED:
		house_encode(buf, field, m);
		return;
	case WIRE_HAS_CHAIN:
		chain_encode(buf, &m->chain_at);
		return;
	case WIRE_HAS_WAIT:
	case WIRE_HAS_PRODUCER:
	case WIRE_HAS_DIGEST:
	case WIRE_HAS_SIZE:
	case WIRE_HAS_DATA:
	case WIRE_HAS_DRY_RUN:
	case WIRE_HAS_WHOLE:
	case WIRE_HAS_RECEIVED:
	case WIRE_HAS_LSN:
	case WIRE_HAS_SURVEY:
	case WIRE_HAS_SURVEYED:
		plain_encode(buf, field, m);
		return;
	case WIRE_HAS_NONE:
		break;
	}
	MBJ_UNREACHABLE();
}

/* Fields that are numbers, a digest or a text. */
static enum mbj_rc plain_decode(struct mbj_reader *reader,
				enum wire_field field, struct wire_message *m,
				struct mbj_error *err)
{
	const char *what = "name";

	if (field == WIRE_HAS_NAME) {
		m->name = mbj_read_block(reader, WIRE_SMALL_MAX);
	} else if (field == WIRE_HAS_PATH) {
		what = "path";
		m->path = mbj_read_block(reader, WIRE_PATH_MAX);
		m->is_last_wanted = wire_read_bool(reader);
	} else if (field == WIRE_HAS_PRODUCER) {
		what = "producer";
		m->edit.producer = mbj_read_block(reader, MBJ_ATTR_NAME_MAX);
	} else if (field == WIRE_HAS_DIGEST) {
		what = "digest";
		m->digest = wire_read_hash(reader);
	} else if (field == WIRE_HAS_SIZE) {
		what = "size";
		m->size = mbj_read_u64(reader);
	} else if (field == WIRE_HAS_DRY_RUN) {
		what = "dry run";
		m->is_dry_run = wire_read_bool(reader);
	} else if (field == WIRE_HAS_WHOLE) {
		what = "whether it is whole";
		m->is_whole = wire_read_bool(reader);
	} else if (field == WIRE_HAS_WAIT) {
		what = "wait";
		m->wait.lsn.v = mbj_read_u64(reader);
		m->wait.replicas = mbj_read_u32(reader);
		m->wait.ms = mbj_read_u32(reader);
	} else if (field == WIRE_HAS_RECEIVED) {
		what = "number of replicas";
		m->received = mbj_read_u32(reader);
	} else if (field == WIRE_HAS_LSN) {
		what = "LSN";
		m->lsn.v = mbj_read_u64(reader);
	} else if (field == WIRE_HAS_DATA) {
		what = "data";
		m->data = mbj_read_block(reader, WIRE_PIECE_MAX);
	} else {
		MBJ_ASSERT(field == WIRE_HAS_LIST);
		what = "list";
		m->count = mbj_read_u32(reader);
		m->list = mbj_read_block(reader, WIRE_LIST_MAX);
		/* A record has at least one byte. */
		if (m->count > m->list.n)
			reader->failed = true;
	}
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, what);
}

/* A survey takes all that is left of a body: its own codec judges that. */
static enum mbj_rc survey_decode(struct mbj_reader *reader,
				 enum wire_field field, struct wire_message *m,
				 struct mbj_error *err)
{
	struct mbj_survey_question question;
	struct mbj_survey_answer answer;

	m->survey = mbj_read_bytes(reader, mbj_reader_left(reader));
	return field == WIRE_HAS_SURVEY
		       ? mbj_survey_question_decode(m->survey, &question, err)
		       : mbj_survey_answer_decode(m->survey, &answer, err);
}

static enum mbj_rc field_decode(struct mbj_reader *reader,
				enum wire_field field, struct mbj_arena *arena,
				struct wire_message *m, struct mbj_error *err)
{
	enum mbj_rc rc;

	switch (field) {
	case WIRE_HAS_VERSIONS:
		return versions_decode(reader, m, err);
	case WIRE_HAS_WELCOME:
		return welcome_decode(reader, &m->welcome, err);
	case WIRE_HAS_RANGE:
		return range_decode(reader, m, err);
	case WIRE_HAS_SINCE:
		return since_decode(reader, m, err);
	case WIRE_HAS_EDIT:
		return wire_edit_decode(reader, arena, &m->edit, err);
	case WIRE_HAS_OUTCOME:
		return wire_outcome_decode(reader, &m->outcome, err);
	case WIRE_HAS_ACCOUNT:
		return wire_account_decode(reader, &m->account, err);
	case WIRE_HAS_MAILBOX:
		rc = wire_mailbox_decode(reader, &m->mailbox, err);
		if (rc < 0)
			return rc;
		m->last_uid = mbj_read_u32(reader);
		return mbj_reader_ok(reader) ? MBJ_OK
					     : wire_bad(err, "last UID");
	case WIRE_HAS_CONTENT:
		return wire_content_decode(reader, &m->content, err);
	case WIRE_HAS_STATUS:
		return wire_status_decode(reader, m->version, &m->status, err);
	case WIRE_HAS_KEEP:
		return wire_keep_decode(reader, &m->keep, err);
	case WIRE_HAS_SNAPSHOT:
		return wire_snapshot_decode(reader, &m->snapshot, err);
	case WIRE_HAS_TRIM:
		return wire_trim_decode(reader, &m->trim, err);
	case WIRE_HAS_COLLECTED:
		return wire_collected_decode(reader, &m->collected, err);
	case WIRE_HAS_CHAIN:
		return chain_decode(reader, &m->chain_at, err);
	case WIRE_HAS_NAME:
	case WIRE_HAS_PATH:
	case WIRE_HAS_PRODUCER:
	case WIRE_HAS_DIGEST:
	case WIRE_HAS_SIZE:
	case WIRE_HAS_DATA:
	case WIRE_HAS_LIST:
	case WIRE_HAS_DRY_RUN:
	case WIRE_HAS_WHOLE:
	case WIRE_HAS_WAIT:
	case WIRE_HAS_RECEIVED:
	case WIRE_HAS_LSN:
		return plain_decode(reader, field, m, err);
	case WIRE_HAS_SURVEY:
	case WIRE_HAS_SURVEYED:
		return survey_decode(reader, field, m, err);
	case WIRE_HAS_NONE:
		break;
	}
	MBJ_UNREACHABLE();
}

/* ---------------------------------------------------------------- bodies */

void wire_encode(struct mbj_buf *buf, enum wire_kind kind, enum wire_side side,
		 const struct wire_message *message)
{
	unsigned fields;

	MBJ_ASSERT((size_t)kind <= WIRE_KIND_LAST && side != WIRE_REFUSAL);
	fields = kinds[kind].fields[side];
	for (unsigned bit = 1; bit <= fields; bit <<= 1)
		if (fields & bit)
			field_encode(buf, (enum wire_field)bit, message);
}

enum mbj_rc wire_decode(struct mbj_bytes body, enum wire_kind kind,
			enum wire_side side, struct mbj_arena *arena,
			struct wire_message *ret_message, struct mbj_error *err)
{
	struct mbj_reader reader;
	unsigned fields;
	enum mbj_rc rc;

	MBJ_ASSERT((size_t)kind <= WIRE_KIND_LAST && side != WIRE_REFUSAL);
	mbj_reader_init(&reader, body);
	fields = kinds[kind].fields[side];
	for (unsigned bit = 1; bit <= fields; bit <<= 1) {
		if ((fields & bit) == 0)
			continue;
		rc = field_decode(&reader, (enum wire_field)bit, arena,
				  ret_message, err);
		if (rc < 0)
			return mbj_error_prefix(err, rc, "%s",
						kinds[kind].word);
	}
	if (!mbj_reader_is_spent(&reader))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: a frame has %zu bytes too many",
				     kinds[kind].word,
				     mbj_reader_left(&reader));
	return MBJ_OK;
}
