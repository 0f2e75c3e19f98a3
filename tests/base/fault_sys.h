/*
 * A system table that passes calls on to the POSIX one, writes down which
 * they were, and fails the one it is told to.
 */
#ifndef TEST_FAULT_SYS_H
#define TEST_FAULT_SYS_H

#include <mbj/sys.h>

enum fault_kind {
	FAULT_ONCE,  /* the call fails, all later ones work */
	FAULT_CRASH, /* the call and all later ones fail */
	FAULT_SHORT, /* no failure: reads and writes of at most 3 bytes */
	FAULT_STUCK, /* writes that write nothing */
};

enum { FAULT_TRACE_MAX = 256 };

struct fault_sys {
	struct mbj_sys table; /* what to hand to the code under test */
	enum fault_kind kind;
	int fail_at; /* call number from 1; 0: none */
	int errnum;  /* what it fails with */
	int calls;   /* so far */
	/* The calls' names, one word each. */
	char trace[FAULT_TRACE_MAX];
	uint8_t random_byte; /* what all randomness consists of, or 1: real */
};

void fault_sys_init(struct fault_sys *fault, enum fault_kind kind, int fail_at,
		    int errnum);

#endif
