/*
 * Work that may kill its process, in a child.
 *
 * Berkeley DB 5.3.28 does not survive every failure of its own allocations: it
 * follows null pointers, or loops.  That ends the process, as a kill does; so
 * these faults are tried in children, and those that died in its library
 * counted.
 */
#ifndef TESTS_CRASH_FAULT_CHILD_H
#define TESTS_CRASH_FAULT_CHILD_H

enum fault_child_end {
	FAULT_CHILD_DONE,
	FAULT_CHILD_DIED_IN_DB, /* or hung there */
	FAULT_CHILD_WRONG,
};

enum fault_child_end fault_child_run(void (*work)(void *context),
				     void *context);

#endif
