/*
 * The cases of the damage tests; main.c runs them.
 */
#ifndef TEST_DAMAGE_CASES_H
#define TEST_DAMAGE_CASES_H

#include "store_lab.h"

TCase *test_bytes_case(void);
TCase *test_journal_case(void);
TCase *test_state_case(void);

#endif
