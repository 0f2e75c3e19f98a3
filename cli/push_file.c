/*
 * The file of a push; see push_file.h.
 *
 * What a line says is done by one function, whether the line is read or has
 * just been written, so that both come to the same.
 */
#include "push_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/imap.h>

/* --------------------------------------------------------------- writing */

/* file->log.line, to the end of the file and to memory. */
static enum mbj_rc append(struct push_file *file, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&file->log.line, err);

	if (rc == MBJ_OK && !file->is_dry)
		rc = push_log_append(&file->log, err);
	if (rc == MBJ_OK && !file->is_dry)
		rc = push_log_sync(&file->log, err);
	if (rc == MBJ_OK)
		rc = push_line_do(file, mbj_buf_view(&file->log.line), err);
	return rc;
}

static void put_mailbox(struct push_log *log, const struct push_record *record)
{
	struct mbj_buf *line = push_line_begin(log, "mailbox");

	push_line_id(line, record->id);
	mbj_buf_format(line, " %" PRIu32 " %" PRIu32, record->uidvalidity,
		       record->uidnext);
	push_line_string(line, record->object);
	push_line_string(line, record->name);
}

static void put_messages(struct push_log *log, struct mbj_id id, uint64_t rev,
			 uint32_t next)
{
	struct mbj_buf *line = push_line_begin(log, "messages");

	push_line_id(line, id);
	mbj_buf_format(line, " %" PRIu64 " %" PRIu32, rev, next);
}

static void put_step(struct push_log *log, const struct push_doubt *step)
{
	static const char *const WORDS[] = {
#define X(name, word) [PUSH_STEP_##name] = (word),
		PUSH_STEP_MAP(X)
#undef X
	};
	struct mbj_buf *line = push_line_begin(log, WORDS[step->kind]);

	push_line_id(line, step->id);
	mbj_buf_format(line, " %" PRIu32, step->uidvalidity);
	push_line_string(line, step->object);
	push_line_string(line, step->from);
	push_line_string(line, step->to);
}

enum mbj_rc push_file_step(struct push_file *file,
			   const struct push_doubt *step, struct mbj_error *err)
{
	MBJ_ASSERT(file->doubt.kind == PUSH_STEP_NONE);
	put_step(&file->log, step);
	return append(file, err);
}

enum mbj_rc push_file_settled(struct push_file *file, struct mbj_error *err)
{
	(void)push_line_begin(&file->log, "settled");
	return append(file, err);
}

enum mbj_rc push_file_mailbox(struct push_file *file,
			      const struct push_record *record,
			      struct mbj_error *err)
{
	put_mailbox(&file->log, record);
	return append(file, err);
}

enum mbj_rc push_file_moved(struct push_file *file, struct mbj_bytes from,
			    struct mbj_bytes to, char delimiter,
			    struct mbj_error *err)
{
	push_line_string(push_line_begin(&file->log, "moved"), from);
	push_line_string(&file->log.line, to);
	push_line_string(&file->log.line,
			 mbj_bytes_make(&delimiter, delimiter == '\0' ? 0 : 1));
	return append(file, err);
}

enum mbj_rc push_file_gone(struct push_file *file, struct mbj_id id,
			   struct mbj_error *err)
{
	push_line_id(push_line_begin(&file->log, "gone"), id);
	return append(file, err);
}

enum mbj_rc push_file_messages(struct push_file *file, struct mbj_id id,
			       uint64_t rev, uint32_t next,
			       struct mbj_error *err)
{
	put_messages(&file->log, id, rev, next);
	return append(file, err);
}

enum mbj_rc push_file_subscribed(struct push_file *file, struct mbj_bytes name,
				 bool is_subscribed, struct mbj_error *err)
{
	push_line_string(push_line_begin(&file->log, is_subscribed
							     ? "subscribed"
							     : "unsubscribed"),
			 name);
	return append(file, err);
}

enum mbj_rc push_file_pushing(struct push_file *file, uint64_t lsn,
			      struct mbj_error *err)
{
	mbj_buf_format(push_line_begin(&file->log, "pushing"), " %" PRIu64,
		       lsn);
	return append(file, err);
}

enum mbj_rc push_file_pushed(struct push_file *file, uint64_t lsn,
			     struct mbj_error *err)
{
	mbj_buf_format(push_line_begin(&file->log, "pushed"), " %" PRIu64, lsn);
	return append(file, err);
}

/* ------------------------------------------------------- opening, closing */

static void put_head(struct push_file *file)
{
	push_line_id(push_line_begin(&file->log, "mbj-push 1"), file->lineage);
	push_line_id(&file->log.line, file->account);
	push_line_string(&file->log.line, file->target);
}

/* All of it, anew. */
static enum mbj_rc rewrite(struct push_file *file, struct mbj_error *err)
{
	struct push_log *log = &file->log;
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, PUSH_LOG_MAX);
	put_head(file);
	push_log_put(log, &out);
	for (size_t i = 0; i < file->count; i++) {
		if (file->records[i].name.n == 0)
			continue;
		put_mailbox(log, &file->records[i]);
		push_log_put(log, &out);
		if (!file->records[i].has_map)
			continue;
		put_messages(log, file->records[i].id, file->records[i].rev,
			     file->records[i].next);
		push_log_put(log, &out);
	}
	for (size_t i = 0; i < file->subscribed.count; i++) {
		push_line_string(push_line_begin(log, "subscribed"),
				 file->subscribed.list[i]);
		push_log_put(log, &out);
	}
	mbj_buf_format(push_line_begin(log, "pushed"), " %" PRIu64, file->lsn);
	push_log_put(log, &out);
	mbj_buf_format(push_line_begin(log, "pushing"), " %" PRIu64,
		       file->pushing);
	push_log_put(log, &out);
	if (file->doubt.kind != PUSH_STEP_NONE) {
		put_step(log, &file->doubt);
		push_log_put(log, &out);
	}
	rc = push_log_replace(log, &out, err);
	mbj_buf_done(&out);
	return rc;
}

/* The first line says whose file it is. */
static enum mbj_rc line_take(void *context, uint64_t number,
			     struct mbj_bytes line, struct mbj_error *err)
{
	struct push_file *file = context;

	if (number > 0)
		return push_line_do(file, line, err);
	put_head(file);
	if (mbj_bytes_equal(line, mbj_buf_view(&file->log.line)))
		return MBJ_OK;
	if (line.n < 9 || memcmp(line.p, "mbj-push ", 9) != 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "it is not the file of a push");
	return mbj_error_set(err, MBJ_EINVALID,
			     "it is the file of another push: of another store "
			     "or account, to another server, or of another "
			     "version");
}

static enum mbj_rc file_load(struct push_file *file, struct mbj_error *err)
{
	enum mbj_rc rc = push_log_read(&file->log, line_take, file, err);

	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc lock_take(struct push_file *file, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX + 8];
	enum mbj_rc rc;

	(void)snprintf(path, sizeof(path), "%s.lock", file->log.path);
	rc = mbj_file_open(mbj_sys_posix(), path, O_RDWR | O_CREAT, &file->lock,
			   err);
	return rc == MBJ_OK ? mbj_file_lock(&file->lock, err) : rc;
}

enum mbj_rc push_file_open(const char *path, bool is_dry, struct mbj_id lineage,
			   struct mbj_id account, struct mbj_bytes target,
			   struct push_file *file, struct mbj_error *err)
{
	enum mbj_rc rc;

	*file = (struct push_file){.is_dry = is_dry,
				   .lineage = lineage,
				   .account = account,
				   .target = target,
				   .lock = MBJ_FILE_CLOSED};
	mbj_table_init(&file->by_id);
	rc = mbj_arena_new((size_t)4 << 30, &file->arena, err);
	if (rc == MBJ_OK)
		rc = push_log_init(&file->log, path, err);
	if (rc == MBJ_OK && !is_dry)
		rc = lock_take(file, err);
	if (rc == MBJ_OK)
		rc = file_load(file, err);
	if (rc < 0 || is_dry)
		return rc;
	return rewrite(file, err);
}

void push_file_close(struct push_file *file)
{
	if (file->arena == NULL)
		return;
	push_log_done(&file->log);
	mbj_file_close(&file->lock);
	mbj_table_done(&file->by_id);
	mbj_free(file->records);
	mbj_free(file->subscribed.list);
	mbj_arena_free(&file->arena);
}
