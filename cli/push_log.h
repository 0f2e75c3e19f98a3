/*
 * A file of lines, each with a checksum in front (CRC32C, eight digits), that
 * grows at its end and is written anew when it is opened for that.
 *
 * A last line that is not whole was never announced as written: a kill does
 * that.  Any other that is damaged makes the file MBJ_ECORRUPT, but where it is
 * known that lines are written without waiting for the disk.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_PUSH_LOG_H
#define MBJ_CLI_PUSH_LOG_H

#include <mbj/imap.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

enum {
	PUSH_LINE_MAX = 1 << 20,
	PUSH_LOG_MAX = 1 << 30, /* bytes of the file, written anew */
	PUSH_WORDS_MAX = 13,	/* behind the first one */
};

/*
 * A line that is right behind one that is not: could the power have gone before
 * either was on disk?  Then both are over.
 */
typedef bool push_log_behind(void *context, struct mbj_bytes line);

struct push_log {
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	const char *name; /* the last part of path */
	struct mbj_file file;
	uint64_t size;	     /* of the lines that are whole */
	uint64_t count;	     /* of them */
	bool is_torn;	     /* something is behind them */
	struct mbj_buf line; /* the next one, without its checksum */
	struct mbj_buf out;
	push_log_behind *behind; /* NULL: nothing is */
};

/* Nothing is opened.  MBJ_EINVALID, MBJ_ELIMIT. */
enum mbj_rc push_log_init(struct push_log *log, const char *path,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that is zero. */
void push_log_done(struct push_log *log);

/* A line without its checksum; number counts from 0. */
typedef enum mbj_rc push_log_line(void *context, uint64_t number,
				  struct mbj_bytes line, struct mbj_error *err);
/*
 * All lines that are there, one after the other.
 * Returns: MBJ_ENOTFOUND; errors name the file and the line.
 */
enum mbj_rc push_log_read(struct push_log *log, push_log_line *take,
			  void *context, struct mbj_error *err) MBJ_MUST_CHECK;

/* log->line, behind what out has; counted. */
void push_log_put(struct push_log *log, struct mbj_buf *out);
/* out becomes all of the file, on disk, and is opened for more. */
enum mbj_rc push_log_replace(struct push_log *log, const struct mbj_buf *out,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* What was read, and is not torn, is opened for more. */
enum mbj_rc push_log_open(struct push_log *log,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* log->line, at the end. */
enum mbj_rc push_log_append(struct push_log *log,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* All lines are on disk. */
enum mbj_rc push_log_sync(struct push_log *log,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------------------- words */

struct mbj_buf *push_line_begin(struct push_log *log, const char *word);
void push_line_string(struct mbj_buf *line, struct mbj_bytes text);
void push_line_id(struct mbj_buf *line, struct mbj_id id);
void push_line_hash(struct mbj_buf *line, const struct mbj_hash *hash);

struct push_words {
	struct mbj_imap_token tokens[PUSH_WORDS_MAX + 1];
	size_t count; /* behind the first one */
};

/* Atoms and strings, borrowed from the line.  False: other things. */
bool push_words_split(struct push_words *words, struct mbj_bytes line);
bool push_words_are(const struct push_words *words, const char *word,
		    size_t count);
/* A copy in the arena. */
bool push_word_string(const struct push_words *words, size_t at,
		      struct mbj_arena *arena, struct mbj_bytes *ret_text);
bool push_word_id(const struct push_words *words, size_t at,
		  struct mbj_id *ret_id);
bool push_word_hash(const struct push_words *words, size_t at,
		    struct mbj_hash *ret_hash);
bool push_word_number(const struct push_words *words, size_t at, uint64_t max,
		      uint64_t *ret_number);
bool push_word_u32(const struct push_words *words, size_t at,
		   uint32_t *ret_number);

#endif
