/*
 * Workloads with messages: on a primary all that an edit does to them, and on
 * a replica that fetches their content.
 */
#include <string.h>

#include <mbj/message.h>

#include "cut_lab.h"

enum { STEPS_MAX = 4, SET_SIZE = 64 };

struct steps {
	struct mbj_message_edit list[STEPS_MAX];
	uint8_t sets[STEPS_MAX][SET_SIZE];
	size_t count;
};

static struct mbj_message_edit *
step_add(struct steps *steps, enum mbj_message_edit_kind kind, unsigned mailbox)
{
	struct mbj_message_edit *step = &steps->list[steps->count++];

	ck_assert_uint_le(steps->count, STEPS_MAX);
	*step = (struct mbj_message_edit){
		.kind = kind,
		.mailbox = site_mailbox(1, mailbox),
		.mode = MBJ_FLAGS_ADD,
	};
	return step;
}

/* One that has its content, which is stored now. */
static void append_add(struct cut_lab *lab, struct steps *steps,
		       unsigned mailbox, unsigned number)
{
	struct mbj_message_edit *step =
		step_add(steps, MBJ_MESSAGE_APPEND, mailbox);

	step->time = 1700000000 + number;
	if (number % 2 == 1)
		step->guid = mbj_bytes_str("1.M2P3.host,S=4,W=5");
	SITE_OK(cut_content_put(lab->primary.store, number, &step->blob,
				&step->size, err));
}

/* One about these UIDs. */
static struct mbj_message_edit *set_add(struct steps *steps,
					enum mbj_message_edit_kind kind,
					unsigned mailbox, uint32_t first,
					uint32_t last)
{
	struct mbj_message_edit *step = step_add(steps, kind, mailbox);
	uint8_t *set = steps->sets[steps->count - 1];
	struct mbj_buf uids;

	mbj_buf_init(&uids, SET_SIZE);
	mbj_uids_put(&uids, first, last);
	ck_assert_int_eq(uids.failed, MBJ_OK);
	memcpy(set, uids.p, uids.n);
	step->uids = mbj_bytes_make(set, uids.n);
	mbj_buf_done(&uids);
	return step;
}

static void steps_submit(struct cut_lab *lab, struct steps *steps)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps->list;
	edit.message_count = steps->count;
	cut_submit(lab, &edit, 1);
	steps->count = 0;
}

/* A mailbox goes with what it holds, which is reaped later. */
static void destroy(struct cut_lab *lab, unsigned mailbox)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_DESTROY,
				    .id = site_mailbox(1, mailbox)};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	edit.is_emptying = true;
	cut_submit(lab, &edit, 1);
}

void cut_messages_run(struct cut_lab *lab)
{
	struct steps steps = {.count = 0};
	struct mbj_message_edit *step;

	for (unsigned i = 0; i < 3; i++)
		append_add(lab, &steps, 1, i);
	steps.list[1].flags = MBJ_FLAG_SEEN;
	steps.list[2].keywords = mbj_bytes_make("$Junk", sizeof("$Junk"));
	steps_submit(lab, &steps);
	cut_content_rest(lab, false);
	/* Content that is there already, and more of it. */
	append_add(lab, &steps, 2, 2);
	append_add(lab, &steps, 2, 3);
	step = set_add(&steps, MBJ_MESSAGE_FLAGS, 1, 1, 2);
	step->flags = MBJ_FLAG_FLAGGED;
	steps_submit(lab, &steps);
	set_add(&steps, MBJ_MESSAGE_COPY, 1, 1, 3)->target = site_mailbox(1, 3);
	set_add(&steps, MBJ_MESSAGE_MOVE, 2, 1, 1)->target = site_mailbox(1, 4);
	set_add(&steps, MBJ_MESSAGE_EXPUNGE, 1, 2, 2);
	steps_submit(lab, &steps);
	/* INBOX hands all it has over, and goes on with its UIDs. */
	cut_rename(lab, 1, "INBOX", "old");
	append_add(lab, &steps, 1, 4);
	steps_submit(lab, &steps);
	cut_content_rest(lab, true);
	destroy(lab, 3);
	cut_close(lab, &lab->primary);
	cut_open(lab, &lab->primary);
	append_add(lab, &steps, 4, 1);
	steps_submit(lab, &steps);
}

/* ------------------------------------------------------------ a replica */

void cut_fetch_prepare(struct cut_lab *lab)
{
	cut_primary_prepare(lab);
	cut_messages_run(lab);
	cut_close(lab, &lab->primary);
	lab->primary.is_quiet = true;
	cut_init(lab, &lab->replica);
	cut_open(lab, &lab->replica);
	cut_replay(lab, 3, 3);
}

void cut_fetch_run(struct cut_lab *lab)
{
	cut_replay(lab, 4, 1);
	cut_replay(lab, 7, 3);
	cut_close(lab, &lab->replica);
	cut_open(lab, &lab->replica);
	cut_replay(lab, 0, 100);
}
