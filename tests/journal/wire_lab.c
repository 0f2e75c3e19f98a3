/*
 * Messages with something in every member.
 */
#include <stdlib.h>

#include "wire_lab.h"

#define TEXT(text) mbj_bytes_make((text), sizeof(text) - 1)

static struct mbj_id id_of(uint8_t b)
{
	struct mbj_id id;

	memset(id.b, b, sizeof(id.b));
	return id;
}

static struct mbj_hash hash_of(uint8_t b)
{
	struct mbj_hash hash;

	memset(hash.b, b, sizeof(hash.b));
	return hash;
}

static const struct mbj_metadata_edit metadata[] = {
	{.kind = MBJ_METADATA_ACL,
	 .mailbox = {{7}},
	 .name = {(const uint8_t *)"bob", 3},
	 .value = {(const uint8_t *)"lr", 2},
	 .mode = MBJ_RIGHTS_REMOVE,
	 .is_removed = true},
	{.kind = MBJ_METADATA_QUOTA,
	 .has = MBJ_METADATA_HAS_SIZE,
	 .quota_messages = 10,
	 .quota_size = 1ull << 60},
};

static void edit_fill(struct mbj_edit *edit)
{
	static const struct mbj_change changes[] = {
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
			MBJ_CHANGE_HAS_UIDVALIDITY,
		 .id = {{1}},
		 .parent = {{2}},
		 .name = {(const uint8_t *)"W\xc3\xb6rk", 5},
		 .role = MBJ_ROLE_TRASH,
		 .is_subscribed = true,
		 .uidvalidity = 7},
		{.kind = MBJ_CHANGE_UPDATE,
		 .has = MBJ_CHANGE_HAS_SELECTABLE,
		 .id = {{3}},
		 .is_selectable = true},
		{.kind = MBJ_CHANGE_DESTROY, .id = {{4}}},
	};
	static const struct mbj_rename renames[] = {
		{{(const uint8_t *)"A", 1}, {(const uint8_t *)"B/C", 3}},
		{{(const uint8_t *)"B", 1}, {NULL, 0}},
	};
	static const uint8_t uids[] = {1, 0, 0, 0, 9, 0, 0, 0};
	static const struct mbj_message_edit steps[] = {
		{.kind = MBJ_MESSAGE_APPEND,
		 .mailbox = {{5}},
		 .uid = 8,
		 .modseq = 1ull << 40,
		 .flags = 3,
		 .keywords = {(const uint8_t *)"$x\0y", 5},
		 .blob = {{6}},
		 .size = 1ull << 33,
		 .time = -5,
		 .guid = {(const uint8_t *)"1.M2.host,S=3", 13}},
		{.kind = MBJ_MESSAGE_FLAGS,
		 .mailbox = {{5}},
		 .target = {{9}},
		 .uids = {uids, sizeof(uids)},
		 .mode = MBJ_FLAGS_REPLACE},
		{.kind = MBJ_MESSAGE_DOUBT, .mailbox = {{5}}},
	};

	*edit = MBJ_EDIT_INIT;
	/* The one kind that has all lists. */
	edit->kind = MBJ_EDIT_METADATA;
	edit->account = TEXT("alice");
	edit->changes = changes;
	edit->change_count = 3;
	edit->renames = renames;
	edit->rename_count = 2;
	edit->messages = steps;
	edit->message_count = 3;
	edit->metadata = metadata;
	edit->metadata_count = 2;
	edit->policy = (struct mbj_name_policy){true, '.'};
	edit->has_if_in_state = true;
	edit->if_in_state.v = 1ull << 50;
	edit->is_dry_run = true;
	edit->is_emptying = true;
	edit->is_subscription_kept = true;
	edit->origin = MBJ_ORIGIN_SALVAGE;
	edit->request = id_of(0xab);
}

static void outcome_fill(struct mbj_outcome *o)
{
	static const char why[] = "no such mailbox";

	o->lsn.v = 10;
	o->old_state.v = 8;
	o->new_state.v = 10;
	o->account = id_of(0x11);
	o->inbox = id_of(0x12);
	o->lower_bound = 3;
	o->parks = 1;
	o->is_proven = true;
	o->refused_count = 1;
	o->result_count = 2;
	o->results = mbj_calloc(2, sizeof(*o->results));
	o->messages = mbj_calloc(1, sizeof(*o->messages));
	ck_assert_ptr_nonnull(o->results);
	ck_assert_ptr_nonnull(o->messages);
	o->results[1].refusal = MBJ_REFUSAL_NOT_FOUND;
	o->results[1].property = "parentId";
	o->results[1].description = mbj_alloc(sizeof(why));
	ck_assert_ptr_nonnull(o->results[1].description);
	memcpy(o->results[1].description, why, sizeof(why));
	o->message_count = 1;
	o->messages[0] = (struct mbj_message_result){.uidvalidity = 1,
						     .uid = 2,
						     .modseq = 3,
						     .message_count = 4};
	mbj_buf_init(&o->messages[0].uids, 64);
	mbj_uids_put(&o->messages[0].uids, 5, 6);
	mbj_uids_put(&o->messages[0].uids, 9, 9);
	mbj_buf_init(&o->record, MBJ_GROUP_MAX);
	mbj_buf_put_str(&o->record, "a group");
}

static void records_fill(struct wire_message *m)
{
	m->account = (struct mbj_account){
		.id = id_of(0x21),
		.name = TEXT("alice"),
		.policy = {true, '.'},
		.uidvalidity_last = 1,
		.quota_messages = 2,
		.quota_size = 3,
		.lsn = {4},
		.digest = {{5, 6, 7, 8}},
		.mailbox_count = 9,
		.subscription_count = 10,
		.message_count = 11,
		.message_size = 12,
	};
	m->mailbox = (struct mbj_mailbox){
		.id = id_of(0x22),
		.parent = id_of(0x23),
		.name = {TEXT("Work"), TEXT("work")},
		.uidvalidity = 13,
		.rev = 14,
		.role = MBJ_ROLE_SENT,
		.is_selectable = true,
	};
	m->last_uid = 15;
	m->content = (struct mbj_content){
		.rev = 16,
		.births = 17,
		.uidnext = 18,
		.modseq = 19,
		.series = {id_of(0x24), 20},
		.message_count = 21,
		.message_size = 22,
		.digest = {{23, 24, 25, 26}},
	};
}

static void status_fill(struct mbj_client_status *s)
{
	uint64_t number = 100;

	s->identity = (struct mbj_identity){
		.role = MBJ_STORE_REPLICA,
		.lineage = id_of(0x31),
		.instance = id_of(0x32),
		.epoch = {33},
		.epoch_owner = id_of(0x34),
		.anchor = {{35}, hash_of(0x36)},
	};
	s->end = (struct mbj_log_end){{37}, hash_of(0x38)};
	s->usage = (struct mbj_log_usage){39, 40};
	s->space = (struct mbj_store_space){401, 402, 403};
	s->applied = (struct mbj_watermark){{41}, {42}, hash_of(0x43)};
	s->recovery = (struct mbj_store_recovery){
		.groups_applied = 44,
		.torn_size = 45,
		.is_rebuilt = true,
		.reason = "because",
	};
	s->account_count = 46;
#define X(member, word, what) s->service.member = number++;
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	s->parked = mbj_calloc(1, sizeof(*s->parked));
	s->peers = mbj_calloc(2, sizeof(*s->peers));
	ck_assert_ptr_nonnull(s->parked);
	ck_assert_ptr_nonnull(s->peers);
	s->parked_count = 1;
	s->parked[0].parked = (struct mbj_parked){
		id_of(0x51), {52}, {53}, 54, TEXT("a conflict")};
	s->parked[0].name = TEXT("bob");
	s->skipped = mbj_calloc(1, sizeof(*s->skipped));
	ck_assert_ptr_nonnull(s->skipped);
	s->skipped_count = 1;
	s->skipped[0] = (struct mbj_client_skipped){
		{id_of(0x54), {55}, {56}, 57, {{0}}}, TEXT("carol")};
	s->peer_count = 2;
	s->peers[0] = (struct mbj_client_peer){61, 62, 63, 64, 65};
	s->peers[1] = (struct mbj_client_peer){71, 72, 73, 74, 75};
	s->upstream = (struct mbj_upstream_status){
		.state = MBJ_UPSTREAM_WAITING,
		.was_met = true,
		.reason = "the connection is lost",
	};
	number = 80;
#define X(member, word, what) s->upstream.member = number++;
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
}

static void house_fill(struct wire_message *m)
{
	m->keep = (struct mbj_trim_options){sizeof(m->keep), -81, 82, 83, true};
	m->snapshot = (struct mbj_snapshot_result){
		.info = {.lineage = id_of(0x61),
			 .watermark = {{84}, {85}, hash_of(0x62)},
			 .time_us = -86,
			 .size = 87,
			 .records = 88,
			 .accounts = 89,
			 .mailboxes = 90,
			 .messages = 91,
			 .digest = {{92, 93, 94, 95}}},
		.is_new = true,
		.removed = 96,
		.damaged = 97,
		.fault = "a snapshot is damaged",
	};
	m->wait = (struct wire_wait){{108}, 109, 110};
	m->received = 111;
	m->lsn.v = 112;
	m->chain_at = (struct mbj_chain_at){{113}, {114}, true, hash_of(0x63)};
	m->is_dry_run = true;
	m->is_whole = true;
	m->collected = (struct mbj_collect_result){104, 105, 106, 107};
	m->trim = (struct mbj_trim_result){{98}, {99},	{100},		 101,
					   102,	 {103}, MBJ_TRIM_REPLICA};
}

void wire_lab_fill(struct wire_message *m, struct mbj_buf *records)
{
	m->version_lowest = 1;
	m->version_highest = 3;
	m->name = TEXT("alice");
	m->path = TEXT("Work/2024");
	m->is_last_wanted = true;
	m->account_id = id_of(0x41);
	m->mailbox_id = id_of(0x42);
	m->rev = 5;
	m->uid = 6;
	m->limit = 7;
	edit_fill(&m->edit);
	outcome_fill(&m->outcome);
	records_fill(m);
	status_fill(&m->status);
	ck_assert_int_eq(wire_reason_set(&m->status, "a log failed", NULL),
			 MBJ_OK);
	m->welcome = (struct wire_welcome){1, true, 4711, m->status.identity,
					   TEXT("/var/lib/mbj/p")};
	house_fill(m);
	m->digest = hash_of(0x77);
	m->size = 88;
	m->data = TEXT("From: a\r\n\r\nhello\r\n");
	wire_account_encode(records, &m->account);
	m->count = 1;
	m->list = mbj_buf_view(records);
}

void wire_lab_survey(struct wire_message *m, enum wire_side side,
		     struct mbj_buf *records)
{
	const struct mbj_survey_question question = {
		.kind = MBJ_SURVEY_EACH,
		.account = id_of(0x41),
		.from = TEXT("\x08mailbox-of-16-byuid1"),
		.until = TEXT("\x08mailbox-of-16-byuid3"),
		.limit = MBJ_SURVEY_EACH_MAX,
	};
	const struct mbj_survey_entry entry = {TEXT("\x08mailbox-of-16-byuid2"),
					       {{1, 2, 3, 4}}};
	struct mbj_survey_answer answer = {
		.watermark = {{8}, {2}, hash_of(0x31)},
		.is_there = true,
		.is_parked = true,
		.lsn = {7},
		.digest = {{5, 6, 7, 8}},
		.name = TEXT("alice"),
		.reason = TEXT("by \\x1b hand"),
		.count = 1,
		.last = entry.place,
		.records = {{9}},
		.messages = {{10}},
		.contents = {{11}},
		.entry_count = 1,
		.path = TEXT("Work/2024"),
		.text = TEXT("17 bytes"),
	};
	struct mbj_buf entries;

	mbj_buf_clear(records);
	if (side == WIRE_REQUEST) {
		mbj_survey_question_encode(records, &question);
	} else {
		mbj_buf_init(&entries, 4096);
		mbj_survey_entry_put(&entries, &entry);
		answer.entries = mbj_buf_view(&entries);
		mbj_survey_answer_encode(records, &answer);
		mbj_buf_done(&entries);
	}
	m->survey = mbj_buf_view(records);
}

void wire_lab_done(struct wire_message *m)
{
	mbj_outcome_done(&m->outcome);
	mbj_client_status_done(&m->status);
}

/* -------------------------------------------------------------- equality */

static void bytes_equal(struct mbj_bytes a, struct mbj_bytes b)
{
	ck_assert_uint_eq(a.n, b.n);
	ck_assert(mbj_bytes_equal(a, b));
}

static void change_equal(const struct mbj_change *a, const struct mbj_change *b)
{
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert_uint_eq(a->has, b->has);
	ck_assert(mbj_id_equal(a->id, b->id));
	ck_assert(mbj_id_equal(a->parent, b->parent));
	bytes_equal(a->name, b->name);
	ck_assert_uint_eq(a->role, b->role);
	ck_assert(a->is_subscribed == b->is_subscribed);
	ck_assert(a->is_selectable == b->is_selectable);
	ck_assert_uint_eq(a->uidvalidity, b->uidvalidity);
}

static void step_equal(const struct mbj_message_edit *a,
		       const struct mbj_message_edit *b)
{
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert(mbj_id_equal(a->mailbox, b->mailbox));
	ck_assert(mbj_id_equal(a->target, b->target));
	bytes_equal(a->uids, b->uids);
	ck_assert_int_eq(a->mode, b->mode);
	ck_assert_uint_eq(a->uid, b->uid);
	ck_assert_uint_eq(a->modseq, b->modseq);
	ck_assert_uint_eq(a->flags, b->flags);
	bytes_equal(a->keywords, b->keywords);
	ck_assert_mem_eq(&a->blob, &b->blob, sizeof(a->blob));
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_int_eq(a->time, b->time);
}

static void metadata_equal(const struct mbj_metadata_edit *a,
			   const struct mbj_metadata_edit *b)
{
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert(mbj_id_equal(a->mailbox, b->mailbox));
	bytes_equal(a->name, b->name);
	bytes_equal(a->value, b->value);
	ck_assert_int_eq(a->mode, b->mode);
	ck_assert(a->is_removed == b->is_removed);
	ck_assert_uint_eq(a->has, b->has);
	ck_assert_uint_eq(a->quota_messages, b->quota_messages);
	ck_assert_uint_eq(a->quota_size, b->quota_size);
}

void wire_lab_edit_equal(const struct mbj_edit *a, const struct mbj_edit *b)
{
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_int_eq(a->kind, b->kind);
	bytes_equal(a->account, b->account);
	ck_assert_uint_eq(a->change_count, b->change_count);
	for (size_t i = 0; i < a->change_count; i++)
		change_equal(&a->changes[i], &b->changes[i]);
	ck_assert_uint_eq(a->rename_count, b->rename_count);
	for (size_t i = 0; i < a->rename_count; i++) {
		bytes_equal(a->renames[i].source, b->renames[i].source);
		bytes_equal(a->renames[i].target, b->renames[i].target);
	}
	ck_assert_uint_eq(a->message_count, b->message_count);
	for (size_t i = 0; i < a->message_count; i++)
		step_equal(&a->messages[i], &b->messages[i]);
	ck_assert_uint_eq(a->metadata_count, b->metadata_count);
	for (size_t i = 0; i < a->metadata_count; i++)
		metadata_equal(&a->metadata[i], &b->metadata[i]);
	ck_assert(a->policy.is_folding == b->policy.is_folding);
	ck_assert_int_eq(a->policy.delimiter, b->policy.delimiter);
	ck_assert(a->has_if_in_state == b->has_if_in_state);
	ck_assert_uint_eq(a->if_in_state.v, b->if_in_state.v);
	ck_assert(a->is_dry_run == b->is_dry_run);
	ck_assert(a->is_emptying == b->is_emptying);
	ck_assert(a->is_subscription_kept == b->is_subscription_kept);
	ck_assert_int_eq(a->origin, b->origin);
	ck_assert(mbj_id_equal(a->request, b->request));
}

static void result_equal(const struct mbj_change_result *a,
			 const struct mbj_change_result *b)
{
	ck_assert_int_eq(a->refusal, b->refusal);
	ck_assert_pstr_eq(a->property, b->property);
	ck_assert_pstr_eq(a->description, b->description);
}

static void step_result_equal(const struct mbj_message_result *a,
			      const struct mbj_message_result *b)
{
	ck_assert_uint_eq(a->uidvalidity, b->uidvalidity);
	ck_assert_uint_eq(a->uid, b->uid);
	ck_assert_uint_eq(a->modseq, b->modseq);
	ck_assert_uint_eq(a->message_count, b->message_count);
	bytes_equal(mbj_buf_view(&a->uids), mbj_buf_view(&b->uids));
}

void wire_lab_outcome_equal(const struct mbj_outcome *a,
			    const struct mbj_outcome *b)
{
	ck_assert_uint_eq(a->lsn.v, b->lsn.v);
	ck_assert_uint_eq(a->old_state.v, b->old_state.v);
	ck_assert_uint_eq(a->new_state.v, b->new_state.v);
	ck_assert_uint_eq(a->result_count, b->result_count);
	for (size_t i = 0; i < a->result_count; i++)
		result_equal(&a->results[i], &b->results[i]);
	ck_assert_uint_eq(a->refused_count, b->refused_count);
	ck_assert_uint_eq(a->message_count, b->message_count);
	for (size_t i = 0; i < a->message_count; i++)
		step_result_equal(&a->messages[i], &b->messages[i]);
	ck_assert_mem_eq(&a->account, &b->account, sizeof(a->account));
	ck_assert_mem_eq(&a->inbox, &b->inbox, sizeof(a->inbox));
	ck_assert_uint_eq(a->lower_bound, b->lower_bound);
	ck_assert_uint_eq(a->parks, b->parks);
	ck_assert(a->is_proven == b->is_proven);
	bytes_equal(mbj_buf_view(&a->record), mbj_buf_view(&b->record));
}
