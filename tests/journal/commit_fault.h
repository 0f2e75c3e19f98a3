/*
 * Commits of the state that fail, in this executable alone: by an option of
 * its linker, in front of the library's own.
 */
#ifndef TEST_JOURNAL_COMMIT_FAULT_H
#define TEST_JOURNAL_COMMIT_FAULT_H

#include <stdbool.h>

/* All from now on, or none. */
void commit_fault_set(bool is_failing);

#endif
