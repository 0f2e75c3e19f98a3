/*
 * What a frame's body has; see stream_field.h.
 */
#include "stream_field.h"

#include <mbj/check.h>

static const uint8_t hello_magic[8] = {'m', 'b', 'j', ' ', 's', 't', 'r', 'm'};

_Static_assert(MBJ_ERROR_MESSAGE_MAX + MBJ_ERROR_FILE_MAX + 32 <=
		       STREAM_SMALL_MAX,
	       "an error fits into a frame");

/* Lowest code of struct mbj_error, as -rc. */
enum {
#define X(name, value, text) CODE_##name = -(value),
	MBJ_RC_MAP(X)
#undef X
		CODE_LAST = CODE_EUNRECEIVED
};

enum { METHOD_ZSTD = 1 };

/* ---------------------------------------------------------------- pieces */

static enum mbj_rc bad(struct mbj_error *err, const char *what)
{
	return mbj_error_set(err, MBJ_ECORRUPT, "a frame's %s cannot be read",
			     what);
}

static struct mbj_hash hash_read(struct mbj_reader *reader)
{
	struct mbj_bytes bytes = mbj_read_bytes(reader, MBJ_HASH_SIZE);
	struct mbj_hash hash = {{0}};

	if (bytes.n == MBJ_HASH_SIZE)
		memcpy(hash.b, bytes.p, MBJ_HASH_SIZE);
	return hash;
}

static void hash_put(struct mbj_buf *buf, const struct mbj_hash *hash)
{
	mbj_buf_put(buf, hash->b, MBJ_HASH_SIZE);
}

void stream_content_put(struct mbj_buf *buf, const struct mbj_hash *digest,
			uint64_t size)
{
	hash_put(buf, digest);
	mbj_buf_put_u64(buf, size);
}

void stream_content_get(const struct stream_message *message, uint32_t index,
			struct mbj_hash *ret_digest, uint64_t *ret_size)
{
	const uint8_t *p;

	MBJ_ASSERT(index < message->count);
	MBJ_ASSERT(message->contents.n ==
		   (size_t)message->count * STREAM_CONTENT_SIZE);
	p = message->contents.p + (size_t)index * STREAM_CONTENT_SIZE;
	memcpy(ret_digest->b, p, MBJ_HASH_SIZE);
	*ret_size = mbj_load_u64(p + MBJ_HASH_SIZE);
}

/* --------------------------------------------------------------- fields */

static void identity_encode(struct mbj_buf *buf, const struct mbj_identity *id)
{
	mbj_buf_put_u8(buf, (uint8_t)id->role);
	mbj_buf_put_id(buf, id->lineage);
	mbj_buf_put_id(buf, id->instance);
	mbj_buf_put_u64(buf, id->epoch.v);
	mbj_buf_put_id(buf, id->epoch_owner);
	mbj_buf_put_u64(buf, id->anchor.first.v);
	hash_put(buf, &id->anchor.chain);
}

/* Whoever adopts it keeps it in a superblock, which takes no other. */
static bool identity_can_be(const struct mbj_identity *id)
{
	if (mbj_id_is_reserved(id->instance) || mbj_id_is_temp(id->lineage))
		return false;
	return mbj_id_is_root(id->lineage) ||
	       (id->epoch.v > 0 && id->anchor.first.v > 0 &&
		!mbj_id_is_reserved(id->epoch_owner));
}

static enum mbj_rc identity_decode(struct mbj_reader *reader,
				   struct mbj_identity *ret_id,
				   struct mbj_error *err)
{
	struct mbj_identity id = {.role = MBJ_STORE_PRIMARY};
	uint8_t role = mbj_read_u8(reader);

	id.lineage = mbj_read_id(reader);
	id.instance = mbj_read_id(reader);
	id.epoch.v = mbj_read_u64(reader);
	id.epoch_owner = mbj_read_id(reader);
	id.anchor.first.v = mbj_read_u64(reader);
	id.anchor.chain = hash_read(reader);
	if (!mbj_reader_ok(reader) ||
	    (role != MBJ_STORE_PRIMARY && role != MBJ_STORE_REPLICA) ||
	    !identity_can_be(&id))
		return bad(err, "identity");
	id.role = (enum mbj_store_role)role;
	*ret_id = id;
	return MBJ_OK;
}

static void source_encode(struct mbj_buf *buf, const struct stream_message *m)
{
	mbj_buf_put_u16(buf, m->version);
	identity_encode(buf, &m->identity);
	mbj_buf_put_u64(buf, m->end.v);
	mbj_buf_put_u8(buf, m->has_chain);
	hash_put(buf, &m->chain);
}

static enum mbj_rc source_decode(struct mbj_reader *reader,
				 struct stream_message *m,
				 struct mbj_error *err)
{
	uint8_t has_chain;
	enum mbj_rc rc;

	m->version = mbj_read_u16(reader);
	rc = identity_decode(reader, &m->identity, err);
	if (rc < 0)
		return rc;
	m->end.v = mbj_read_u64(reader);
	has_chain = mbj_read_u8(reader);
	m->chain = hash_read(reader);
	m->has_chain = has_chain == 1;
	return mbj_reader_ok(reader) && has_chain <= 1
		       ? MBJ_OK
		       : bad(err, "chain value");
}

static void want_encode(struct mbj_buf *buf, const struct stream_message *m)
{
	mbj_buf_put_u64(buf, m->from.v);
	mbj_buf_put_u32(buf, m->bytes_max);
	mbj_buf_put_u32(buf, m->wait_ms);
	mbj_buf_put_u64(buf, m->received.v);
	mbj_buf_put_u64(buf, m->applied.v);
	mbj_buf_put_u64(buf, m->parked.v);
}

static enum mbj_rc want_decode(struct mbj_reader *reader,
			       struct stream_message *m, struct mbj_error *err)
{
	m->from.v = mbj_read_u64(reader);
	m->bytes_max = mbj_read_u32(reader);
	m->wait_ms = mbj_read_u32(reader);
	m->received.v = mbj_read_u64(reader);
	m->applied.v = mbj_read_u64(reader);
	m->parked.v = mbj_read_u64(reader);
	if (!mbj_reader_ok(reader))
		return bad(err, "wants");
	if (m->from.v == 0 || m->bytes_max == 0)
		return bad(err, "first group or size");
	if (m->received.v >= m->from.v || m->applied.v > m->received.v ||
	    m->parked.v > m->applied.v)
		return bad(err, "LSNs, which contradict each other,");
	if (m->bytes_max > STREAM_FETCH_MAX || m->wait_ms > STREAM_WAIT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "more bytes or a longer wait are asked "
				     "for than are allowed");
	return MBJ_OK;
}

static void error_encode(struct mbj_buf *buf, const struct mbj_error *error)
{
	char message[MBJ_ERROR_MESSAGE_MAX];
	char file[MBJ_ERROR_FILE_MAX];

	MBJ_ASSERT(error->rc < MBJ_OK);
	(void)mbj_text_escape(message, sizeof(message),
			      mbj_bytes_str(error->message));
	(void)mbj_text_escape(file, sizeof(file), mbj_bytes_str(error->file));
	mbj_buf_put_u8(buf, (uint8_t)-error->rc);
	mbj_buf_put_u64(buf, error->offset);
	mbj_buf_put_u64(buf, error->lsn);
	mbj_buf_put_block(buf, mbj_bytes_str(message));
	mbj_buf_put_block(buf, mbj_bytes_str(file));
}

/* What a peer wrote is shown: it is what our own messages are like already. */
static bool text_read(struct mbj_reader *reader, char *ret_text, size_t size)
{
	struct mbj_bytes text = mbj_read_block(reader, size - 1);
	size_t n;

	if (!mbj_reader_ok(reader))
		return false;
	n = mbj_text_escape(ret_text, size, text);
	return n == text.n && (n == 0 || memcmp(ret_text, text.p, n) == 0);
}

static enum mbj_rc error_decode(struct mbj_reader *reader,
				struct mbj_error *ret_error,
				struct mbj_error *err)
{
	struct mbj_error error = {.rc = MBJ_OK};
	uint8_t code = mbj_read_u8(reader);

	error.offset = mbj_read_u64(reader);
	error.lsn = mbj_read_u64(reader);
	if (!text_read(reader, error.message, sizeof(error.message)) ||
	    !text_read(reader, error.file, sizeof(error.file)) || code == 0 ||
	    code > CODE_LAST)
		return bad(err, "error");
	error.rc = (enum mbj_rc)(-(int)code);
	*ret_error = error;
	return MBJ_OK;
}

static void replica_encode(struct mbj_buf *buf, const struct stream_message *m)
{
	mbj_buf_put_id(buf, m->lineage);
	mbj_buf_put_u64(buf, m->epoch.v);
	mbj_buf_put_u64(buf, m->applied.v);
	hash_put(buf, &m->chain);
	mbj_buf_put_id(buf, m->instance);
	mbj_buf_put_block(buf, m->name);
}

static void left_encode(struct mbj_buf *buf, const struct mbj_log_behind *left)
{
	mbj_buf_put_u64(buf, left->bytes);
	mbj_buf_put_u64(buf, left->bulk);
	mbj_buf_put_u8(buf, left->is_exact);
}

void stream_field_encode(struct mbj_buf *buf, enum stream_field field,
			 const struct stream_message *m)
{
	switch (field) {
	case STREAM_HAS_VERSIONS:
		mbj_buf_put(buf, hello_magic, sizeof(hello_magic));
		mbj_buf_put_u16(buf, m->version_lowest);
		mbj_buf_put_u16(buf, m->version_highest);
		return;
	case STREAM_HAS_REPLICA:
		replica_encode(buf, m);
		return;
	case STREAM_HAS_SOURCE:
		source_encode(buf, m);
		return;
	case STREAM_HAS_WANT:
		want_encode(buf, m);
		return;
	case STREAM_HAS_DATA:
		MBJ_ASSERT(m->data.n > 0 && m->data.n <= STREAM_DATA_MAX);
		mbj_buf_put_bytes(buf, m->data);
		return;
	case STREAM_HAS_END:
		mbj_buf_put_u32(buf, m->count);
		mbj_buf_put_u64(buf, m->size);
		mbj_buf_put_u64(buf, m->end.v);
		return;
	case STREAM_HAS_LEFT:
		left_encode(buf, &m->left);
		return;
	case STREAM_HAS_DIGESTS:
		MBJ_ASSERT(m->count > 0 && m->count <= STREAM_CONTENTS_MAX);
		mbj_buf_put_u32(buf, m->count);
		mbj_buf_put_bytes(buf, m->contents);
		return;
	case STREAM_HAS_ERROR:
		error_encode(buf, &m->error);
		return;
	case STREAM_HAS_SNAPSHOT:
		mbj_buf_put_u64(buf, m->snapshot.v);
		mbj_buf_put_u64(buf, m->size);
		return;
	case STREAM_HAS_PART:
		mbj_buf_put_u64(buf, m->least.v);
		mbj_buf_put_u64(buf, m->snapshot.v);
		mbj_buf_put_u64(buf, m->size);
		mbj_buf_put_u32(buf, m->bytes_max);
		return;
	case STREAM_HAS_PAUSE:
		mbj_buf_put_u64(buf, m->paused_ms);
		return;
	case STREAM_HAS_RATE:
		mbj_buf_put_u64(buf, m->rate);
		return;
	case STREAM_HAS_METHOD:
		mbj_buf_put_u8(buf, METHOD_ZSTD);
		mbj_buf_put_u8(buf, m->level);
		return;
	case STREAM_HAS_SURVEY:
	case STREAM_HAS_SURVEYED:
		mbj_buf_put_bytes(buf, m->survey);
		return;
	case STREAM_HAS_LEVEL:
		mbj_buf_put_u8(buf, m->level);
		return;
	case STREAM_HAS_NONE:
		break;
	}
	MBJ_UNREACHABLE();
}

static enum mbj_rc part_decode(struct mbj_reader *reader,
			       struct stream_message *m, struct mbj_error *err)
{
	m->least.v = mbj_read_u64(reader);
	m->snapshot.v = mbj_read_u64(reader);
	m->size = mbj_read_u64(reader);
	m->bytes_max = mbj_read_u32(reader);
	if (!mbj_reader_ok(reader))
		return bad(err, "part");
	if (m->least.v == 0 || m->snapshot.v < m->least.v ||
	    (m->size > 0 && m->snapshot.v != m->least.v))
		return bad(err, "LSNs, which contradict each other,");
	if (m->bytes_max > STREAM_FETCH_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "more bytes are asked for than are "
				     "allowed");
	return MBJ_OK;
}

static enum mbj_rc versions_decode(struct mbj_reader *reader,
				   struct stream_message *m,
				   struct mbj_error *err)
{
	struct mbj_bytes magic = mbj_read_bytes(reader, sizeof(hello_magic));

	m->version_lowest = mbj_read_u16(reader);
	m->version_highest = mbj_read_u16(reader);
	if (!mbj_reader_ok(reader) ||
	    memcmp(magic.p, hello_magic, sizeof(hello_magic)) != 0 ||
	    m->version_lowest > m->version_highest)
		return bad(err, "versions");
	return MBJ_OK;
}

static enum mbj_rc replica_decode(struct mbj_reader *reader,
				  struct stream_message *m,
				  struct mbj_error *err)
{
	char text[MBJ_REPLICA_NAME_MAX + 1];
	struct mbj_id id;

	m->lineage = mbj_read_id(reader);
	m->epoch.v = mbj_read_u64(reader);
	m->applied.v = mbj_read_u64(reader);
	m->chain = hash_read(reader);
	m->instance = mbj_read_id(reader);
	m->name = mbj_read_block(reader, MBJ_REPLICA_NAME_MAX);
	if (!mbj_reader_ok(reader))
		return bad(err, "replica");
	/* It is kept, and shown, and no instance of another. */
	if (mbj_id_parse(m->name, &id) ||
	    mbj_text_escape(text, sizeof(text), m->name) != m->name.n ||
	    (m->name.n > 0 && memcmp(text, m->name.p, m->name.n) != 0))
		return bad(err, "name of a replica");
	return MBJ_OK;
}

/*
 * All that is left of a body.  Whoever answers a question judges it, and tells
 * whoever asked what is wrong with it.
 */
static enum mbj_rc survey_decode(struct mbj_reader *reader,
				 enum stream_field field,
				 struct stream_message *m,
				 struct mbj_error *err)
{
	struct mbj_survey_answer answer;

	m->survey = mbj_read_bytes(reader, mbj_reader_left(reader));
	return field == STREAM_HAS_SURVEY
		       ? MBJ_OK
		       : mbj_survey_answer_decode(m->survey, &answer, err);
}

static enum mbj_rc method_decode(struct mbj_reader *reader,
				 struct stream_message *m,
				 struct mbj_error *err)
{
	uint8_t method = mbj_read_u8(reader);

	m->level = mbj_read_u8(reader);
	return mbj_reader_ok(reader) && method == METHOD_ZSTD && m->level > 0 &&
			       m->level <= MBJ_STREAM_LEVEL_MAX
		       ? MBJ_OK
		       : bad(err, "method of packing");
}

static enum mbj_rc left_decode(struct mbj_reader *reader,
			       struct stream_message *m, struct mbj_error *err)
{
	uint8_t is_exact;

	m->left.bytes = mbj_read_u64(reader);
	m->left.bulk = mbj_read_u64(reader);
	is_exact = mbj_read_u8(reader);
	m->left.is_exact = is_exact == 1;
	return mbj_reader_ok(reader) && is_exact <= 1 &&
			       m->left.bulk <= m->left.bytes
		       ? MBJ_OK
		       : bad(err, "bytes that are left");
}

static enum mbj_rc digests_decode(struct mbj_reader *reader,
				  struct stream_message *m,
				  struct mbj_error *err)
{
	m->count = mbj_read_u32(reader);
	if (m->count == 0 || m->count > STREAM_CONTENTS_MAX)
		return bad(err, "number of contents");
	m->contents =
		mbj_read_bytes(reader, (size_t)m->count * STREAM_CONTENT_SIZE);
	return mbj_reader_ok(reader) ? MBJ_OK : bad(err, "contents");
}

enum mbj_rc stream_field_decode(struct mbj_reader *reader,
				enum stream_field field,
				struct stream_message *m, struct mbj_error *err)
{
	switch (field) {
	case STREAM_HAS_VERSIONS:
		return versions_decode(reader, m, err);
	case STREAM_HAS_REPLICA:
		return replica_decode(reader, m, err);
	case STREAM_HAS_SOURCE:
		return source_decode(reader, m, err);
	case STREAM_HAS_WANT:
		return want_decode(reader, m, err);
	case STREAM_HAS_DATA:
		m->data = mbj_read_bytes(reader, mbj_reader_left(reader));
		return m->data.n > 0 ? MBJ_OK : bad(err, "data");
	case STREAM_HAS_END:
		m->count = mbj_read_u32(reader);
		m->size = mbj_read_u64(reader);
		m->end.v = mbj_read_u64(reader);
		return mbj_reader_ok(reader) ? MBJ_OK : bad(err, "end");
	case STREAM_HAS_LEFT:
		return left_decode(reader, m, err);
	case STREAM_HAS_DIGESTS:
		return digests_decode(reader, m, err);
	case STREAM_HAS_ERROR:
		return error_decode(reader, &m->error, err);
	case STREAM_HAS_SNAPSHOT:
		m->snapshot.v = mbj_read_u64(reader);
		m->size = mbj_read_u64(reader);
		return mbj_reader_ok(reader) ? MBJ_OK : bad(err, "snapshot");
	case STREAM_HAS_PART:
		return part_decode(reader, m, err);
	case STREAM_HAS_PAUSE:
		m->paused_ms = mbj_read_u64(reader);
		return mbj_reader_ok(reader) && m->paused_ms > 0 &&
				       m->paused_ms <= MBJ_PAUSE_MS_MAX
			       ? MBJ_OK
			       : bad(err, "pause");
	case STREAM_HAS_RATE:
		m->rate = mbj_read_u64(reader);
		return mbj_reader_ok(reader) && m->rate >= MBJ_STREAM_RATE_MIN
			       ? MBJ_OK
			       : bad(err, "rate");
	case STREAM_HAS_METHOD:
		return method_decode(reader, m, err);
	case STREAM_HAS_SURVEY:
	case STREAM_HAS_SURVEYED:
		return survey_decode(reader, field, m, err);
	case STREAM_HAS_LEVEL:
		m->level = mbj_read_u8(reader);
		return mbj_reader_ok(reader) && m->level <= MBJ_STREAM_LEVEL_MAX
			       ? MBJ_OK
			       : bad(err, "level of packing");
	case STREAM_HAS_NONE:
		break;
	}
	MBJ_UNREACHABLE();
}
