/*
 * What the tests of snapshots share: a state with everything in it, and a
 * snapshot of it, made at one instant, so that the same state has the same
 * bytes.
 */
#ifndef TEST_MAILBOX_SNAPSHOT_LAB_H
#define TEST_MAILBOX_SNAPSHOT_LAB_H

#include <mbj/snapshot.h>

#include "content_lab.h"

enum { SNAPSHOT_LAB_STEPS = 400 };

struct snapshot_lab {
	struct content_lab content;
	struct mbj_snapshot_info info;
	char dir[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX]; /* of the snapshot */
};

/* The real system, at one instant. */
const struct mbj_sys *snapshot_lab_sys(void);
void snapshot_lab_begin(struct snapshot_lab *lab, int engine, unsigned steps);
void snapshot_lab_end(struct snapshot_lab *lab);
/* Of what the state has now into the directory. */
void snapshot_lab_take(struct mbj_state *state, const char *dir,
		       struct mbj_snapshot_info *ret_info,
		       char path[MBJ_PATH_TEXT_MAX]);
/* The bytes of a file; free(3) them. */
uint8_t *snapshot_lab_load(const char *path, size_t *ret_n);
/* A state of its own beside the lab's. */
struct mbj_state *snapshot_lab_open(const struct snapshot_lab *lab,
				    const char *name, int engine);
struct mbj_snapshot *snapshot_lab_opened(const char *path);
/* So many accounts, each without fault. */
void snapshot_lab_check(struct mbj_state *state, unsigned expected);

#endif
