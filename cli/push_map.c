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

#include "push_map_line.h"

enum {
	VERSION = 2,
	SLACK = 1000 /* lines that may be over before it is written anew */
};

uint64_t push_map_blob(const struct mbj_hash *blob)
{
	uint64_t value = 0;

	for (size_t i = 0; i < sizeof(value); i++)
		value = value << 8 | blob->b[i];
	return value;
}

static uint64_t hash_of(const struct push_map *map, struct mbj_bytes bytes)
{
	struct mbj_sip_key key;

	memcpy(&key, map->of.account.b, sizeof(key));
	return mbj_siphash(key, bytes);
}

uint64_t push_map_head(const struct push_map *map, struct mbj_bytes bytes)
{
	if (bytes.n > PUSH_HEAD_MAX)
		bytes.n = PUSH_HEAD_MAX;
	return hash_of(map, bytes);
}

uint64_t push_map_sent(const struct push_map *map, struct mbj_bytes flags)
{
	uint64_t hash = hash_of(map, flags);

	return hash == 0 ? 1 : hash;
}

uint32_t push_map_size(uint64_t size)
{
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* ---------------------------------------------------------------- memory */

/* What an entry is found by, among those that are over and among others. */
static uint32_t key_of(const struct push_entry *entry)
{
	return entry->is_over ? entry->there : entry->uid;
}

/* A table looks at the upper half of a hash. */
static uint64_t key_hash(uint32_t key, bool is_over)
{
	return (uint64_t)((key ^ (uint32_t)is_over << 31) *
			  UINT32_C(2654435761))
	       << 32;
}

static bool find(const struct push_map *map, uint32_t key, bool is_over,
		 uint32_t *ret_at)
{
	uint64_t hash = key_hash(key, is_over);

	for (uint32_t v, at = mbj_table_seek(&map->by_uid, hash);
	     mbj_table_next(&map->by_uid, hash, &at, &v);) {
		if (map->entries[v].is_over != is_over ||
		    key_of(&map->entries[v]) != key)
			continue;
		*ret_at = v;
		return true;
	}
	return false;
}

static struct push_entry *find_entry(const struct push_map *map, uint32_t key,
				     bool is_over)
{
	uint32_t at;

	return find(map, key, is_over, &at) ? &map->entries[at] : NULL;
}

struct push_entry *push_map_find(const struct push_map *map, uint32_t uid)
{
	return find_entry(map, uid, false);
}

static enum mbj_rc entry_set(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err)
{
	struct push_entry *old = find_entry(map, key_of(entry), entry->is_over);
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
		rc = mbj_table_add(&map->by_uid,
				   key_hash(key_of(entry), entry->is_over),
				   (uint32_t)map->count, err);
	if (rc < 0)
		return rc;
	map->entries[map->count++] = *entry;
	map->live++;
	return MBJ_OK;
}

static void entry_drop(struct push_map *map, uint32_t key, bool is_over)
{
	uint32_t at;

	if (!find(map, key, is_over, &at))
		return;
	(void)mbj_table_remove(&map->by_uid, key_hash(key, is_over), at);
	map->live -= !map->entries[at].is_marked;
	map->marked -= map->entries[at].is_marked;
	map->entries[at].uid = 0;
	if (map->last.uid == key && !is_over)
		map->last.uid = 0;
}

/* ----------------------------------------------------------------- lines */

static void next_raise(struct push_map *map, uint32_t next)
{
	if (next > map->next)
		map->next = next;
}

static enum mbj_rc do_message(struct push_map *map,
			      const struct push_entry *entry,
			      struct mbj_error *err)
{
	if (!entry->is_over &&
	    (map->attempt.uid == entry->uid || map->last.uid == entry->uid))
		map->last = *entry;
	/* One that is over is new where it settles one. */
	if (map->attempt.is_over == entry->is_over &&
	    (entry->is_over || map->attempt.uid == entry->uid))
		map->attempt.uid = 0;
	/* UINT32_MAX is no UID of anything that there can be a next one of. */
	if (entry->there < UINT32_MAX)
		next_raise(map, entry->there + 1);
	return entry_set(map, entry, err);
}

static enum mbj_rc do_marked(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err)
{
	bool is_asked = map->asked == map->count;
	struct push_entry now = *entry;
	enum mbj_rc rc;

	now.uid = now.there;
	entry_drop(map, entry->uid, false);
	entry_drop(map, entry->there, true);
	rc = entry_set(map, &now, err);
	if (rc < 0)
		return rc;
	map->live--;
	map->marked++;
	if (is_asked)
		map->asked = map->count;
	return MBJ_OK;
}

static void do_short(struct push_map *map, const struct push_entry *entry)
{
	struct push_entry *old = push_map_find(map, entry->uid);

	if (old == NULL)
		return;
	old->modseq = entry->modseq;
	old->sent = entry->sent;
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

/* Lines of a number, and "asked". */
static bool number_do(struct push_map *map, const struct push_words *words)
{
	uint32_t number;

	if (push_words_are(words, "asked", 0)) {
		map->asked = map->count;
		return true;
	}
	if (words->count != 1 || !push_word_u32(words, 1, &number))
		return false;
	if (push_words_are(words, "next", 1))
		next_raise(map, number);
	else if (push_words_are(words, "left", 1))
		map->attempt.uid = 0;
	else if (push_words_are(words, "gone", 1))
		entry_drop(map, number, false);
	else if (push_words_are(words, "ended", 1))
		entry_drop(map, number, true);
	else
		return false;
	return true;
}

static enum mbj_rc line_do(struct push_map *map, struct mbj_bytes line,
			   struct mbj_error *err)
{
	struct push_attempt attempt = {.uid = 0};
	struct push_entry entry = {.uid = 0};
	struct push_words words;

	if (!push_words_split(&words, line))
		words.count = 0;
	if (push_words_are(&words, "append", 13) &&
	    push_map_attempt_parse(&words, &attempt) &&
	    push_map_entry_parse(&words, 8, &entry))
		return do_attempt(map, &attempt, &entry, err);
	if (push_words_are(&words, "message", 6) &&
	    push_map_entry_parse(&words, 1, &entry) && entry.uid != 0)
		return do_message(map, &entry, err);
	if (push_words_are(&words, "over", 4) &&
	    push_map_over_parse(&words, &entry))
		return do_message(map, &entry, err);
	if (push_map_marked_parse(&words, &entry))
		return do_marked(map, &entry, err);
	if (push_words_are(&words, "doubt", 7) &&
	    push_map_attempt_parse(&words, &attempt)) {
		entry.uid = 0;
		attempt.is_over = true;
		return do_attempt(map, &attempt, &entry, err);
	}
	if (push_map_short_parse(&words, &entry)) {
		do_short(map, &entry);
		return MBJ_OK;
	}
	if (number_do(map, &words))
		return MBJ_OK;
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

enum mbj_rc push_map_attempt(struct push_map *map,
			     const struct push_attempt *attempt,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	push_map_put_attempt(&map->log, attempt, &map->last);
	rc = append(map, err);
	return rc == MBJ_OK ? push_map_sync(map, err) : rc;
}

enum mbj_rc push_map_message(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err)
{
	const struct push_entry now = *entry;
	enum mbj_rc rc;

	push_map_put_entry(&map->log, &now);
	rc = append(map, err);
	if (rc < 0 || now.sent == 0)
		return rc;
	push_map_put_short(&map->log, &now);
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

enum mbj_rc push_map_gone(struct push_map *map, const struct push_entry *entry,
			  struct mbj_error *err)
{
	return uid_append(map, entry->is_over ? "ended" : "gone", key_of(entry),
			  err);
}

enum mbj_rc push_map_marked(struct push_map *map,
			    const struct push_entry *entry,
			    struct mbj_error *err)
{
	push_map_put_marked(&map->log, entry);
	return append(map, err);
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

static void put_head(struct push_map *map, uint32_t version)
{
	struct mbj_buf *line = push_line_begin(&map->log, "mbj-push-messages");

	mbj_buf_format(line, " %" PRIu32, version);
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
	(void)push_word_u32(&words, 1, &map->version);
	(void)push_word_u32(&words, 5, &map->uidvalidity);
	if (map->version < 1 || map->version > VERSION)
		map->version = VERSION;
	put_head(map, map->version);
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
	put_head(map, VERSION);
	push_log_put(&map->log, &out);
	for (size_t i = 0; i <= map->count; i++) {
		if (i == map->asked) {
			(void)push_line_begin(&map->log, "asked");
			push_log_put(&map->log, &out);
		}
		if (i == map->count || map->entries[i].uid == 0)
			continue;
		push_map_put_entry(&map->log, &map->entries[i]);
		push_log_put(&map->log, &out);
		if (map->entries[i].sent == 0)
			continue;
		push_map_put_short(&map->log, &map->entries[i]);
		push_log_put(&map->log, &out);
	}
	if (map->attempt.uid != 0) {
		push_map_put_attempt(&map->log, &map->attempt, &map->last);
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
			       map->version < VERSION ||
			       map->log.count >
				       2 * (map->live + map->marked) + SLACK
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

/* In memory: which entry is found by what is another thing by then. */
static enum mbj_rc entries_end(struct push_map *map, uint64_t *ret_unknown,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	uint32_t at;

	*ret_unknown = 0;
	mbj_table_done(&map->by_uid);
	mbj_table_init(&map->by_uid);
	for (size_t i = 0; rc == MBJ_OK && i < map->count; i++) {
		struct push_entry *entry = &map->entries[i];

		if (entry->uid == 0)
			continue;
		*ret_unknown += entry->there == 0;
		if (entry->there == 0 || find(map, entry->there, true, &at)) {
			entry->uid = 0;
			map->live--;
			continue;
		}
		entry->is_over = true;
		entry->uid = entry->there;
		rc = mbj_table_add(&map->by_uid, key_hash(entry->there, true),
				   (uint32_t)i, err);
	}
	map->attempt.is_over = map->attempt.uid != 0;
	map->last.uid = 0;
	return rc;
}

enum mbj_rc push_map_hand(struct push_map *map, const char *path,
			  struct mbj_id mailbox, uint32_t uidvalidity,
			  uint64_t *ret_unknown, struct mbj_error *err)
{
	enum mbj_rc rc = entries_end(map, ret_unknown, err);

	map->of.mailbox = mailbox;
	map->of.uidvalidity = map->uidvalidity = uidvalidity;
	if (rc < 0 || path == NULL)
		return rc;
	map->is_dry = false;
	push_log_done(&map->log);
	rc = push_log_init(&map->log, path, err);
	return rc == MBJ_OK ? rewrite(map, err) : rc;
}

void push_map_close(struct push_map *map)
{
	push_log_done(&map->log);
	mbj_table_done(&map->by_uid);
	mbj_free(map->entries);
	*map = (struct push_map){.count = 0};
}
