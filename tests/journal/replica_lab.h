/*
 * A directory whose register has one replica: what the tests of the register
 * and of its pauses begin with.
 */
#ifndef TEST_JOURNAL_REPLICA_LAB_H
#define TEST_JOURNAL_REPLICA_LAB_H

#include <mbj/replicas.h>

struct replica_lab {
	char *dir;
	char path[MBJ_PATH_TEXT_MAX]; /* of its note */
	struct mbj_replica_note note; /* as it was written first */
};

void replica_lab_begin(struct replica_lab *lab);
void replica_lab_end(struct replica_lab *lab);
/* All that are registered; one that is damaged is an error. */
enum mbj_rc replica_lab_load(struct replica_lab *lab,
			     struct mbj_replica_note **ret_notes,
			     size_t *ret_count, struct mbj_error *err);
/* The only one that there is. */
struct mbj_replica_note replica_lab_note(struct replica_lab *lab);
/* Write lab->note. */
void replica_lab_save(struct replica_lab *lab, enum mbj_note_turn turn);

#endif
