/*
 * Messages in a state beside a naive model of them: every mailbox is an array.
 */
#ifndef TEST_MAILBOX_CONTENT_LAB_H
#define TEST_MAILBOX_CONTENT_LAB_H

#include <mbj/message.h>

#include "cases.h"

enum { CONTENT_BOXES = 4, CONTENT_UIDS_MAX = 400, CONTENT_BLOBS = 6 };

struct content_message {
	bool is_there;
	uint8_t flags;
	unsigned keywords; /* bits: "a", "b", "c" */
	unsigned blob;
	uint64_t modseq;
};

struct content_box {
	bool is_live;
	uint64_t id;
	uint64_t rev;
	uint32_t uidnext;
	uint64_t modseq;
	unsigned expunges;
	struct content_message messages[CONTENT_UIDS_MAX]; /* by UID */
};

struct content_model {
	struct content_box boxes[CONTENT_BOXES];
	uint64_t next_id;
	unsigned left[CONTENT_BLOBS]; /* messages that are to be reaped */
};

struct content_lab {
	char *tmpdir;
	char *home;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct mbj_id account;
	enum mbj_state_engine engine;
	struct test_rng rng;
	struct content_model *model;
	unsigned done[8]; /* steps by kind that changed something */
};

struct mbj_hash content_blob(unsigned blob);
uint64_t content_blob_size(unsigned blob);

/* A message with that UID, of the first blob. */
struct mbj_message content_sample(uint32_t uid);

void content_lab_begin(struct content_lab *lab, int engine);
void content_lab_end(struct content_lab *lab);
/* The state again, and a transaction; both were closed. */
void content_lab_open(struct content_lab *lab);
/* Everything against the model, and the account by itself. */
void content_lab_check(struct content_lab *lab);

struct mbj_id content_box_id(const struct content_box *box);
void content_append(struct content_lab *lab, struct content_box *box);
/* A random step; uids is scratch. */
void content_step(struct content_lab *lab, struct mbj_buf *uids);
/* Some that are taken back as if they had never been. */
void content_step_undone(struct content_lab *lab, struct mbj_buf *uids);

#endif
