/*
 * What a line of a push's file says, done in memory; see push_file.h.
 */
#include <string.h>

#include <mbj/imap.h>
#include <mbj/limits.h>

#include "push_file.h"

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

struct lines {
	struct push_file *file;
	struct push_words words;
	struct mbj_error *err;
};

static enum mbj_rc bad(struct lines *w)
{
	return mbj_error_set(w->err, MBJ_ECORRUPT,
			     "a line is not as it is to be");
}

static enum mbj_rc do_mailbox(struct lines *w)
{
	const struct push_record *old;
	struct push_record record = {.has_map = false};
	uint64_t uidvalidity, uidnext;

	if (!push_word_id(&w->words, 1, &record.id) ||
	    !push_word_number(&w->words, 2, UINT32_MAX, &uidvalidity) ||
	    !push_word_number(&w->words, 3, UINT32_MAX, &uidnext) ||
	    !push_word_string(&w->words, 4, w->file->arena, &record.object) ||
	    !push_word_string(&w->words, 5, w->file->arena, &record.name) ||
	    record.name.n == 0)
		return bad(w);
	record.uidvalidity = (uint32_t)uidvalidity;
	record.uidnext = (uint32_t)uidnext;
	old = push_file_find(w->file, record.id);
	record.has_map = old != NULL && old->has_map;
	record.next = old == NULL ? 0 : old->next;
	record.rev = 0;
	if (old != NULL && old->uidvalidity == record.uidvalidity)
		record.rev = old->rev;
	if (w->file->doubt.kind == PUSH_STEP_CREATE &&
	    mbj_id_equal(w->file->doubt.id, record.id))
		w->file->doubt.kind = PUSH_STEP_NONE;
	return record_set(w->file, &record, w->err);
}

static enum mbj_rc do_messages(struct lines *w)
{
	struct push_record *record;
	struct mbj_id id;
	uint32_t next;
	uint64_t rev;

	if (!push_word_id(&w->words, 1, &id) ||
	    !push_word_number(&w->words, 2, UINT64_MAX, &rev) ||
	    !push_word_u32(&w->words, 3, &next))
		return bad(w);
	record = push_file_find(w->file, id);
	if (record == NULL)
		return bad(w);
	record->has_map = true;
	record->rev = rev;
	record->next = next;
	return MBJ_OK;
}

static enum mbj_rc do_step(struct lines *w, enum push_step_kind kind)
{
	struct push_doubt step = {.kind = kind};
	uint64_t uidvalidity;

	if (!push_word_id(&w->words, 1, &step.id) ||
	    !push_word_number(&w->words, 2, UINT32_MAX, &uidvalidity) ||
	    !push_word_string(&w->words, 3, w->file->arena, &step.object) ||
	    !push_word_string(&w->words, 4, w->file->arena, &step.from) ||
	    !push_word_string(&w->words, 5, w->file->arena, &step.to))
		return bad(w);
	step.uidvalidity = (uint32_t)uidvalidity;
	w->file->doubt = step;
	return MBJ_OK;
}

static enum mbj_rc do_moved(struct lines *w)
{
	struct mbj_bytes from, to, delimiter;

	if (!push_word_string(&w->words, 1, w->file->arena, &from) ||
	    !push_word_string(&w->words, 2, w->file->arena, &to) ||
	    !push_word_string(&w->words, 3, w->file->arena, &delimiter) ||
	    from.n == 0 || to.n == 0 || delimiter.n > 1)
		return bad(w);
	w->file->doubt.kind = PUSH_STEP_NONE;
	return records_move(w->file, from, to,
			    delimiter.n == 0 ? '\0' : (char)delimiter.p[0],
			    w->err);
}

static enum mbj_rc do_line(struct lines *w)
{
	static const char *const STEPS[] = {
#define X(name, word) [PUSH_STEP_##name] = (word),
		PUSH_STEP_MAP(X)
#undef X
	};
	struct push_file *file = w->file;
	struct mbj_bytes name;
	struct mbj_id id;

	if (push_words_are(&w->words, "mailbox", 5))
		return do_mailbox(w);
	if (push_words_are(&w->words, "messages", 3))
		return do_messages(w);
	if (push_words_are(&w->words, "moved", 3))
		return do_moved(w);
	for (int i = PUSH_STEP_NONE + 1; i <= PUSH_STEP_DELETE; i++) {
		if (push_words_are(&w->words, STEPS[i], 5))
			return do_step(w, (enum push_step_kind)i);
	}
	if (push_words_are(&w->words, "gone", 1) &&
	    push_word_id(&w->words, 1, &id)) {
		if (file->doubt.kind == PUSH_STEP_DELETE &&
		    mbj_id_equal(file->doubt.id, id))
			file->doubt.kind = PUSH_STEP_NONE;
		record_drop(file, id);
		return MBJ_OK;
	}
	if (push_words_are(&w->words, "settled", 0)) {
		file->doubt.kind = PUSH_STEP_NONE;
		return MBJ_OK;
	}
	if (push_words_are(&w->words, "subscribed", 1) &&
	    push_word_string(&w->words, 1, w->file->arena, &name))
		return name_set(file, name, true, w->err);
	if (push_words_are(&w->words, "unsubscribed", 1) &&
	    push_word_string(&w->words, 1, w->file->arena, &name))
		return name_set(file, name, false, w->err);
	if (push_words_are(&w->words, "pushing", 1) &&
	    push_word_number(&w->words, 1, UINT64_MAX, &file->pushing))
		return MBJ_OK;
	if (push_words_are(&w->words, "pushed", 1) &&
	    push_word_number(&w->words, 1, UINT64_MAX, &file->lsn))
		return MBJ_OK;
	return bad(w);
}

enum mbj_rc push_line_do(struct push_file *file, struct mbj_bytes line,
			 struct mbj_error *err)
{
	struct lines w = {.file = file, .err = err};

	return push_words_split(&w.words, line) ? do_line(&w) : bad(&w);
}
