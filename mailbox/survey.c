/*
 * Questions and answers of a survey, as bytes; see mbj/survey.h.
 *
 * Threads: pure functions.
 */
#include <mbj/survey.h>

#include <mbj/check.h>

enum { REASON_MAX = MBJ_SURVEY_TEXT_MAX };

/* Flags of an answer. */
enum {
	IS_THERE = 1,
	IS_PARKED = 2,
	IS_WHOLE = 4,
	IS_SKIPPED = 8,
	FLAGS_ALL = 15
};

/* A section, and how many bytes its keys have. */
struct section {
	const char *name;
	uint8_t number;
	size_t least;
	size_t most;
};

_Static_assert((int)MBJ_SURVEY_PLACE_MAX >=
		       1 + MBJ_ID_SIZE + 1 + MBJ_ATTR_NAME_MAX,
	       "an attribute has a place");

static enum mbj_rc bad(struct mbj_error *err, const char *what)
{
	return mbj_error_set(err, MBJ_ECORRUPT, "a survey's %s cannot be read",
			     what);
}

/* What keys a section has; NULL: there is none of that number. */
static const struct section *section_find(uint8_t number)
{
	static const struct section sections[] = {
#define X(name, number, least, most) {#name, number, least, most},
		MBJ_SURVEY_SECTION_MAP(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++)
		if (sections[i].number == number)
			return &sections[i];
	return NULL;
}

bool mbj_survey_place_is_good(struct mbj_bytes place)
{
	const struct section *section =
		place.n > 0 ? section_find(place.p[0]) : NULL;

	return section != NULL && place.n - 1 >= section->least &&
	       place.n - 1 <= section->most;
}

/* One that a question names; empty: none. */
static enum mbj_rc place_check(struct mbj_bytes place, struct mbj_error *err)
{
	const struct section *section;

	if (place.n == 0 || mbj_survey_place_is_good(place))
		return MBJ_OK;
	section = section_find(place.p[0]);
	if (section == NULL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a survey asks for a place in section %u, "
				     "which there is not",
				     place.p[0]);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "a survey asks for a place that no record has: a "
			     "key of %zu bytes in section %s, where they have "
			     "%zu to %zu",
			     place.n - 1, section->name, section->least,
			     section->most);
}

static enum mbj_rc places_check(const struct mbj_survey_question *q,
				struct mbj_error *err)
{
	enum mbj_rc rc = place_check(q->from, err);

	if (rc == MBJ_OK)
		rc = place_check(q->until, err);
	if (rc == MBJ_OK && q->kind == MBJ_SURVEY_SHOW && q->from.n == 0)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "a survey asks to show no place");
	if (rc == MBJ_OK && q->kind == MBJ_SURVEY_LIST &&
	    (q->from.n > 0 || q->until.n > 0))
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "a survey's list of accounts has a place: "
				   "it goes on behind an account");
	return rc;
}

static bool is_each(const struct mbj_survey_question *q)
{
	return q->kind == MBJ_SURVEY_EACH || q->kind == MBJ_SURVEY_LIST;
}

void mbj_survey_question_encode(struct mbj_buf *buf,
				const struct mbj_survey_question *question)
{
	mbj_buf_put_u8(buf, (uint8_t)question->kind);
	mbj_buf_put_id(buf, question->account);
	mbj_buf_put_block(buf, question->from);
	mbj_buf_put_block(buf, question->until);
	mbj_buf_put_u32(buf, question->limit);
}

enum mbj_rc mbj_survey_question_decode(struct mbj_bytes bytes,
				       struct mbj_survey_question *ret_question,
				       struct mbj_error *err)
{
	struct mbj_survey_question q = {.limit = 0};
	struct mbj_reader reader;
	uint8_t kind;
	enum mbj_rc rc;

	mbj_reader_init(&reader, bytes);
	kind = mbj_read_u8(&reader);
	q.account = mbj_read_id(&reader);
	q.from = mbj_read_block(&reader, MBJ_SURVEY_PLACE_MAX);
	q.until = mbj_read_block(&reader, MBJ_SURVEY_PLACE_MAX);
	q.limit = mbj_read_u32(&reader);
	if (!mbj_reader_is_spent(&reader) || kind < MBJ_SURVEY_LIST ||
	    kind > MBJ_SURVEY_SHOW)
		return bad(err, "question");
	q.kind = (enum mbj_survey_kind)kind;
	rc = places_check(&q, err);
	if (rc < 0)
		return rc;
	if (q.limit == 0 || q.limit > MBJ_SURVEY_LIMIT_MAX ||
	    (is_each(&q) && q.limit > MBJ_SURVEY_EACH_MAX))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a survey asks for %lu records at once",
				     (unsigned long)q.limit);
	*ret_question = q;
	return MBJ_OK;
}

/* --------------------------------------------------------------- answers */

static void digest_put(struct mbj_buf *buf, const struct mbj_digest *digest)
{
	uint8_t bytes[MBJ_DIGEST_SIZE];

	mbj_digest_encode(digest, bytes);
	mbj_buf_put(buf, bytes, sizeof(bytes));
}

static struct mbj_digest digest_read(struct mbj_reader *reader)
{
	struct mbj_bytes bytes = mbj_read_bytes(reader, MBJ_DIGEST_SIZE);
	struct mbj_digest digest = {{0}};

	if (bytes.n == MBJ_DIGEST_SIZE)
		mbj_digest_decode(bytes.p, &digest);
	return digest;
}

void mbj_survey_entry_put(struct mbj_buf *entries,
			  const struct mbj_survey_entry *entry)
{
	mbj_buf_put_block(entries, entry->place);
	digest_put(entries, &entry->digest);
}

bool mbj_survey_entry_next(struct mbj_bytes *entries,
			   struct mbj_survey_entry *ret_entry)
{
	struct mbj_reader reader;

	if (entries->n == 0)
		return false;
	mbj_reader_init(&reader, *entries);
	ret_entry->place = mbj_read_block(&reader, MBJ_SURVEY_PLACE_MAX);
	ret_entry->digest = digest_read(&reader);
	MBJ_ASSERT(mbj_reader_ok(&reader));
	entries->p += reader.offset;
	entries->n -= reader.offset;
	return true;
}

/* As many as it says, each behind the one before. */
static bool entries_are_good(struct mbj_bytes entries, uint32_t count)
{
	struct mbj_bytes before = {NULL, 0};
	struct mbj_reader reader;

	mbj_reader_init(&reader, entries);
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_bytes place =
			mbj_read_block(&reader, MBJ_SURVEY_PLACE_MAX);

		(void)digest_read(&reader);
		if (!mbj_reader_ok(&reader) || place.n == 0 ||
		    (i > 0 && mbj_bytes_compare(before, place) >= 0))
			return false;
		before = place;
	}
	return mbj_reader_is_spent(&reader);
}

void mbj_survey_answer_encode(struct mbj_buf *buf,
			      const struct mbj_survey_answer *answer)
{
	const struct mbj_watermark *w = &answer->watermark;

	mbj_buf_put_u64(buf, w->lsn.v);
	mbj_buf_put_u64(buf, w->epoch.v);
	mbj_buf_put(buf, w->chain.b, sizeof(w->chain.b));
	mbj_buf_put_u8(buf, (uint8_t)((answer->is_there ? IS_THERE : 0) |
				      (answer->is_parked ? IS_PARKED : 0) |
				      (answer->is_whole ? IS_WHOLE : 0) |
				      (answer->is_skipped ? IS_SKIPPED : 0)));
	mbj_buf_put_u64(buf, answer->lsn.v);
	digest_put(buf, &answer->digest);
	mbj_buf_put_block(buf, answer->name);
	mbj_buf_put_block(buf, answer->reason);
	mbj_buf_put_u32(buf, answer->count);
	mbj_buf_put_block(buf, answer->last);
	digest_put(buf, &answer->records);
	digest_put(buf, &answer->messages);
	digest_put(buf, &answer->contents);
	mbj_buf_put_u32(buf, answer->entry_count);
	mbj_buf_put_block(buf, answer->entries);
	mbj_buf_put_block(buf, answer->path);
	mbj_buf_put_block(buf, answer->text);
}

/* What is shown is as our own texts are: escaped already. */
static bool text_is_good(struct mbj_bytes text)
{
	char again[MBJ_SURVEY_TEXT_MAX + 1];

	return text.n == 0 ||
	       (mbj_text_escape(again, sizeof(again), text) == text.n &&
		memcmp(again, text.p, text.n) == 0);
}

static bool texts_are_good(const struct mbj_survey_answer *a)
{
	return text_is_good(a->reason) && text_is_good(a->path) &&
	       text_is_good(a->text);
}

static void numbers_decode(struct mbj_reader *reader,
			   struct mbj_survey_answer *a)
{
	struct mbj_bytes chain;
	uint8_t flags;

	a->watermark.lsn.v = mbj_read_u64(reader);
	a->watermark.epoch.v = mbj_read_u64(reader);
	chain = mbj_read_bytes(reader, MBJ_HASH_SIZE);
	if (chain.n == MBJ_HASH_SIZE)
		memcpy(a->watermark.chain.b, chain.p, MBJ_HASH_SIZE);
	flags = mbj_read_u8(reader);
	if (flags > FLAGS_ALL)
		reader->failed = true;
	a->is_there = (flags & IS_THERE) != 0;
	a->is_parked = (flags & IS_PARKED) != 0;
	a->is_whole = (flags & IS_WHOLE) != 0;
	a->is_skipped = (flags & IS_SKIPPED) != 0;
	a->lsn.v = mbj_read_u64(reader);
	a->digest = digest_read(reader);
}

enum mbj_rc mbj_survey_answer_decode(struct mbj_bytes bytes,
				     struct mbj_survey_answer *ret_answer,
				     struct mbj_error *err)
{
	struct mbj_survey_answer a = {.count = 0};
	struct mbj_reader reader;

	mbj_reader_init(&reader, bytes);
	numbers_decode(&reader, &a);
	a.name = mbj_read_block(&reader, MBJ_ACCOUNT_NAME_MAX);
	a.reason = mbj_read_block(&reader, REASON_MAX);
	a.count = mbj_read_u32(&reader);
	a.last = mbj_read_block(&reader, MBJ_SURVEY_PLACE_MAX);
	a.records = digest_read(&reader);
	a.messages = digest_read(&reader);
	a.contents = digest_read(&reader);
	a.entry_count = mbj_read_u32(&reader);
	a.entries = mbj_read_block(&reader, MBJ_SURVEY_ANSWER_MAX);
	a.path = mbj_read_block(&reader, MBJ_SURVEY_TEXT_MAX);
	a.text = mbj_read_block(&reader, MBJ_SURVEY_TEXT_MAX);
	if (!mbj_reader_is_spent(&reader))
		return bad(err, "answer");
	/* Whoever asks goes on from last: there is one, or it is over. */
	if (a.last.n > 0 ? section_find(a.last.p[0]) == NULL : !a.is_whole)
		return bad(err, "last place");
	if (!entries_are_good(a.entries, a.entry_count))
		return bad(err, "entries");
	if (!texts_are_good(&a))
		return bad(err, "texts");
	*ret_answer = a;
	return MBJ_OK;
}
