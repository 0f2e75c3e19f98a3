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

enum {
	FILE_MAX = 1 << 30,
	SUM_DIGITS = 8,
};

/* --------------------------------------------------------------- writing */

static void sum_print(struct mbj_bytes line, char text[SUM_DIGITS + 2])
{
	(void)snprintf(text, SUM_DIGITS + 2, "%08" PRIx32 " ",
		       mbj_crc32c(0, line));
}

/* The line as it is to be in the file, behind what out has. */
static void line_put(struct mbj_buf *out, const struct mbj_buf *line)
{
	char sum[SUM_DIGITS + 2];

	sum_print(mbj_buf_view(line), sum);
	mbj_buf_put_str(out, sum);
	mbj_buf_put_bytes(out, mbj_buf_view(line));
	mbj_buf_put_str(out, "\n");
}

/* file->line, to the end of the file and to memory. */
static enum mbj_rc append(struct push_file *file, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&file->line, err);
	struct mbj_buf out;

	mbj_buf_init(&out, PUSH_LINE_MAX + SUM_DIGITS + 2);
	if (rc == MBJ_OK) {
		line_put(&out, &file->line);
		rc = mbj_buf_ok(&out, err);
	}
	if (rc == MBJ_OK && !file->is_dry) {
		rc = mbj_file_write(&file->file, file->size, out.p, out.n, err);
		if (rc == MBJ_OK)
			rc = mbj_file_sync(&file->file, err);
		file->size += out.n;
	}
	mbj_buf_done(&out);
	if (rc == MBJ_OK)
		rc = push_line_do(file, mbj_buf_view(&file->line), err);
	return rc;
}

static void put_string(struct mbj_buf *line, struct mbj_bytes text)
{
	mbj_buf_put_str(line, " ");
	mbj_imap_quote_put(line, text);
}

static void put_id(struct mbj_buf *line, struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	mbj_buf_format(line, " %s", text);
}

static struct mbj_buf *line_begin(struct mbj_buf *line, const char *word)
{
	mbj_buf_clear(line);
	mbj_buf_put_str(line, word);
	return line;
}

static void put_mailbox(struct mbj_buf *line, const struct push_record *record)
{
	put_id(line_begin(line, "mailbox"), record->id);
	mbj_buf_format(line, " %" PRIu32 " %" PRIu32, record->uidvalidity,
		       record->uidnext);
	put_string(line, record->object);
	put_string(line, record->name);
}

static void put_step(struct mbj_buf *line, const struct push_doubt *step)
{
	static const char *const WORDS[] = {
#define X(name, word) [PUSH_STEP_##name] = (word),
		PUSH_STEP_MAP(X)
#undef X
	};

	put_id(line_begin(line, WORDS[step->kind]), step->id);
	mbj_buf_format(line, " %" PRIu32, step->uidvalidity);
	put_string(line, step->object);
	put_string(line, step->from);
	put_string(line, step->to);
}

enum mbj_rc push_file_step(struct push_file *file,
			   const struct push_doubt *step, struct mbj_error *err)
{
	MBJ_ASSERT(file->doubt.kind == PUSH_STEP_NONE);
	put_step(&file->line, step);
	return append(file, err);
}

enum mbj_rc push_file_settled(struct push_file *file, struct mbj_error *err)
{
	(void)line_begin(&file->line, "settled");
	return append(file, err);
}

enum mbj_rc push_file_mailbox(struct push_file *file,
			      const struct push_record *record,
			      struct mbj_error *err)
{
	put_mailbox(&file->line, record);
	return append(file, err);
}

enum mbj_rc push_file_moved(struct push_file *file, struct mbj_bytes from,
			    struct mbj_bytes to, char delimiter,
			    struct mbj_error *err)
{
	put_string(line_begin(&file->line, "moved"), from);
	put_string(&file->line, to);
	put_string(&file->line,
		   mbj_bytes_make(&delimiter, delimiter == '\0' ? 0 : 1));
	return append(file, err);
}

enum mbj_rc push_file_gone(struct push_file *file, struct mbj_id id,
			   struct mbj_error *err)
{
	put_id(line_begin(&file->line, "gone"), id);
	return append(file, err);
}

enum mbj_rc push_file_subscribed(struct push_file *file, struct mbj_bytes name,
				 bool is_subscribed, struct mbj_error *err)
{
	put_string(line_begin(&file->line,
			      is_subscribed ? "subscribed" : "unsubscribed"),
		   name);
	return append(file, err);
}

enum mbj_rc push_file_pushing(struct push_file *file, uint64_t lsn,
			      struct mbj_error *err)
{
	mbj_buf_format(line_begin(&file->line, "pushing"), " %" PRIu64, lsn);
	return append(file, err);
}

enum mbj_rc push_file_pushed(struct push_file *file, uint64_t lsn,
			     struct mbj_error *err)
{
	mbj_buf_format(line_begin(&file->line, "pushed"), " %" PRIu64, lsn);
	return append(file, err);
}

/* ------------------------------------------------------- opening, closing */

static void put_head(struct push_file *file)
{
	put_id(line_begin(&file->line, "mbj-push 1"), file->lineage);
	put_id(&file->line, file->account);
	put_string(&file->line, file->target);
}

/* All of it, anew. */
static enum mbj_rc rewrite(struct push_file *file, struct mbj_error *err)
{
	struct mbj_buf *line = &file->line;
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, FILE_MAX);
	put_head(file);
	line_put(&out, line);
	for (size_t i = 0; i < file->count; i++) {
		if (file->records[i].name.n == 0)
			continue;
		put_mailbox(line, &file->records[i]);
		line_put(&out, line);
	}
	for (size_t i = 0; i < file->subscribed.count; i++) {
		put_string(line_begin(line, "subscribed"),
			   file->subscribed.list[i]);
		line_put(&out, line);
	}
	mbj_buf_format(line_begin(line, "pushed"), " %" PRIu64, file->lsn);
	line_put(&out, line);
	mbj_buf_format(line_begin(line, "pushing"), " %" PRIu64, file->pushing);
	line_put(&out, line);
	if (file->doubt.kind != PUSH_STEP_NONE) {
		put_step(line, &file->doubt);
		line_put(&out, line);
	}
	rc = mbj_buf_ok(&out, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(mbj_sys_posix(), file->dir, file->name,
				      mbj_buf_view(&out), err);
	file->size = out.n;
	mbj_buf_done(&out);
	return rc;
}

/* The first line, which says whose file it is. */
static enum mbj_rc head_check(struct push_file *file, struct mbj_bytes line,
			      struct mbj_error *err)
{
	put_head(file);
	if (mbj_bytes_equal(line, mbj_buf_view(&file->line)))
		return MBJ_OK;
	if (line.n < 9 || memcmp(line.p, "mbj-push ", 9) != 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "it is not the file of a push");
	return mbj_error_set(err, MBJ_EINVALID,
			     "it is the file of another push: of another store "
			     "or account, to another server, or of another "
			     "version");
}

static enum mbj_rc text_do(struct push_file *file, struct mbj_bytes text,
			   size_t *ret_lines, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	size_t lines = 0;

	while (rc == MBJ_OK && text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		char sum[SUM_DIGITS + 2];
		struct mbj_bytes line;
		size_t n;

		if (end == NULL)
			break; /* a kill: it was never announced as written */
		n = (size_t)(end - text.p);
		if (n <= SUM_DIGITS + 1)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "a line is too short");
		line = mbj_bytes_make(text.p + SUM_DIGITS + 1,
				      n - SUM_DIGITS - 1);
		sum_print(line, sum);
		if (memcmp(sum, text.p, SUM_DIGITS + 1) != 0) {
			/* Its parts may come to the disk in any order. */
			if (n + 1 == text.n && lines > 0)
				break;
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "a line's checksum is wrong");
		}
		rc = lines++ == 0 ? head_check(file, line, err)
				  : push_line_do(file, line, err);
		text.p += n + 1;
		text.n -= n + 1;
	}
	if (rc == MBJ_OK && lines == 0)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "it is not the file of a push");
	*ret_lines = lines;
	return rc;
}

static enum mbj_rc file_load(struct push_file *file, struct mbj_error *err)
{
	struct mbj_buf text;
	size_t lines = 0;
	enum mbj_rc rc;

	mbj_buf_init(&text, FILE_MAX);
	rc = mbj_file_load(mbj_sys_posix(), file->path, FILE_MAX, &text, err);
	if (rc == MBJ_OK) {
		rc = text_do(file, mbj_buf_view(&text), &lines, err);
		if (rc < 0)
			rc = mbj_error_prefix(err, rc, "%s, line %zu",
					      file->path, lines + 1);
	} else if (rc == MBJ_ENOTFOUND) {
		rc = MBJ_OK;
	}
	mbj_buf_done(&text);
	return rc;
}

static enum mbj_rc path_split(struct push_file *file, const char *path,
			      struct mbj_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	if (strlen(path) + sizeof(".lock") > sizeof(file->path))
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the path is too long: %s", path);
	memcpy(file->path, path, strlen(path) + 1);
	file->name = file->path + (slash == NULL ? 0 : n + 1);
	memcpy(file->dir,
	       slash == NULL ? "."
	       : n == 0	     ? "/"
			     : path,
	       slash == NULL || n == 0 ? 1 : n);
	file->dir[slash == NULL || n == 0 ? 1 : n] = '\0';
	if (file->name[0] == '\0')
		return mbj_error_set(err, MBJ_EINVALID, "it names no file: %s",
				     path);
	return MBJ_OK;
}

static enum mbj_rc lock_take(struct push_file *file, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX + 8];
	enum mbj_rc rc;

	(void)snprintf(path, sizeof(path), "%s.lock", file->path);
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
				   .file = MBJ_FILE_CLOSED,
				   .lock = MBJ_FILE_CLOSED};
	mbj_buf_init(&file->line, PUSH_LINE_MAX);
	mbj_table_init(&file->by_id);
	rc = mbj_arena_new((size_t)4 << 30, &file->arena, err);
	if (rc == MBJ_OK)
		rc = path_split(file, path, err);
	if (rc == MBJ_OK && !is_dry)
		rc = lock_take(file, err);
	if (rc == MBJ_OK)
		rc = file_load(file, err);
	if (rc < 0 || is_dry)
		return rc;
	rc = rewrite(file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(mbj_sys_posix(), file->path, O_RDWR,
				   &file->file, err);
	return rc;
}

void push_file_close(struct push_file *file)
{
	if (file->arena == NULL)
		return;
	mbj_file_close(&file->file);
	mbj_file_close(&file->lock);
	mbj_table_done(&file->by_id);
	mbj_buf_done(&file->line);
	mbj_free(file->records);
	mbj_free(file->subscribed.list);
	mbj_arena_free(&file->arena);
}
