/*
 * The note of mbj/applying.h as a store has it.  Private to journal/.
 */
#ifndef MBJ_JOURNAL_APPLYING_H
#define MBJ_JOURNAL_APPLYING_H

#include <mbj/applying.h>

enum { STOPPER_VERSION_SIZE = 32 };

/* Groups, and how many processes have ended in them. */
struct applying_span {
	struct mbj_lsn first; /* 0: none */
	uint32_t count;
	uint32_t deaths;
	bool is_again; /* of one that was set aside */
};

struct stopper {
	struct mbj_lsn lsn; /* 0: none */
	char version[STOPPER_VERSION_SIZE];
};

struct applying {
	struct mbj_file file; /* closed: not there yet */
	bool is_given_up;     /* it cannot be made */
	struct mbj_id boot;   /* of this machine, now */
	struct applying_span now;
	struct applying_span suspect;
	struct stopper stoppers[MBJ_STOPPERS_MAX];
};

#endif
