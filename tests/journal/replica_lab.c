/*
 * A register with one replica; see replica_lab.h.
 */
#include <stdio.h>
#include <string.h>

#include "replica_lab.h"
#include "store_lab.h"

void replica_lab_begin(struct replica_lab *lab)
{
	*lab = (struct replica_lab){
		.dir = test_tmpdir_new(),
		.note = {.instance = {{7, 8, 9}},
			 .name = "replica-2",
			 .received = {30},
			 .applied = {20},
			 .parked = {10},
			 .heard_us = 1234567,
			 .boot = mbj_boot_id(),
			 .heard_ms = 4,
			 .current_ms = mbj_monotonic_ms(),
			 .was_current = true,
			 .is_connected = true,
			 .session = {{5}},
			 .address = "192.0.2.1 port 40112",
			 .take = {.lsn = {9},
				  .is_whole = true,
				  .sent = 3,
				  .size = 4,
				  .began_ms = 5}},
	};
	(void)snprintf(lab->path, sizeof(lab->path), "%s/replicas/", lab->dir);
	mbj_id_print(lab->note.instance, lab->path + strlen(lab->path));
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab->dir, &lab->note,
				      MBJ_NOTE_FIRST, err));
}

void replica_lab_end(struct replica_lab *lab)
{
	test_tmpdir_free(&lab->dir);
}

enum mbj_rc replica_lab_load(struct replica_lab *lab,
			     struct mbj_replica_note **ret_notes,
			     size_t *ret_count, struct mbj_error *err)
{
	return mbj_replica_notes_load(NULL, lab->dir, ret_notes, ret_count,
				      NULL, err);
}

struct mbj_replica_note replica_lab_note(struct replica_lab *lab)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_replica_note note;
	size_t count = 0;

	SITE_OK(replica_lab_load(lab, &notes, &count, err));
	ck_assert_uint_eq(count, 1);
	note = notes[0];
	mbj_free(notes);
	return note;
}

void replica_lab_save(struct replica_lab *lab, enum mbj_note_turn turn)
{
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab->dir, &lab->note,
				      turn, err));
}
