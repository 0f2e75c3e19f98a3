/*
 * What a line of a push's file says, done in memory; see push_file.h.
 */
#include <string.h>

#include <mbj/imap.h>
#include <mbj/limits.h>

#include "push_file.h"

enum { WORDS_MAX = 6 };

/* ---------------------------------------------------------------- memory */

static uint64_t id_hash(struct mbj_id id)
{
	uint64_t hash;

	memcpy(&hash, id.b, sizeof(hash));
	return hash;
}

struct push_record *push_file_find(const struct push_file *file,
				   struct mbj_id id)
{
	uint64_t hash = id_hash(id);

	for (uint32_t v, at = mbj_table_seek(&file->by_id, hash);
	     mbj_table_next(&file->by_id, hash, &at, &v);) {
		if (mbj_id_equal(file->records[v].id, id))
			return file->records[v].name.n > 0 ? &file->records[v]
							   : NULL;
	}
	return NULL;
}

enum mbj_rc push_text(struct push_file *file, struct mbj_bytes text,
		      struct mbj_bytes *ret_copy, struct mbj_error *err)
{
	return mbj_arena_dup(file->arena, text, ret_copy)
		       ? MBJ_OK
		       : mbj_error_nomem(err);
}

bool push_is_below(struct mbj_bytes name, struct mbj_bytes above,
		   char delimiter)
{
	return delimiter != '\0' && name.n > above.n + 1 &&
	       memcmp(name.p, above.p, above.n) == 0 &&
	       name.p[above.n] == (uint8_t)delimiter;
}

/* Its strings are the arena's already. */
static enum mbj_rc record_set(struct push_file *file,
			      const struct push_record *record,
			      struct mbj_error *err)
{
	struct push_record *old = push_file_find(file, record->id);
	void *records = file->records;
	enum mbj_rc rc;

	if (old != NULL) {
		*old = *record;
		return MBJ_OK;
	}
	rc = mbj_array_reserve(&records, &file->capacity, file->count + 1,
			       sizeof(*file->records),
			       2 * (size_t)MBJ_ACCOUNT_MAILBOXES_MAX, err);
	file->records = records;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&file->by_id, id_hash(record->id),
				   (uint32_t)file->count, err);
	if (rc == MBJ_OK)
		file->records[file->count++] = *record;
	return rc;
}

static void record_drop(struct push_file *file, struct mbj_id id)
{
	struct push_record *record = push_file_find(file, id);

	if (record == NULL)
		return;
	(void)mbj_table_remove(&file->by_id, id_hash(id),
			       (uint32_t)(record - file->records));
	record->name = mbj_bytes_make(NULL, 0);
}

/* All records of that name and of names below it get the other one. */
static enum mbj_rc records_move(struct push_file *file, struct mbj_bytes from,
				struct mbj_bytes to, char delimiter,
				struct mbj_error *err)
{
	for (size_t i = 0; i < file->count; i++) {
		struct mbj_bytes *name = &file->records[i].name;
		uint8_t *fresh;

		if (!mbj_bytes_equal(*name, from) &&
		    !push_is_below(*name, from, delimiter))
			continue;
		fresh = mbj_arena_alloc(file->arena, to.n + name->n - from.n);
		if (fresh == NULL)
			return mbj_error_nomem(err);
		memcpy(fresh, to.p, to.n);
		memcpy(fresh + to.n, name->p + from.n, name->n - from.n);
		*name = mbj_bytes_make(fresh, to.n + name->n - from.n);
	}
	return MBJ_OK;
}

static enum mbj_rc name_set(struct push_file *file, struct mbj_bytes name,
			    bool is_there, struct mbj_error *err)
{
	struct push_names *names = &file->subscribed;
	void *list = names->list;
	enum mbj_rc rc;

	for (size_t i = 0; i < names->count; i++) {
		if (!mbj_bytes_equal(names->list[i], name))
			continue;
		if (!is_there)
			names->list[i] = names->list[--names->count];
		return MBJ_OK;
	}
	if (!is_there)
		return MBJ_OK;
	rc = mbj_array_reserve(&list, &names->capacity, names->count + 1,
			       sizeof(*names->list), MBJ_ACCOUNT_MAILBOXES_MAX,
			       err);
	names->list = list;
	if (rc == MBJ_OK)
		names->list[names->count++] = name;
	return rc;
}

/* ----------------------------------------------------------------- lines */

struct words {
	struct push_file *file;
	struct mbj_imap_token tokens[WORDS_MAX + 1];
	size_t count; /* behind the first one */
	struct mbj_error *err;
};

static bool word_string(const struct words *w, size_t at,
			struct mbj_bytes *ret_text)
{
	struct mbj_buf text;
	bool is_good;

	if (at > w->count || w->tokens[at].kind != MBJ_IMAP_STRING)
		return false;
	mbj_buf_init(&text, PUSH_LINE_MAX);
	mbj_imap_token_put(&w->tokens[at], &text);
	is_good = mbj_buf_ok(&text, NULL) == MBJ_OK &&
		  mbj_arena_dup(w->file->arena, mbj_buf_view(&text), ret_text);
	mbj_buf_done(&text);
	return is_good;
}

static bool word_id(const struct words *w, size_t at, struct mbj_id *ret_id)
{
	return at <= w->count && w->tokens[at].kind == MBJ_IMAP_ATOM &&
	       mbj_id_parse(w->tokens[at].text, ret_id);
}

static bool word_number(const struct words *w, size_t at, uint64_t max,
			uint64_t *ret_number)
{
	uint64_t number = 0;

	if (at > w->count || w->tokens[at].kind != MBJ_IMAP_ATOM ||
	    w->tokens[at].text.n > 20)
		return false;
	for (size_t i = 0; i < w->tokens[at].text.n; i++) {
		uint64_t digit = (uint64_t)w->tokens[at].text.p[i] - '0';

		if (digit > 9 || number > (max - digit) / 10)
			return false;
		number = 10 * number + digit;
	}
	*ret_number = number;
	return true;
}

static bool line_is(const struct words *w, const char *word, size_t count)
{
	return w->count == count && mbj_imap_token_is(&w->tokens[0], word);
}

static enum mbj_rc bad(struct words *w)
{
	return mbj_error_set(w->err, MBJ_ECORRUPT,
			     "a line is not as it is to be");
}

static enum mbj_rc do_mailbox(struct words *w)
{
	struct push_record record;
	uint64_t uidvalidity, uidnext;

	if (!word_id(w, 1, &record.id) ||
	    !word_number(w, 2, UINT32_MAX, &uidvalidity) ||
	    !word_number(w, 3, UINT32_MAX, &uidnext) ||
	    !word_string(w, 4, &record.object) ||
	    !word_string(w, 5, &record.name) || record.name.n == 0)
		return bad(w);
	record.uidvalidity = (uint32_t)uidvalidity;
	record.uidnext = (uint32_t)uidnext;
	if (w->file->doubt.kind == PUSH_STEP_CREATE &&
	    mbj_id_equal(w->file->doubt.id, record.id))
		w->file->doubt.kind = PUSH_STEP_NONE;
	return record_set(w->file, &record, w->err);
}

static enum mbj_rc do_step(struct words *w, enum push_step_kind kind)
{
	struct push_doubt step = {.kind = kind};
	uint64_t uidvalidity;

	if (!word_id(w, 1, &step.id) ||
	    !word_number(w, 2, UINT32_MAX, &uidvalidity) ||
	    !word_string(w, 3, &step.object) ||
	    !word_string(w, 4, &step.from) || !word_string(w, 5, &step.to))
		return bad(w);
	step.uidvalidity = (uint32_t)uidvalidity;
	w->file->doubt = step;
	return MBJ_OK;
}

static enum mbj_rc do_moved(struct words *w)
{
	struct mbj_bytes from, to, delimiter;

	if (!word_string(w, 1, &from) || !word_string(w, 2, &to) ||
	    !word_string(w, 3, &delimiter) || from.n == 0 || to.n == 0 ||
	    delimiter.n > 1)
		return bad(w);
	w->file->doubt.kind = PUSH_STEP_NONE;
	return records_move(w->file, from, to,
			    delimiter.n == 0 ? '\0' : (char)delimiter.p[0],
			    w->err);
}

static enum mbj_rc do_line(struct words *w)
{
	static const char *const STEPS[] = {
#define X(name, word) [PUSH_STEP_##name] = (word),
		PUSH_STEP_MAP(X)
#undef X
	};
	struct push_file *file = w->file;
	struct mbj_bytes name;
	struct mbj_id id;

	if (line_is(w, "mailbox", 5))
		return do_mailbox(w);
	if (line_is(w, "moved", 3))
		return do_moved(w);
	for (int i = PUSH_STEP_NONE + 1; i <= PUSH_STEP_DELETE; i++) {
		if (line_is(w, STEPS[i], 5))
			return do_step(w, (enum push_step_kind)i);
	}
	if (line_is(w, "gone", 1) && word_id(w, 1, &id)) {
		if (file->doubt.kind == PUSH_STEP_DELETE &&
		    mbj_id_equal(file->doubt.id, id))
			file->doubt.kind = PUSH_STEP_NONE;
		record_drop(file, id);
		return MBJ_OK;
	}
	if (line_is(w, "settled", 0)) {
		file->doubt.kind = PUSH_STEP_NONE;
		return MBJ_OK;
	}
	if (line_is(w, "subscribed", 1) && word_string(w, 1, &name))
		return name_set(file, name, true, w->err);
	if (line_is(w, "unsubscribed", 1) && word_string(w, 1, &name))
		return name_set(file, name, false, w->err);
	if (line_is(w, "pushing", 1) &&
	    word_number(w, 1, UINT64_MAX, &file->pushing))
		return MBJ_OK;
	if (line_is(w, "pushed", 1) &&
	    word_number(w, 1, UINT64_MAX, &file->lsn))
		return MBJ_OK;
	return bad(w);
}

static bool words_split(struct words *w, struct mbj_bytes line)
{
	w->count = 0;
	for (size_t i = 0; i <= WORDS_MAX; i++) {
		w->tokens[i] = mbj_imap_token_next(&line);
		if (w->tokens[i].kind == MBJ_IMAP_END)
			return i > 0;
		if (w->tokens[i].kind != MBJ_IMAP_ATOM &&
		    w->tokens[i].kind != MBJ_IMAP_STRING)
			return false;
		w->count = i;
	}
	return false;
}

enum mbj_rc push_line_do(struct push_file *file, struct mbj_bytes line,
			 struct mbj_error *err)
{
	struct words w = {.file = file, .err = err};

	return words_split(&w, line) ? do_line(&w) : bad(&w);
}
