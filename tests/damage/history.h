/*
 * What happens to the stores that are damaged: two accounts, whose mailboxes
 * come, go, are renamed, and have messages, rights, an annotation and an intent
 * that stays open.
 */
#ifndef TEST_DAMAGE_HISTORY_H
#define TEST_DAMAGE_HISTORY_H

#include <mbj/store.h>

void history_begin(struct mbj_store *store);
/* Steps from 0 on, in order. */
void history_step(struct mbj_store *store, unsigned step);

#endif
