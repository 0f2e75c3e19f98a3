/*
 * Which message is which; see push_map.h.
 *
 * What a line says is done by one function, whether the line is read or has
 * just been written, so that both come to the same.
 */
#include "push_map.h"

#include <inttypes.h>
#include <string.h>

#include <mbj/codec.h>

enum { SLACK = 1000 /* lines that may be over before it is written anew */ };

uint64_t push_map_blob(const struct mbj_hash *blob)
{
	uint64_t value = 0;

	for (size_t i = 0; i < sizeof(value); i++)
		value = value << 8 | blob->b[i];
	return value;
}

uint64_t push_map_head(const struct push_map *map, struct mbj_bytes bytes)
{
	struct mbj_sip_key key;

	memcpy(&key, map->of.account.b, sizeof(key));
	if (bytes.n > PUSH_HEAD_MAX)
		bytes.n = PUSH_HEAD_MAX;
	return mbj_siphash(key, bytes);
}

uint32_t push_map_size(uint64_t size)
{
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* ---------------------------------------------------------------- memory */

/* A table looks at the upper half of a hash. */
static uint64_t uid_hash(uint32_t uid)
{
	return (uint64_t)(uid * UINT32_C(2654435761)) << 32;
}

static bool find(const struct push_map *map, uint32_t uid, uint32_t *ret_at)
{
	uint64_t hash = uid_hash(uid);

	for (uint32_t v, at = mbj_table_seek(&map->by_uid, hash);
	     mbj_table_next(&map->by_uid, hash, &at, &v);) {
		if (map->entries[v].uid != uid)
			continue;
		*ret_at = v;
		return true;
	}
	return false;
}

struct push_entry *push_map_find(const struct push_map *map, uint32_t uid)
{
	uint32_t at;

	return find(map, uid, &at) ? &map->entries[at] : NULL;
}

static enum mbj_rc entry_set(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err)
{
	struct push_entry *old = push_map_find(map, entry->uid);
	void *entries = map->entries;
	enum mbj_rc rc;

	if (old != NULL) {
		bool is_seen = old->is_seen;

		*old = *entry;
		old->is_seen = is_seen;
		return MBJ_OK;
	}
	rc = mbj_array_reserve(&entries, &map->capacity, map->count + 1,
			       sizeof(*map->entries), UINT32_MAX / 2, err);
	map->entries = entries;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&map->by_uid, uid_hash(entry->uid),
				   (uint32_t)map->count, err);
	if (rc < 0)
		return rc;
	map->entries[map->count++] = *entry;
	map->live++;
	return MBJ_OK;
}

static void entry_drop(struct push_map *map, uint32_t uid)
{
	uint32_t at;

	if (!find(map, uid, &at))
		return;
	(void)mbj_table_remove(&map->by_uid, uid_hash(uid), at);
	map->entries[at].uid = 0;
	map->live--;
	if (map->last.uid == uid)
		map->last.uid = 0;
}

/* ----------------------------------------------------------------- lines */

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

static bool attempt_parse(const struct push_words *words,
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

/* UID, UID there, MODSEQ, BLOB, SIZE and HEAD, from that word on. */
static bool entry_parse(const struct push_words *words, size_t at,
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

static void next_raise(struct push_map *map, uint32_t next)
{
	if (next > map->next)
		map->next = next;
}

static enum mbj_rc do_message(struct push_map *map,
			      const struct push_entry *entry,
			      struct mbj_error *err)
{
	if (map->attempt.uid == entry->uid || map->last.uid == entry->uid)
		map->last = *entry;
	if (map->attempt.uid == entry->uid)
		map->attempt.uid = 0;
	/* UINT32_MAX is no UID of anything that there can be a next one of. */
	if (entry->there < UINT32_MAX)
		next_raise(map, entry->there + 1);
	return entry_set(map, entry, err);
}

/* Its last one is there already, unless the power was cut in between. */
static enum mbj_rc do_attempt(struct push_map *map,
			      const struct push_attempt *attempt,
			      const struct push_entry *last,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (last->uid != 0 && push_map_find(map, last->uid) == NULL)
		rc = do_message(map, last, err);
	map->attempt = *attempt;
	map->last.uid = 0;
	next_raise(map, attempt->uidnext);
	return rc;
}

static enum mbj_rc line_do(struct push_map *map, struct mbj_bytes line,
			   struct mbj_error *err)
{
	struct push_attempt attempt;
	struct push_entry entry;
	struct push_words words;
	uint32_t uid;

	if (!push_words_split(&words, line))
		words.count = 0;
	if (push_words_are(&words, "append", 13) &&
	    attempt_parse(&words, &attempt) && entry_parse(&words, 8, &entry))
		return do_attempt(map, &attempt, &entry, err);
	if (push_words_are(&words, "message", 6) &&
	    entry_parse(&words, 1, &entry) && entry.uid != 0)
		return do_message(map, &entry, err);
	if (push_words_are(&words, "next", 1) &&
	    push_word_u32(&words, 1, &uid)) {
		next_raise(map, uid);
		return MBJ_OK;
	}
	if (push_words_are(&words, "asked", 0)) {
		map->asked = map->count;
		return MBJ_OK;
	}
	if (push_words_are(&words, "left", 1) &&
	    push_word_u32(&words, 1, &uid)) {
		map->attempt.uid = 0;
		return MBJ_OK;
	}
	if (push_words_are(&words, "gone", 1) &&
	    push_word_u32(&words, 1, &uid)) {
		entry_drop(map, uid);
		return MBJ_OK;
	}
	return mbj_error_set(err, MBJ_ECORRUPT, "a line is not as it is to be");
}

static enum mbj_rc append(struct push_map *map, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&map->log.line, err);

	if (rc == MBJ_OK && !map->is_dry)
		rc = push_log_append(&map->log, err);
	return rc == MBJ_OK ? line_do(map, mbj_buf_view(&map->log.line), err)
			    : rc;
}

static void put_entry(struct mbj_buf *line, const struct push_entry *entry)
{
	mbj_buf_format(line,
		       " %" PRIu32 " %" PRIu32 " %" PRIu64 " %016" PRIx64
		       " %" PRIu32 " %016" PRIx64,
		       entry->uid, entry->there, entry->modseq, entry->blob,
		       entry->size, entry->head);
}

static void put_attempt(struct push_map *map,
			const struct push_attempt *attempt)
{
	struct mbj_buf *line = push_line_begin(&map->log, "append");

	mbj_buf_format(line,
		       " %" PRIu32 " %" PRIu32 " %" PRIu64 " %016" PRIx64
		       " %" PRIu64,
		       attempt->uid, attempt->uidnext, attempt->modseq,
		       attempt->blob, attempt->size);
	push_line_hash(line, &attempt->digest);
	mbj_buf_format(line, " %016" PRIx64, attempt->head);
	put_entry(line, &map->last);
}

static void put_message(struct push_map *map, const struct push_entry *entry)
{
	put_entry(push_line_begin(&map->log, "message"), entry);
}

enum mbj_rc push_map_attempt(struct push_map *map,
			     const struct push_attempt *attempt,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	put_attempt(map, attempt);
	rc = append(map, err);
	return rc == MBJ_OK ? push_map_sync(map, err) : rc;
}

enum mbj_rc push_map_message(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err)
{
	put_message(map, entry);
	return append(map, err);
}

static enum mbj_rc uid_append(struct push_map *map, const char *word,
			      uint32_t uid, struct mbj_error *err)
{
	mbj_buf_format(push_line_begin(&map->log, word), " %" PRIu32, uid);
	return append(map, err);
}

enum mbj_rc push_map_left(struct push_map *map, struct mbj_error *err)
{
	return uid_append(map, "left", map->attempt.uid, err);
}

enum mbj_rc push_map_gone(struct push_map *map, uint32_t uid,
			  struct mbj_error *err)
{
	return uid_append(map, "gone", uid, err);
}

enum mbj_rc push_map_asked(struct push_map *map, struct mbj_error *err)
{
	(void)push_line_begin(&map->log, "asked");
	return append(map, err);
}

enum mbj_rc push_map_sync(struct push_map *map, struct mbj_error *err)
{
	return map->is_dry ? MBJ_OK : push_log_sync(&map->log, err);
}

/* ------------------------------------------------------- opening, closing */

static void put_head(struct push_map *map)
{
	struct mbj_buf *line =
		push_line_begin(&map->log, "mbj-push-messages 1");

	push_line_id(line, map->of.lineage);
	push_line_id(line, map->of.account);
	push_line_id(line, map->of.mailbox);
	mbj_buf_format(line, " %" PRIu32 " %" PRIu32, map->uidvalidity,
		       map->of.there);
	push_line_string(line, map->of.target);
}

/* The first line, where it is not as it would be now. */
static enum mbj_rc head_judge(const struct push_map *map,
			      const struct push_words *words,
			      struct mbj_error *err)
{
	const struct push_map_of *of = &map->of;
	struct mbj_id lineage, account, mailbox;
	uint32_t there;

	if (!push_words_are(words, "mbj-push-messages", 7) ||
	    !push_word_id(words, 2, &lineage) ||
	    !push_word_id(words, 3, &account) ||
	    !push_word_id(words, 4, &mailbox) ||
	    !push_word_u32(words, 5, &(uint32_t){0}) ||
	    !push_word_u32(words, 6, &there))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "it is not the file of the messages of a "
				     "push");
	if (mbj_id_equal(lineage, of->lineage) &&
	    mbj_id_equal(account, of->account) &&
	    mbj_id_equal(mailbox, of->mailbox) && there != of->there)
		return mbj_error_set(err, MBJ_ECONFLICT,
				     "its UIDVALIDITY at the server is %" PRIu32
				     ", and was %" PRIu32
				     " when its messages were pushed",
				     of->there, there);
	return mbj_error_set(err, MBJ_EINVALID,
			     "it is the file of another push, or of another "
			     "version");
}

static enum mbj_rc line_take(void *context, uint64_t number,
			     struct mbj_bytes line, struct mbj_error *err)
{
	struct push_map *map = context;
	struct push_words words;

	if (number > 0)
		return line_do(map, line, err);
	if (!push_words_split(&words, line))
		words.count = 0;
	(void)push_word_u32(&words, 5, &map->uidvalidity);
	put_head(map);
	if (mbj_bytes_equal(line, mbj_buf_view(&map->log.line)))
		return MBJ_OK;
	return head_judge(map, &words, err);
}

/* Is it one of those that are not on disk until an append is? */
static bool line_behind(void *context, struct mbj_bytes line)
{
	static const char *const ENDS[] = {"mbj-push-messages", "next"};
	struct push_map *map = context;
	struct push_words words;
	struct mbj_error err;

	if (map->is_behind || !push_words_split(&words, line))
		return false;
	for (size_t i = 0; i < sizeof(ENDS) / sizeof(*ENDS); i++) {
		if (mbj_imap_token_is(&words.tokens[0], ENDS[i]))
			return false;
	}
	if (!mbj_imap_token_is(&words.tokens[0], "append"))
		return true;
	map->is_behind = true;
	return line_do(map, line, &err) == MBJ_OK;
}

static enum mbj_rc rewrite(struct push_map *map, struct mbj_error *err)
{
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, PUSH_LOG_MAX);
	map->log.count = 0;
	put_head(map);
	push_log_put(&map->log, &out);
	for (size_t i = 0; i <= map->count; i++) {
		if (i == map->asked) {
			(void)push_line_begin(&map->log, "asked");
			push_log_put(&map->log, &out);
		}
		if (i == map->count || map->entries[i].uid == 0)
			continue;
		put_message(map, &map->entries[i]);
		push_log_put(&map->log, &out);
	}
	if (map->attempt.uid != 0) {
		put_attempt(map, &map->attempt);
		push_log_put(&map->log, &out);
	}
	mbj_buf_format(push_line_begin(&map->log, "next"), " %" PRIu32,
		       map->next);
	push_log_put(&map->log, &out);
	rc = push_log_replace(&map->log, &out, err);
	mbj_buf_done(&out);
	return rc;
}

/* Nobody is to append again what the file says is there. */
static enum mbj_rc new_judge(struct push_map *map, enum mbj_rc rc,
			     struct mbj_error *err)
{
	if (rc == MBJ_OK && (map->live > 0 || map->attempt.uid != 0))
		return mbj_error_set(
			err, MBJ_ECORRUPT,
			"%s has %zu messages of a mailbox that the push's file "
			"knows nothing of: that file was lost or is an old "
			"one; put it back, or remove this one, and all of them "
			"are appended again",
			map->log.path, map->live);
	return rc == MBJ_ENOTFOUND || rc == MBJ_ECONFLICT || rc == MBJ_EINVALID
		       ? MBJ_OK
		       : rc;
}

static enum mbj_rc old_judge(const struct push_map *map, struct mbj_error *err)
{
	return map->next >= map->of.next
		       ? MBJ_OK
		       : mbj_error_set(err, MBJ_ECORRUPT,
				       "%s was cut, or is an old one: messages "
				       "were pushed that it does not have",
				       map->log.path);
}

enum mbj_rc push_map_open(const char *path, const struct push_map_of *of,
			  enum push_map_kind kind, bool is_dry,
			  struct push_map *map, struct mbj_error *err)
{
	enum mbj_rc rc;

	*map = (struct push_map){.of = *of, .is_dry = is_dry};
	mbj_table_init(&map->by_uid);
	rc = push_log_init(&map->log, path, err);
	map->log.behind = line_behind;
	if (rc == MBJ_OK && kind != PUSH_MAP_OVER)
		rc = push_log_read(&map->log, line_take, map, err);
	if (kind != PUSH_MAP_OLD)
		map->uidvalidity = of->uidvalidity;
	if (kind == PUSH_MAP_NEW)
		rc = new_judge(map, rc, err);
	else if (rc == MBJ_OK && kind == PUSH_MAP_OLD)
		rc = old_judge(map, err);
	if (rc < 0 || is_dry)
		return rc;
	return kind != PUSH_MAP_OLD || map->log.is_torn ||
			       map->log.count > 2 * map->live + SLACK
		       ? rewrite(map, err)
		       : push_log_open(&map->log, err);
}

bool push_map_is_renewed(const struct push_map *map)
{
	return map->of.uidvalidity != 0 &&
	       map->uidvalidity != map->of.uidvalidity;
}

enum mbj_rc push_map_renew(struct push_map *map, struct mbj_error *err)
{
	map->uidvalidity = map->of.uidvalidity;
	return map->is_dry ? MBJ_OK : rewrite(map, err);
}

void push_map_close(struct push_map *map)
{
	push_log_done(&map->log);
	mbj_table_done(&map->by_uid);
	mbj_free(map->entries);
	*map = (struct push_map){.count = 0};
}
