/*
 * Lines with checksums; see push_log.h.
 */
#include "push_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <mbj/hash.h>

enum {
	SUM_DIGITS = 8,
	PIECE = 65536,
};

static enum mbj_rc path_split(struct push_log *log, const char *path,
			      struct mbj_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	if (strlen(path) + sizeof(".lock") > sizeof(log->path))
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the path is too long: %s", path);
	memcpy(log->path, path, strlen(path) + 1);
	log->name = log->path + (slash == NULL ? 0 : n + 1);
	memcpy(log->dir,
	       slash == NULL ? "."
	       : n == 0	     ? "/"
			     : path,
	       slash == NULL || n == 0 ? 1 : n);
	log->dir[slash == NULL || n == 0 ? 1 : n] = '\0';
	if (log->name[0] == '\0')
		return mbj_error_set(err, MBJ_EINVALID, "it names no file: %s",
				     path);
	return MBJ_OK;
}

enum mbj_rc push_log_init(struct push_log *log, const char *path,
			  struct mbj_error *err)
{
	*log = (struct push_log){.file = MBJ_FILE_CLOSED};
	mbj_buf_init(&log->line, PUSH_LINE_MAX);
	mbj_buf_init(&log->out, PUSH_LINE_MAX + SUM_DIGITS + 2);
	return path_split(log, path, err);
}

void push_log_done(struct push_log *log)
{
	if (log->line.max == 0)
		return;
	mbj_file_close(&log->file);
	mbj_buf_done(&log->line);
	mbj_buf_done(&log->out);
}

/* --------------------------------------------------------------- reading */

static void sum_print(struct mbj_bytes line, char text[SUM_DIGITS + 2])
{
	(void)snprintf(text, SUM_DIGITS + 2, "%08" PRIx32 " ",
		       mbj_crc32c(0, line));
}

/* A file that is being read: what is not taken yet. */
struct reading {
	struct push_log *log;
	push_log_line *take;
	void *context;
	struct mbj_buf rest;
	bool is_bad; /* a line was: it is the last, or behind knows better */
};

static enum mbj_rc bad_say(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ECORRUPT, "a line's checksum is wrong");
}

/* The line without its checksum, if that is right. */
static bool text_split(struct mbj_bytes text, struct mbj_bytes *ret_line)
{
	char sum[SUM_DIGITS + 2];

	if (text.n <= SUM_DIGITS + 1)
		return false;
	*ret_line = mbj_bytes_make(text.p + SUM_DIGITS + 1,
				   text.n - SUM_DIGITS - 1);
	sum_print(*ret_line, sum);
	return memcmp(sum, text.p, SUM_DIGITS + 1) == 0;
}

static enum mbj_rc line_take(struct reading *r, struct mbj_bytes text,
			     struct mbj_error *err)
{
	struct mbj_bytes line;
	enum mbj_rc rc;

	if (r->is_bad && r->log->behind == NULL)
		return bad_say(err);
	if (!text_split(text, &line)) {
		/* Its parts may come to the disk in any order. */
		r->is_bad = true;
		return MBJ_OK;
	}
	if (r->is_bad)
		return r->log->behind(r->context, line) ? MBJ_OK : bad_say(err);
	rc = r->take(r->context, r->log->count, line, err);
	if (rc == MBJ_OK) {
		r->log->count++;
		r->log->size += text.n + 1;
	}
	return rc;
}

static enum mbj_rc lines_take(struct reading *r, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&r->rest, err);
	size_t at = 0;

	while (rc == MBJ_OK && at < r->rest.n) {
		const uint8_t *begin = r->rest.p + at;
		const uint8_t *end = memchr(begin, '\n', r->rest.n - at);

		if (end == NULL)
			break;
		rc = line_take(r, mbj_bytes_make(begin, (size_t)(end - begin)),
			       err);
		at += (size_t)(end - begin) + 1;
	}
	if (rc < 0)
		return rc;
	memmove(r->rest.p, r->rest.p + at, r->rest.n - at);
	r->rest.n -= at;
	if (r->rest.n <= PUSH_LINE_MAX + SUM_DIGITS + 1)
		return MBJ_OK;
	if (r->log->behind == NULL)
		return mbj_error_set(err, MBJ_ECORRUPT, "a line is too long");
	/* Pages that did not come to the disk; what ends the line is bad. */
	r->is_bad = true;
	mbj_buf_clear(&r->rest);
	return MBJ_OK;
}

static enum mbj_rc all_take(struct reading *r, struct mbj_file *file,
			    struct mbj_error *err)
{
	uint8_t *piece = mbj_alloc(PIECE);
	enum mbj_rc rc = MBJ_OK;
	uint64_t at = 0;
	size_t n = PIECE;

	if (piece == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && n == PIECE) {
		rc = mbj_file_read(file, at, piece, PIECE, &n, err);
		if (rc < 0)
			break;
		at += n;
		mbj_buf_put(&r->rest, piece, n);
		rc = lines_take(r, err);
	}
	mbj_free(piece);
	if (rc == MBJ_OK && r->log->count == 0)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "it is not the file of a push");
	r->log->is_torn = r->is_bad || r->rest.n > 0;
	return rc;
}

enum mbj_rc push_log_read(struct push_log *log, push_log_line *take,
			  void *context, struct mbj_error *err)
{
	struct reading r = {.log = log, .take = take, .context = context};
	struct mbj_file file = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	log->size = log->count = 0;
	rc = mbj_file_open(mbj_sys_posix(), log->path, O_RDONLY, &file, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&r.rest, PUSH_LINE_MAX + SUM_DIGITS + 2 + PIECE);
	rc = all_take(&r, &file, err);
	if (rc < 0)
		rc = mbj_error_prefix(err, rc, "%s, line %" PRIu64, log->path,
				      log->count + 1);
	mbj_buf_done(&r.rest);
	mbj_file_close(&file);
	return rc;
}

/* --------------------------------------------------------------- writing */

void push_log_put(struct push_log *log, struct mbj_buf *out)
{
	char sum[SUM_DIGITS + 2];

	if (log->line.failed < 0)
		out->failed = log->line.failed;
	sum_print(mbj_buf_view(&log->line), sum);
	mbj_buf_put_str(out, sum);
	mbj_buf_put_bytes(out, mbj_buf_view(&log->line));
	mbj_buf_put_str(out, "\n");
	log->count++;
}

enum mbj_rc push_log_replace(struct push_log *log, const struct mbj_buf *out,
			     struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(out, err);

	mbj_file_close(&log->file);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(mbj_sys_posix(), log->dir, log->name,
				      mbj_buf_view(out), err);
	if (rc < 0)
		return rc;
	log->size = out->n;
	log->is_torn = false;
	return push_log_open(log, err);
}

enum mbj_rc push_log_open(struct push_log *log, struct mbj_error *err)
{
	return mbj_file_open(mbj_sys_posix(), log->path, O_RDWR, &log->file,
			     err);
}

enum mbj_rc push_log_append(struct push_log *log, struct mbj_error *err)
{
	enum mbj_rc rc;

	mbj_buf_clear(&log->out);
	push_log_put(log, &log->out);
	rc = mbj_buf_ok(&log->out, err);
	if (rc == MBJ_OK)
		rc = mbj_file_write(&log->file, log->size, log->out.p,
				    log->out.n, err);
	if (rc == MBJ_OK)
		log->size += log->out.n;
	return rc;
}

enum mbj_rc push_log_sync(struct push_log *log, struct mbj_error *err)
{
	return mbj_file_sync(&log->file, err);
}
