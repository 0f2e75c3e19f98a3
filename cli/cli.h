/*
 * The mbj command: what its verbs share.  Thin: everything that a test
 * without a terminal could not reach is in the library.
 *
 * A verb gets its operands and options parsed, returns an exit status, and
 * says every failure through cli_fail(): one line on standard error that
 * names the input, and for refused edits a JSON document on standard output.
 */
#ifndef MBJ_CLI_H
#define MBJ_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/replay.h>
#include <mbj/store.h>

enum { MBJ_OPERANDS_MAX = 100000 };

/* Exit statuses (DESIGN and the man page list them). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_REFUSED = 3, /* for safety, or not current, or different */
	CLI_PARTIAL = 4, /* something is parked, left out, or not received */
	CLI_LOCKED = 5,
	CLI_CORRUPT = 6,
	CLI_TEMPORARY = 75 /* EX_TEMPFAIL: try again */
};

enum cli_verb_id {
#define MBJ_VERB(name, word, run, operands, min, max, summary, details, \
		 example)                                               \
	CLI_VERB_##name,
#include "verbs.def"
#undef MBJ_VERB
	CLI_VERB_COUNT
};

struct cli_options {
#define MBJ_CLI_TYPE_FLAG   bool
#define MBJ_CLI_TYPE_TEXT   const char *
#define MBJ_CLI_TYPE_NUMBER uint64_t
#define MBJ_CLI_TYPE_COUNT  uint64_t
#define MBJ_OPTION(kind, member, word, letter, metavar, verbs, help) \
	MBJ_CLI_TYPE_##kind member;
#include "options.def"
#undef MBJ_OPTION
	bool is_terminal; /* standard output is one */
};

struct cli_call {
	const struct cli_verb *verb;
	struct cli_options options;
	const char *const *operands;
	size_t operand_count;
};

struct cli_verb {
	enum cli_verb_id id;
	const char *word;
	int (*run)(const struct cli_call *call);
	const char *operands;
	size_t operands_min;
	size_t operands_max;
	const char *summary;
	const char *details;
	const char *example; /* one line for a shell */
};

struct cli_option {
	enum { CLI_FLAG, CLI_TEXT, CLI_NUMBER, CLI_COUNT } kind;
	const char *word;
	char letter;
	const char *metavar;
	uint64_t verbs; /* bit 1 << enum cli_verb_id */
	size_t offset;	/* in struct cli_options */
	const char *help;
};

/* options.c */
const struct cli_verb *cli_verb_get(size_t index); /* NULL past the end */
const struct cli_verb *cli_verb_find(const char *word);
const struct cli_option *cli_option_get(size_t index);
bool cli_option_is_for(const struct cli_option *option,
		       const struct cli_verb *verb);
/*
 * The verb's option of that name, or of that letter where it is not 0: another
 * verb may have one of its own that means something else.  word is without
 * dashes and without "=value".
 */
const struct cli_option *cli_option_find(const struct cli_verb *verb,
					 const char *word, size_t n,
					 char letter);
/*
 * Parse argv into call.  Returns CLI_OK or CLI_USAGE, having said what is
 * wrong.  Operands are a prefix of argv, which is reordered.
 */
int cli_parse(int argc, char **argv, struct cli_call *ret_call);

/* output.c */
/* Say it, return the exit status that belongs to err. */
int cli_complain(const struct cli_call *call, const struct mbj_error *err);
/* And on standard output mbj.error/1, where it was asked for or refused. */
int cli_fail(const struct cli_call *call, const struct mbj_error *err);
int cli_exit_status(const struct mbj_error *err);
/*
 * The role that --role asks for; *role is the one without it.  CLI_USAGE,
 * having said what is wrong.
 */
int cli_role_parse(const struct cli_call *call, enum mbj_store_role *role);
/*
 * --contents, of a store that is to be made in dir; one that is there already
 * must have been made so.  The exit status.
 */
int cli_contents_take(const struct cli_call *call, const char *dir,
		      struct mbj_store_options *options);
/* A line on standard error, escaped for a terminal. */
MBJ_PRINTF(2, 3)
void cli_say(const struct cli_call *call, const char *format, ...);
/* The store has no account of the name given: fill *err, return its code. */
enum mbj_rc cli_no_account(const struct cli_call *call, struct mbj_error *err);
/* An account has no mailbox at this path: likewise. */
enum mbj_rc cli_no_mailbox(const char *path, struct mbj_error *err);
/* Write it all to standard output; CLI_OK, or CLI_FAILED having said why. */
int cli_write(const struct cli_call *call, struct mbj_bytes bytes);
int cli_write_done(const struct cli_call *call, struct mbj_buf *buf);

/* group.c: a group and its primitives, a line each. */
enum mbj_rc cli_group_print(const struct mbj_group *group, struct mbj_buf *out,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* verb_replay.c: what a replay came to, and the exit status of that. */
int cli_replay_report(const struct cli_call *call,
		      const struct mbj_replay_result *result);

/*
 * signals.c: SIGTERM and SIGINT are not taken from now on but can be read;
 * -1, having said why: not to be had.  close(2) it.
 */
int cli_stop_open(const struct cli_call *call);
/* The same, and fd, as soon as that can be read or hangs up. */
int cli_stop_open_with(const struct cli_call *call, int fd);

/* input.c */
/* The whole of a file, or of standard input for "-". */
enum mbj_rc cli_read(const char *path, struct mbj_buf *ret_bytes,
		     struct mbj_error *err) MBJ_MUST_CHECK;

/* One per verb. */
#define MBJ_VERB(name, word, run, operands, min, max, summary, details, \
		 example)                                               \
	int run(const struct cli_call *call);
#include "verbs.def"
#undef MBJ_VERB

#endif
