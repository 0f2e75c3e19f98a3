/*
 * Edits with request ids; see request_lab.h.
 */
#include "request_lab.h"

#include <stdio.h>
#include <stdlib.h>

#include "commit_fault.h"

struct site ask_site;

void ask_site_begin(void)
{
	site_begin(&ask_site);
	for (unsigned i = 0; i < ASK_ACCOUNTS; i++)
		site_import(ask_site.store, i, ASK_MAILBOXES);
}

void ask_site_end(void)
{
	commit_fault_set(false);
	ck_assert(site_is_sound(ask_site.store));
	site_end(&ask_site);
}

uint64_t ask_journal_end(void)
{
	return mbj_store_end(ask_site.store).lsn.v;
}

/* ---------------------------------------------------------------- edits */

void ask_begin(struct ask *ask, enum mbj_edit_kind kind, unsigned account,
	       unsigned request)
{
	memset(ask, 0, sizeof(*ask));
	(void)snprintf(ask->account, sizeof(ask->account), "u%u", account);
	ask->edit = MBJ_EDIT_INIT;
	ask->edit.kind = kind;
	ask->edit.account = mbj_bytes_str(ask->account);
	if (request > 0)
		ask->edit.request = (struct mbj_id){
			{0x7e, (uint8_t)request, (uint8_t)(request >> 8)}};
	mbj_buf_init(&ask->uids, 64);
}

void ask_done(struct ask *ask)
{
	mbj_buf_done(&ask->uids);
}

void ask_append(struct ask *ask, unsigned account, unsigned request)
{
	ask_begin(ask, MBJ_EDIT_MESSAGES, account, request);
	ask->steps[0] = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = site_mailbox(account, 1),
		.blob = {{0x42}},
		.size = 100,
		.time = MBJ_TIME_NOW,
	};
	ask->edit.messages = ask->steps;
	ask->edit.message_count = 1;
}

/* Two appends, a copy that finds them both, and flags. */
void ask_messages(struct ask *ask, unsigned account, unsigned request)
{
	ask_append(ask, account, request);
	ask->steps[1] = ask->steps[0];
	mbj_uids_put(&ask->uids, 1, 9);
	ask->steps[2] = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_COPY,
		.mailbox = site_mailbox(account, 1),
		.target = site_mailbox(account, 2),
		.uids = mbj_buf_view(&ask->uids),
	};
	ask->steps[3] = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_FLAGS,
		.mailbox = site_mailbox(account, 1),
		.uids = mbj_buf_view(&ask->uids),
		.mode = MBJ_FLAGS_ADD,
		.flags = MBJ_FLAG_SEEN,
	};
	ask->edit.message_count = 4;
}

/* Of three changes one is done. */
void ask_set(struct ask *ask, unsigned account, unsigned request)
{
	ask_begin(ask, MBJ_EDIT_SET, account, request);
	for (unsigned i = 0; i < 3; i++)
		ask->changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = site_mailbox(account, 100 + i),
			.name = mbj_bytes_str(i == 1 ? "new" : "m2"),
		};
	ask->edit.changes = ask->changes;
	ask->edit.change_count = 3;
}

void ask_rename(struct ask *ask, unsigned account, unsigned request,
		enum mbj_edit_kind kind, const char *source, const char *target)
{
	ask_begin(ask, kind, account, request);
	ask->rename = (struct mbj_rename){mbj_bytes_str(source),
					  mbj_bytes_str(target)};
	ask->edit.renames = &ask->rename;
	ask->edit.rename_count = 1;
}

enum mbj_rc ask_try(const struct ask *ask, struct mbj_outcome *ret_outcome,
		    struct mbj_error *err)
{
	return mbj_store_submit(ask_site.store, &ask->edit, ret_outcome, err);
}

/* ------------------------------------------------------------- outcomes */

static void text_same(const char *a, const char *b)
{
	ck_assert((a == NULL) == (b == NULL));
	if (a != NULL && b != NULL)
		ck_assert_str_eq(a, b);
}

static void outcome_same(const struct mbj_outcome *a,
			 const struct mbj_outcome *b)
{
	ck_assert_uint_eq(a->lsn.v, b->lsn.v);
	ck_assert_uint_eq(a->old_state.v, b->old_state.v);
	ck_assert_uint_eq(a->new_state.v, b->new_state.v);
	ck_assert(mbj_id_equal(a->account, b->account));
	ck_assert(mbj_id_equal(a->inbox, b->inbox));
	ck_assert_uint_eq(a->lower_bound, b->lower_bound);
	ck_assert_uint_eq(a->parks, b->parks);
	ck_assert(a->is_proven == b->is_proven);
	ck_assert_uint_eq(a->refused_count, b->refused_count);
	ck_assert_uint_eq(a->result_count, b->result_count);
	for (size_t i = 0; i < a->result_count; i++) {
		ck_assert_int_eq(a->results[i].refusal, b->results[i].refusal);
		text_same(a->results[i].property, b->results[i].property);
		text_same(a->results[i].description, b->results[i].description);
	}
	ck_assert_uint_eq(a->message_count, b->message_count);
	for (size_t i = 0; i < a->message_count; i++) {
		const struct mbj_message_result *x = &a->messages[i];
		const struct mbj_message_result *y = &b->messages[i];

		ck_assert_uint_eq(x->uidvalidity, y->uidvalidity);
		ck_assert_uint_eq(x->uid, y->uid);
		ck_assert_uint_eq(x->modseq, y->modseq);
		ck_assert_uint_eq(x->message_count, y->message_count);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&x->uids),
					  mbj_buf_view(&y->uids)));
	}
	ck_assert(mbj_bytes_equal(mbj_buf_view(&a->record),
				  mbj_buf_view(&b->record)));
}

/* Asked again: nothing is written, and the answer is the first one. */
void ask_again(const struct ask *ask, const struct mbj_outcome *first)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	uint64_t end = ask_journal_end();

	SITE_OK(ask_try(ask, &outcome, err));
	ck_assert_uint_eq(ask_journal_end(), end);
	outcome_same(&outcome, first);
	mbj_outcome_done(&outcome);
}

void ask_first(const struct ask *ask, struct mbj_outcome *ret_outcome)
{
	uint64_t end = ask_journal_end();

	memset(ret_outcome, 0, sizeof(*ret_outcome));
	SITE_OK(ask_try(ask, ret_outcome, err));
	ck_assert_uint_eq(ret_outcome->lsn.v, end + 1);
	ck_assert_uint_eq(ask_journal_end(), end + 1);
}

/* Carried out whatever is known of others, and not looked at. */
void ask_pass(const struct ask *ask)
{
	struct mbj_outcome outcome;

	ask_first(ask, &outcome);
	mbj_outcome_done(&outcome);
}
