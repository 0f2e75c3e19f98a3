/*
 * Whether a store is well: what was found, how bad it is and what helps.
 * mbj check says it in a line, the status page in full.
 */
#ifndef MBJ_CLI_VERDICT_H
#define MBJ_CLI_VERDICT_H

#include "status.h"

/* As exit statuses of monitoring plugins. */
enum verdict_level {
	VERDICT_OK,
	VERDICT_WARNING,
	VERDICT_CRITICAL,
	VERDICT_UNKNOWN
};

/*
 * X(name, what to do, command): both may be "".  STORE in a command stands for
 * the store's directory.
 */
#define VERDICT_MAP(X)                                                         \
	X(WELL, "", "")                                                        \
	X(LAG,                                                                 \
	  "It connects again by itself, at least every 30 s. See whether the " \
	  "source's service runs, and whether the network does; then the "     \
	  "reason above.",                                                     \
	  "mbj status STORE")                                                  \
	X(FOLLOWS_NOBODY, "Begin its service with the address of its source.", \
	  "mbj serve STORE --exec 'ssh HOST mbj send SOURCE'")                 \
	X(ENDED,                                                               \
	  "It does not try again by itself. Where the source is the right "    \
	  "one, begin the service anew; where it cannot follow it any more, "  \
	  "make a new replica beside this one.",                               \
	  "mbj clone NEW --exec 'ssh HOST mbj send SOURCE'")                   \
	X(CANNOT,                                                              \
	  "It tries again by itself, at least every 30 s. Where another "      \
	  "store answers at the source's address, mend that; where it is the " \
	  "source and this replica cannot follow it any more, make a new "     \
	  "replica beside this one.",                                          \
	  "mbj clone NEW --exec 'ssh HOST mbj send SOURCE'")                   \
	X(RESYNC, "It goes on by itself, also after a lost connection.",       \
	  "mbj status STORE")                                                  \
	X(TAKING, "It goes on by itself, also after a lost connection.",       \
	  "mbj replicas STORE")                                                \
	X(LOST, "A store that has these contents gives them back.",            \
	  "mbj replay OTHER STORE")                                            \
	X(REPLICAS_BAD, "A file of the register is damaged: see which.",       \
	  "mbj replicas STORE")                                                \
	X(REPLICAS,                                                            \
	  "If this primary dies now, that much is lost. See which replica is " \
	  "away, and begin its service.",                                      \
	  "mbj replicas STORE")                                                \
	X(AWAY,                                                                \
	  "What it lacks keeps the journal from being trimmed. Begin its "     \
	  "service, or have it forgotten where it is gone for good.",          \
	  "mbj replicas STORE")                                                \
	X(PAUSE_BAD,                                                           \
	  "It holds nobody. Ending it removes it; pause again who is to be.",  \
	  "mbj resume STORE")                                                  \
	X(PAUSED,                                                              \
	  "Somebody wanted it; it goes on by itself when that time is over.",  \
	  "mbj resume STORE")                                                  \
	X(PARKED,                                                              \
	  "Their groups wait, all others go on. See why; then retry, or take " \
	  "the account again from the source.",                                \
	  "mbj quarantine STORE list")                                         \
	X(SKIPPED,                                                             \
	  "Groups of them were given up, and each lacks what these were to "   \
	  "bring, until it is taken again from the source.",                   \
	  "mbj quarantine STORE resync ACCOUNT --exec COMMAND")                \
	X(SPACE,                                                               \
	  "Make room on the store's file system. Deleting and expunging goes " \
	  "on meanwhile; all goes on by itself when there is room.",           \
	  "mbj gc STORE")                                                      \
	X(SILENT,                                                              \
	  "Its process is there and says nothing in time. See what it waits "  \
	  "for (a disk?), or begin it anew.",                                  \
	  "systemctl status 'mbj@*'")                                          \
	X(OWNED,                                                               \
	  "See what that process does; it gives the store back at its "        \
	  "end.",                                                              \
	  "mbj status STORE")                                                  \
	X(UNSERVED, "Begin the service.", "mbj serve STORE")                   \
	X(UNREADABLE, "Stop the service and look at all of the store.",        \
	  "mbj fsck STORE")

enum verdict_kind {
#define X(name, what, command) VERDICT_KIND_##name,
	VERDICT_MAP(X)
#undef X
		VERDICT_KIND_COUNT
};

enum { VERDICT_FINDINGS_MAX = 16 };

struct verdict_finding {
	enum verdict_level level;
	enum verdict_kind kind;
	size_t at; /* its text in the verdict's */
	size_t n;
};

struct verdict {
	uint64_t warning_s; /* lag from which it is that */
	uint64_t critical_s;
	enum verdict_level level; /* the worst */
	struct verdict_finding findings[VERDICT_FINDINGS_MAX];
	size_t count;
	struct mbj_buf text; /* what was found, "; " between */
};

const char *verdict_word(enum verdict_level level); /* "OK", "WARNING", .. */
const char *verdict_advice(enum verdict_kind kind);
const char *verdict_command(enum verdict_kind kind);

/* Limits as --warning and --critical say.  Ownership: verdict_done. */
/* false: what is asked for contradicts itself, and that was said. */
bool verdict_options_check(const struct cli_call *call);
void verdict_init(struct verdict *v, const struct cli_options *options);
void verdict_done(struct verdict *v);
/* Judge what cli_status_look found. */
void verdict_judge(struct verdict *v, const struct cli_status *status);
/* It found nothing that could be judged, for why. */
void verdict_fail(struct verdict *v, const struct mbj_error *why);
/*
 * What path leads to could not be looked at.  A service that stopped in order
 * leaves no socket: nothing there is a service that does not run.
 */
void verdict_look_fail(struct verdict *v, const char *path,
		       const struct mbj_error *why);
/* One line, escaped for a terminal and without a bar. */
struct mbj_bytes verdict_text(const struct verdict *v,
			      const struct verdict_finding *finding);
/*
 * "MBJ OK: ... | figures\n", as monitoring plugins write it; status may be
 * NULL.
 */
void verdict_line(const struct verdict *v, const struct cli_status *status,
		  struct mbj_buf *out);

#endif
