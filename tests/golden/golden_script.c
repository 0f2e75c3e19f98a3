/*
 * The script of the golden journals.  A step added here shows in the journals
 * of versions to come; those that are written stay as they are.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <mbj/codec.h>

#include "golden.h"
#include "store_impl.h"

enum { SEED = 20260101, ACCOUNT_NAME_SIZE = 32 };

/* ------------------------------------------------- a system that is fixed */

struct golden_sys {
	struct mbj_sys table;
	struct test_rng rng;
	int64_t now_us;
};

static int64_t sys_now(void *ctx)
{
	struct golden_sys *sys = ctx;

	return sys->now_us += 1000003;
}

static int sys_random(void *ctx, void *p, size_t n)
{
	struct golden_sys *sys = ctx;

	test_rng_fill(&sys->rng, p, n);
	return 0;
}

static void golden_sys_init(struct golden_sys *sys)
{
	/* The real table has no context: its functions take any. */
	sys->table = *mbj_sys_posix();
	sys->table.ctx = sys;
	sys->table.now_us = sys_now;
	sys->table.random = sys_random;
	sys->now_us = 1767225600000000; /* 2026-01-01T00:00:00Z */
	test_rng_init(&sys->rng, SEED);
}

struct mbj_store_options golden_options(void)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;

	options.state.cache_size = 4u << 20;
	options.state.log_file_size = 4u << 20;
	options.state.checkpoint_log_size = 4u << 20;
	options.log.segment_size = 4096;
	options.log.reserve_max = 1024;
	return options;
}

/* --------------------------------------------------------------- edits */

/* Ids count from 1 in each account, told apart by its first letter. */
static struct mbj_id box(char account, uint32_t number)
{
	struct mbj_id id = {{(uint8_t)account}};

	mbj_store_be64(id.b + 8, number);
	return id;
}

static struct mbj_change create(char account, uint32_t number, uint32_t parent,
				const char *name)
{
	return (struct mbj_change){
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = box(account, number),
		.parent = parent == 0 ? MBJ_ID_ROOT : box(account, parent),
		.name = mbj_bytes_str(name),
	};
}

static void submit(struct mbj_store *store, struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};

	/* An id of its own for each: the next group's number is that. */
	edit->request.b[0] = (uint8_t)edit->kind;
	mbj_store_be64(edit->request.b + 8, mbj_store_end(store).lsn.v);
	GOLDEN_OK(mbj_store_submit(store, edit, &outcome, err));
	ck_assert_uint_eq(outcome.refused_count, 0);
	ck_assert_uint_gt(outcome.lsn.v, 0);
	mbj_outcome_done(&outcome);
}

static void submit_changes(struct mbj_store *store, enum mbj_edit_kind kind,
			   const char *account,
			   const struct mbj_change *changes, size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = kind;
	edit.account = mbj_bytes_str(account);
	edit.changes = changes;
	edit.change_count = count;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.origin = kind == MBJ_EDIT_RECONCILE ? MBJ_ORIGIN_RECONCILE
						 : MBJ_ORIGIN_LIVE;
	if (account[0] == 'b')
		edit.policy = (struct mbj_name_policy){true, '.'};
	submit(store, &edit);
}

/* Pairs of source and target, all at once. */
static void submit_renames(struct mbj_store *store, const char *account,
			   const char *const *pairs, size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_rename renames[8];

	ck_assert_uint_le(count, 8);
	for (size_t i = 0; i < count; i++)
		renames[i] =
			(struct mbj_rename){mbj_bytes_str(pairs[2 * i]),
					    mbj_bytes_str(pairs[2 * i + 1])};
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str(account);
	edit.renames = renames;
	edit.rename_count = count;
	submit(store, &edit);
}

/* The account after these primitives, in a transaction that is given up. */
static void ops_try(struct mbj_store *store, const char *name,
		    const struct mbj_op *ops, size_t count, struct mbj_lsn lsn,
		    struct mbj_group_account *ret_account)
{
	struct mbj_account account;
	struct mbj_txn *txn = NULL;

	GOLDEN_OK(mbj_txn_begin(store->state, &txn, err));
	GOLDEN_OK(
		mbj_txn_account_find(txn, mbj_bytes_str(name), &account, err));
	ret_account->id = account.id;
	ret_account->previous = account.lsn;
	for (size_t i = 0; i < count; i++) {
		enum mbj_verdict verdict;

		GOLDEN_OK(mbj_apply_op(txn, account.id, lsn, &ops[i], &verdict,
				       err));
		ck_assert_int_eq(verdict, MBJ_VERDICT_APPLY);
	}
	GOLDEN_OK(mbj_txn_account_get(txn, account.id, &account, err));
	ret_account->digest = account.digest;
	mbj_txn_abort(&txn);
}

/* Behind the journal's end, while nobody owns the store. */
static void record_append(const char *dir, const struct mbj_sys *sys,
			  struct mbj_bytes record)
{
	struct mbj_store_options options = golden_options();
	char *journal = test_path_dup(dir, "journal");
	struct mbj_identity identity;
	struct mbj_log *log = NULL;

	GOLDEN_OK(mbj_identity_load(sys, dir, &identity, err));
	GOLDEN_OK(mbj_log_open(sys, journal, identity.lineage, &identity.anchor,
			       (struct mbj_lsn){0}, &options.log, &log, err));
	GOLDEN_OK(mbj_log_append(log, record, 1, err));
	mbj_log_close(&log);
	free(journal);
}

/*
 * Primitives that no edit makes yet: one group by hand.  The store is closed;
 * opening it again applies the group and compares its digest.
 */
static void submit_ops(struct mbj_store **store, struct golden_sys *sys,
		       const char *name, const struct mbj_op *ops, size_t count)
{
	struct mbj_store_options options = golden_options();
	struct mbj_log_end end = mbj_store_end(*store);
	struct mbj_lsn lsn = {end.lsn.v + 1};
	char *dir = strdup(mbj_store_dir(*store));
	struct mbj_group_account account;
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_buf record;
	uint32_t index;

	ops_try(*store, name, ops, count, lsn, &account);
	mbj_store_close(store);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, GOLDEN_FILE_MAX);
	GOLDEN_OK(mbj_sha256_new(&sha, err));
	mbj_group_writer_begin(&writer, lsn, (struct mbj_epoch){1},
			       sys_now(sys), MBJ_ORIGIN_BULK, MBJ_ID_ROOT);
	GOLDEN_OK(mbj_group_writer_account(&writer, account.id,
					   account.previous, &index, err));
	mbj_group_writer_digest(&writer, index, &account.digest);
	for (size_t i = 0; i < count; i++)
		mbj_group_writer_op(&writer, &ops[i]);
	GOLDEN_OK(mbj_group_writer_finish(&writer, sha, &end.chain, &record,
					  err));
	record_append(dir, &sys->table, mbj_buf_view(&record));
	options.sys = &sys->table;
	GOLDEN_OK(mbj_store_open(dir, &options, store, err));
	ck_assert_uint_eq(mbj_store_end(*store).lsn.v, lsn.v);
	ck_assert_uint_eq(mbj_store_recovery_get(*store)->groups_applied, 1);
	mbj_sha256_free(&sha);
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	free(dir);
}

/* -------------------------------------------------------------- script */

static void write_imports(struct mbj_store *store)
{
	struct mbj_change anna[] = {
		create('a', 1, 0, "inbox"),
		create('a', 2, 0, "2024"),
		create('a', 3, 0, "2025"),
		create('a', 4, 0, "Archive"),
		create('a', 5, 0, "Work"),
		create('a', 6, 5, "Clients"),
		create('a', 7, 6,
		       "\xc3\x9c"
		       "bung"),
		create('a', 8, 1, "Lists"),
		create('a', 9, 0, "Retired"),
	};
	struct mbj_change bob[] = {
		create('b', 1, 0, "INBOX"),
		create('b', 2, 0, "Entw\xc3\xbcrfe"),
		create('b', 3, 2, "ALT"),
	};

	anna[3].has |= MBJ_CHANGE_HAS_ROLE | MBJ_CHANGE_HAS_SUBSCRIBED;
	anna[3].role = MBJ_ROLE_ARCHIVE;
	anna[3].is_subscribed = true;
	anna[4].has |= MBJ_CHANGE_HAS_SELECTABLE;
	anna[5].has |= MBJ_CHANGE_HAS_SUBSCRIBED;
	anna[5].is_subscribed = true;
	anna[8].has |= MBJ_CHANGE_HAS_UIDVALIDITY;
	anna[8].uidvalidity = 4000000000u;
	submit_changes(store, MBJ_EDIT_IMPORT, "anna", anna,
		       sizeof(anna) / sizeof(anna[0]));
	submit_changes(store, MBJ_EDIT_IMPORT, "bob", bob,
		       sizeof(bob) / sizeof(bob[0]));
}

/* A circle of three, a mailbox that changes places with its child. */
static void write_renames(struct mbj_store *store)
{
	static const char *const knots[] = {
		"2024", "2025",		"2025", "Archive", "Archive",
		"2024", "Work/Clients", "Work", "Work",	   "Work/Clients",
	};
	static const char *const below[] = {"INBOX/Lists", "Deep/er/Lists"};
	static const char *const dotted[] = {"Entw\xc3\xbcrfe.alt", "Alt"};

	submit_renames(store, "anna", knots, 5);
	submit_renames(store, "anna", below, 1);
	submit_renames(store, "bob", dotted, 1);
}

static void write_sets(struct mbj_store *store)
{
	struct mbj_change changes[] = {
		create('a', 10, 0, "Neu \xe6\x97\xa5\xe6\x9c\xac"),
		{.kind = MBJ_CHANGE_UPDATE,
		 .has = MBJ_CHANGE_HAS_ROLE | MBJ_CHANGE_HAS_SUBSCRIBED,
		 .id = box('a', 4),
		 .role = MBJ_ROLE_NONE,
		 .is_subscribed = false},
		{.kind = MBJ_CHANGE_UPDATE,
		 .has = MBJ_CHANGE_HAS_SELECTABLE,
		 .id = box('a', 5),
		 .is_selectable = true},
		{.kind = MBJ_CHANGE_DESTROY, .id = box('a', 9)},
	};
	/* A name that was retired is taken again. */
	static const char *const again[] = {"2024", "Retired"};

	submit_changes(store, MBJ_EDIT_SET, "anna", changes, 4);
	submit_renames(store, "anna", again, 1);
}

static void write_by_hand(struct mbj_store **store, struct golden_sys *sys)
{
	const struct mbj_op ops[] = {
		{.kind = MBJ_OP_ACCOUNT_SET,
		 .quota_messages = 100000,
		 .quota_size = (uint64_t)5 << 30},
		{.kind = MBJ_OP_MAILBOX_SET_ATTR,
		 .id = box('a', 10),
		 .rev = 1,
		 .attr_kind = MBJ_ATTR_ACL,
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("lrs")},
		{.kind = MBJ_OP_MAILBOX_SET_ATTR,
		 .id = box('a', 10),
		 .rev = 2,
		 .attr_kind = MBJ_ATTR_METADATA,
		 .name = mbj_bytes_str("/private/comment"),
		 .value = mbj_bytes_str("first\nsecond")},
		{.kind = MBJ_OP_ACCOUNT_SET_ATTR,
		 .name = mbj_bytes_str("/shared/admin"),
		 .value = mbj_bytes_str("mailto:hostmaster@example.org")},
	};

	submit_ops(store, sys, "anna", ops, sizeof(ops) / sizeof(ops[0]));
}

/*
 * Into INBOX, marked, copied, moved, expunged; the rest goes where INBOX is
 * renamed to.
 */
static void write_messages(struct mbj_store *store)
{
	static const char keywords[] = "$Forwarded\0work";
	static const char *const renamed[] = {"INBOX", "2024"};
	uint8_t uids[MBJ_UID_RANGE_SIZE] = {2, 0, 0, 0, 3};
	struct mbj_message_edit steps[] = {
		{.kind = MBJ_MESSAGE_APPEND,
		 .blob = {{1}},
		 .size = 2048,
		 .time = 1767225600},
		{.kind = MBJ_MESSAGE_APPEND,
		 .blob = {{2}},
		 .size = 100,
		 .time = -1,
		 .flags = MBJ_FLAG_SEEN,
		 .keywords = mbj_bytes_make(keywords, sizeof(keywords))},
		{.kind = MBJ_MESSAGE_APPEND,
		 .uid = 7,
		 .blob = {{1}},
		 .size = 2048,
		 .modseq = 100,
		 .guid = mbj_bytes_str("1767225600.M1P2.mail1,S=2048")},
		{.kind = MBJ_MESSAGE_FLAGS,
		 .mode = MBJ_FLAGS_ADD,
		 .flags = MBJ_FLAG_ANSWERED | MBJ_FLAG_FLAGGED},
		{.kind = MBJ_MESSAGE_COPY, .target = box('a', 4)},
		{.kind = MBJ_MESSAGE_MOVE, .target = box('a', 10)},
		{.kind = MBJ_MESSAGE_EXPUNGE},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("anna");
	edit.messages = steps;
	edit.message_count = sizeof(steps) / sizeof(steps[0]);
	for (size_t i = 0; i < edit.message_count; i++) {
		steps[i].mailbox = box('a', 1);
		steps[i].uids = mbj_bytes_make(uids, sizeof(uids));
	}
	steps[6].mailbox = box('a', 4);
	uids[0] = 1;
	submit(store, &edit);
	submit_renames(store, "anna", renamed, 1);
}

/*
 * Intents of a server with a storage of its own: one done, one given up, one
 * settled by its mailboxes, one left open.
 */
static void write_intents(struct mbj_store *store)
{
	const struct mbj_rename rename = {mbj_bytes_str("Neu"),
					  mbj_bytes_str("Alt")};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (unsigned i = 0; i < 4; i++) {
		edit = MBJ_EDIT_INIT;
		edit.kind = MBJ_EDIT_RENAME;
		edit.account = mbj_bytes_str("intents");
		edit.renames = &rename;
		edit.rename_count = 1;
		edit.stage = MBJ_STAGE_INTENT;
		edit.intent = box('i', 100 + i);
		edit.producer = mbj_bytes_str("imap");
		if (i == 0)
			submit_changes(store, MBJ_EDIT_IMPORT, "intents",
				       (struct mbj_change[]){
					       create('i', 1, 0, "Neu")},
				       1);
		submit(store, &edit);
		edit.kind = MBJ_EDIT_INTENT;
		edit.rename_count = 0;
		if (i == 0)
			edit.stage = MBJ_STAGE_FAILED;
		if (i == 1)
			edit.stage = MBJ_STAGE_DONE;
		if (edit.stage != MBJ_STAGE_INTENT)
			submit(store, &edit);
		if (i != 1)
			continue;
		/* Back again, for the next. */
		edit = MBJ_EDIT_INIT;
		submit_changes(store, MBJ_EDIT_RECONCILE, "intents",
			       (struct mbj_change[]){create('i', 1, 0, "Neu")},
			       1);
	}
}

/* Back and forth, until there are some segments. */
static void write_many(struct mbj_store *store)
{
	for (unsigned i = 0; i < 20; i++) {
		char name[2][ACCOUNT_NAME_SIZE];
		const char *const pair[] = {name[0], name[1]};

		(void)snprintf(name[0], sizeof(name[0]), i == 0 ? "Alt" : "%u",
			       i);
		(void)snprintf(name[1], sizeof(name[1]), "%u", i + 1);
		submit_renames(store, "bob", pair, 1);
	}
}

static void write_ends(struct mbj_store *store)
{
	struct mbj_change wanted[] = {
		create('c', 1, 0, "INBOX"),
		create('c', 3, 0, "B"),
		create('c', 2, 3, "A"),
		create('c', 4, 0, "C"),
	};
	struct mbj_change before[] = {
		create('c', 1, 0, "INBOX"),
		create('c', 2, 0, "A"),
		create('c', 3, 2, "B"),
	};
	const struct mbj_rename renamed = {{NULL, 0}, mbj_bytes_str("carla")};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	submit_changes(store, MBJ_EDIT_IMPORT, "carl", before, 3);
	submit_changes(store, MBJ_EDIT_RECONCILE, "carl", wanted, 4);
	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str("carl");
	edit.renames = &renamed;
	edit.rename_count = 1;
	submit(store, &edit);
	edit = MBJ_EDIT_INIT;
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str("bob");
	submit(store, &edit);
}

void golden_write(const char *dir)
{
	struct mbj_store_options options = golden_options();
	struct mbj_store *store = NULL;
	struct golden_sys sys;

	golden_sys_init(&sys);
	options.sys = &sys.table;
	GOLDEN_OK(mbj_store_init(dir, MBJ_STORE_PRIMARY, &options, err));
	GOLDEN_OK(mbj_store_open(dir, &options, &store, err));
	write_imports(store);
	write_renames(store);
	write_sets(store);
	write_by_hand(&store, &sys);
	write_intents(store);
	write_messages(store);
	write_many(store);
	write_ends(store);
	mbj_store_close(&store);
}

/* ------------------------------------------------------------ as text */

static void put_text(struct mbj_buf *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put_text(struct mbj_buf *text, const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	ck_assert(n >= 0 && n < (int)sizeof(line));
	mbj_buf_put(text, line, (size_t)n);
}

static void put_hex(struct mbj_buf *text, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_text(text, "%02x", p[i]);
}

static void put_digest(struct mbj_buf *text, const struct mbj_digest *digest)
{
	for (size_t i = 0; i < 4; i++)
		put_text(text, "%s%016llx", i == 0 ? " digest " : ".",
			 (unsigned long long)digest->lane[i]);
}

static void put_group(struct mbj_buf *text, const struct mbj_group *group)
{
	struct mbj_reader reader;
	struct mbj_op op;

	put_text(text, "group %llu epoch %llu time %lld origin %s request ",
		 (unsigned long long)group->header.lsn.v,
		 (unsigned long long)group->header.epoch.v,
		 (long long)group->header.time_us,
		 mbj_origin_name((enum mbj_origin)group->header.origin));
	put_hex(text, group->header.request.b, MBJ_ID_SIZE);
	put_text(text, "\n");
	for (uint32_t i = 0; i < group->header.account_count; i++) {
		struct mbj_group_account account;

		mbj_group_account_get(group, i, &account);
		put_text(text, "  account ");
		put_hex(text, account.id.b, MBJ_ID_SIZE);
		put_text(text, " previous %llu",
			 (unsigned long long)account.previous.v);
		put_digest(text, &account.digest);
		put_text(text, "\n");
	}
	mbj_reader_init(&reader, group->body);
	for (uint32_t i = 0; i < group->header.op_count; i++) {
		GOLDEN_OK(mbj_group_op_next(group, &reader, &op, err));
		put_text(text, "  ");
		mbj_op_print(text, &op);
		put_text(text, "\n");
	}
}

static void put_accounts(struct mbj_buf *text, struct mbj_store *store)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	struct mbj_digest digest;

	GOLDEN_OK(mbj_store_read(store, &txn, err));
	GOLDEN_OK(mbj_scan_accounts(txn, &scan, err));
	while (mbj_scan_next_account(&scan, &account, NULL) == MBJ_OK) {
		GOLDEN_OK(mbj_txn_account_check(txn, account.id, &digest, err));
		ck_assert(mbj_digest_equal(&digest, &account.digest));
		put_text(text, "account ");
		put_hex(text, account.id.b, MBJ_ID_SIZE);
		put_text(text, " name ");
		mbj_name_escape(text, account.name);
		put_text(text, " lsn %llu mailboxes %llu subscriptions %llu",
			 (unsigned long long)account.lsn.v,
			 (unsigned long long)account.mailbox_count,
			 (unsigned long long)account.subscription_count);
		if (account.message_count > 0)
			put_text(text, " messages %llu size %llu",
				 (unsigned long long)account.message_count,
				 (unsigned long long)account.message_size);
		put_digest(text, &digest);
		put_text(text, "\n");
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
}

void golden_describe(const char *dir, struct mbj_buf *text)
{
	struct mbj_store_options options = golden_options();
	struct mbj_log_reader *reader = NULL;
	struct mbj_store *store = NULL;
	struct mbj_log_end end;
	struct mbj_group group;

	GOLDEN_OK(mbj_store_open(dir, &options, &store, err));
	GOLDEN_OK(mbj_store_log_reader(mbj_sys_posix(), dir, &reader, err));
	end = mbj_store_end(store);
	for (uint64_t lsn = 1; lsn <= end.lsn.v; lsn++) {
		GOLDEN_OK(mbj_log_reader_next(reader, &group, err));
		GOLDEN_OK(mbj_group_check(&group, err));
		put_group(text, &group);
	}
	put_text(text, "end %llu chain ", (unsigned long long)end.lsn.v);
	put_hex(text, end.chain.b, MBJ_HASH_SIZE);
	put_text(text, "\n");
	put_accounts(text, store);
	GOLDEN_OK(mbj_buf_ok(text, err));
	mbj_log_reader_close(&reader);
	mbj_store_close(&store);
}
