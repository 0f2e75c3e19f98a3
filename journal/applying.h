/*
 * The note of mbj/applying.h as a store has it.  Private to journal/.
 */
#ifndef MBJ_JOURNAL_APPLYING_H
#define MBJ_JOURNAL_APPLYING_H

#include <mbj/applying.h>

enum { STOPPER_VERSION_SIZE = 32 };

/* Groups; first 0: none. */
struct applying_span {
	struct mbj_lsn first;
	uint32_t count;
};

/* A group in which alone processes ended. */
struct stopper {
	struct mbj_lsn lsn; /* 0: none */
	uint32_t deaths;
	char version[STOPPER_VERSION_SIZE];
	bool is_well; /* it went well in what is to be committed */
};

struct applying {
	struct mbj_file file; /* closed: not there */
	struct mbj_id boot;   /* of this machine, now; ROOT: not known */
	struct applying_span now;
	struct applying_span suspect; /* a batch that a process ended in */
	struct stopper stoppers[MBJ_STOPPERS_MAX];
};

/* mbj_applying_load in this boot of the machine. */
void applying_load_in(struct mbj_store *store, struct mbj_id boot);

#endif
