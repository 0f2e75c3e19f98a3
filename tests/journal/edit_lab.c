/*
 * The laboratory of the tests of edits.
 */
#include "edit_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRIMARY, REPLICA, CHANGES_MAX = EDIT_LAB_WORDS_MAX };

void edit_lab_begin(struct edit_lab *lab, enum mbj_state_engine engine)
{
	const struct mbj_state_options options = {4u << 20, 4u << 20, 4u << 20,
						  4096, engine};
	static const char *const names[] = {"primary", "replica"};
	struct mbj_id lineage = {{0xed}};

	memset(lab, 0, sizeof(*lab));
	lab->dir = test_tmpdir_new();
	for (int i = 0; i < 2; i++) {
		char *home = test_path_dup(lab->dir, names[i]);

		LAB_OK(mbj_state_open(mbj_sys_posix(), home, lineage, &options,
				      &lab->states[i], err));
		LAB_OK(mbj_txn_begin(lab->states[i], &lab->txns[i], err));
		free(home);
	}
	LAB_OK(mbj_sha256_new(&lab->sha, err));
	LAB_OK(mbj_arena_new(256u << 20, &lab->arena, err));
	mbj_group_writer_init(&lab->writer);
	mbj_buf_init(&lab->record, 2u * MBJ_GROUP_MAX);
	lab->time_us = INT64_C(1000) * 1000000;
}

void edit_lab_end(struct edit_lab *lab)
{
	for (int i = 0; i < 2; i++) {
		mbj_txn_abort(&lab->txns[i]);
		mbj_state_close(&lab->states[i]);
	}
	mbj_outcome_done(&lab->outcome);
	mbj_sha256_free(&lab->sha);
	mbj_arena_free(&lab->arena);
	mbj_group_writer_done(&lab->writer);
	mbj_buf_done(&lab->record);
	test_tmpdir_free(&lab->dir);
}

struct mbj_id edit_lab_id(const char *tag)
{
	struct mbj_id id = MBJ_ID_ROOT;

	ck_assert_uint_le(strlen(tag), MBJ_ID_SIZE);
	memcpy(id.b, tag, strlen(tag));
	return id;
}

/* ------------------------------------------------------------- running */

/* The account's digest after a check of every record; zero: no account. */
static struct mbj_digest lab_check(struct edit_lab *lab, int side,
				   struct mbj_id account)
{
	struct mbj_digest digest = {{0}};
	struct mbj_account found;

	if (mbj_id_is_root(account) ||
	    mbj_txn_account_get(lab->txns[side], account, &found, NULL) < 0)
		return digest;
	LAB_OK(mbj_txn_account_check(lab->txns[side], account, &digest, err));
	ck_assert(mbj_digest_equal(&digest, &found.digest));
	return digest;
}

static struct mbj_id lab_account_of(struct edit_lab *lab, struct mbj_bytes name)
{
	struct mbj_account found = {.id = MBJ_ID_ROOT};

	if (mbj_txn_account_find(lab->txns[PRIMARY], name, &found, NULL) < 0)
		found.id = MBJ_ID_ROOT;
	return found.id;
}

/* A replica must come to the same state from the record alone. */
static void lab_replicate(struct edit_lab *lab)
{
	struct mbj_digest primary, replica;
	struct mbj_apply_report report;
	struct mbj_group group;

	LAB_OK(mbj_group_parse(mbj_buf_view(&lab->record), &group, err));
	LAB_OK(mbj_group_check(&group, err));
	ck_assert_uint_eq(group.record.n, lab->record.n);
	LAB_OK(mbj_apply_group(lab->txns[REPLICA], &group, &report, err));
	ck_assert_msg(report.verdict == MBJ_VERDICT_APPLY, "%s: %s",
		      mbj_verdict_name(report.verdict), report.why.message);
	ck_assert_uint_eq(report.already, 0);
	primary = lab_check(lab, PRIMARY, lab->outcome.account);
	replica = lab_check(lab, REPLICA, lab->outcome.account);
	ck_assert(mbj_digest_equal(&primary, &replica));
}

enum mbj_rc edit_lab_run(struct edit_lab *lab, const struct mbj_edit *given)
{
	struct mbj_edit copy = *given;
	const struct mbj_edit *edit = &copy;
	struct edit_context context = {
		.sys = mbj_sys_posix(),
		.table_key = {lab->lsn.v, 7},
		.txn = lab->txns[PRIMARY],
		.sha = lab->sha,
		.writer = &lab->writer,
		.arena = lab->arena,
		.lsn = {lab->lsn.v + 1},
		.epoch = {1},
		.time_us = lab->time_us,
		.chain = lab->chain,
	};
	struct mbj_id account = lab_account_of(lab, edit->account);
	struct mbj_digest before = lab_check(lab, PRIMARY, account), after;
	size_t savepoint = mbj_txn_savepoint(lab->txns[PRIMARY]);

	copy.is_dry_run |= lab->is_dry_run;
	mbj_outcome_done(&lab->outcome);
	memset(&lab->error, 0, sizeof(lab->error));
	mbj_buf_clear(&lab->record);
	mbj_arena_reset(lab->arena);
	test_alloc_fail_at(lab->fail_at);
	lab->rc = edit_run(&context, edit, &lab->record, &lab->outcome,
			   &lab->error);
	lab->allocations = test_alloc_count();
	lab->fail_at = 0;
	test_alloc_fail_at(0);
	if (lab->rc == MBJ_OK && edit->is_dry_run)
		mbj_txn_rollback(lab->txns[PRIMARY], savepoint);
	if (lab->rc < 0)
		ck_assert_int_eq(lab->rc, lab->error.rc);
	ck_assert((lab->record.n > 0) == (lab->outcome.lsn.v > 0));
	if (lab->record.n > 0 && !edit->is_dry_run) {
		lab->lsn = context.lsn;
		lab->chain = context.chain;
		lab_replicate(lab);
	} else {
		after = lab_check(lab, PRIMARY, account);
		ck_assert(mbj_digest_equal(&before, &after));
	}
	return lab->rc;
}

/* --------------------------------------------------------------- words */

/* The words of a copy, which the caller frees. */
static size_t lab_split(const char *words, char **ret_copy,
			char *list[EDIT_LAB_WORDS_MAX])
{
	size_t n = strlen(words) + 1, count = 0;
	char *copy = malloc(n);
	char *save = NULL;

	*ret_copy = copy;
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, words, n);
	for (char *word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		ck_assert_uint_lt(count, EDIT_LAB_WORDS_MAX);
		list[count++] = word;
	}
	return count;
}

static void lab_member(struct mbj_change *change, const char *member)
{
	if (strncmp(member, "sub=", 4) == 0) {
		change->has |= MBJ_CHANGE_HAS_SUBSCRIBED;
		change->is_subscribed = member[4] == '1';
	} else if (strncmp(member, "sel=", 4) == 0) {
		change->has |= MBJ_CHANGE_HAS_SELECTABLE;
		change->is_selectable = member[4] == '1';
	} else if (strncmp(member, "role=", 5) == 0) {
		change->has |= MBJ_CHANGE_HAS_ROLE;
		change->role = (uint8_t)strtoul(member + 5, NULL, 10);
	} else if (strncmp(member, "uid=", 4) == 0) {
		change->has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		change->uidvalidity = (uint32_t)strtoul(member + 4, NULL, 10);
	} else {
		ck_abort_msg("unknown member %s", member);
	}
}

/* id[:place][?members]; word is cut up. */
static void lab_change(struct mbj_change *change, char *word)
{
	char *members = strchr(word, '?');
	char *place, *name, *save = NULL;

	if (members != NULL) {
		*members++ = '\0';
		for (char *m = strtok_r(members, ",", &save); m != NULL;
		     m = strtok_r(NULL, ",", &save))
			lab_member(change, m);
	}
	place = strchr(word, ':');
	if (place != NULL) {
		*place++ = '\0';
		name = strrchr(place, '/');
		change->has |= MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		change->parent = MBJ_ID_ROOT;
		if (name != NULL) {
			*name++ = '\0';
			change->parent = edit_lab_id(place);
			place = name;
		}
		change->name = mbj_bytes_str(place);
	}
	change->id = edit_lab_id(word);
}

static struct mbj_edit lab_edit(const char *account, enum mbj_edit_kind kind)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = kind;
	edit.account = mbj_bytes_str(account);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	return edit;
}

/* ---------------------------------------------------------------- edits */

void edit_lab_import(struct edit_lab *lab, const char *account,
		     const char *words)
{
	struct mbj_change changes[EDIT_LAB_WORDS_MAX + 1] = {{0}};
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_IMPORT);
	char *list[EDIT_LAB_WORDS_MAX];
	char *copy = NULL;
	size_t count = lab_split(words, &copy, list);

	for (size_t i = 0; i < count; i++) {
		struct mbj_change *change = &changes[i];
		char *word = list[i], *name;

		change->kind = MBJ_CHANGE_CREATE;
		change->has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
			      MBJ_CHANGE_HAS_SELECTABLE;
		change->is_selectable = *word != '!';
		word += *word == '!';
		if (*word == '*') {
			change->has |= MBJ_CHANGE_HAS_SUBSCRIBED;
			change->is_subscribed = true;
			word++;
		}
		change->id = edit_lab_id(word);
		name = strrchr(word, '/');
		if (name != NULL) {
			*name++ = '\0';
			change->parent = edit_lab_id(word);
			word = name;
		}
		change->name = mbj_bytes_str(word);
	}
	changes[count].kind = MBJ_CHANGE_CREATE;
	changes[count].has = MBJ_CHANGE_HAS_NAME;
	changes[count].id = edit_lab_id("INBOX");
	changes[count].name = mbj_bytes_str("INBOX");
	edit.changes = changes;
	edit.change_count = count + 1;
	EDIT_LAB_OK(lab, edit_lab_run(lab, &edit));
	free(copy);
}

enum mbj_rc edit_lab_rename(struct edit_lab *lab, const char *account,
			    const char *words)
{
	struct mbj_rename renames[EDIT_LAB_WORDS_MAX];
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_RENAME);
	char *list[EDIT_LAB_WORDS_MAX];
	char *copy = NULL;
	size_t count = lab_split(words, &copy, list);

	for (size_t i = 0; i < count; i++) {
		char *target = strchr(list[i], '>');

		ck_assert_ptr_nonnull(target);
		*target++ = '\0';
		renames[i].source = mbj_bytes_str(list[i]);
		renames[i].target = mbj_bytes_str(target);
	}
	edit.renames = renames;
	edit.rename_count = count;
	lab->rc = edit_lab_run(lab, &edit);
	free(copy);
	return lab->rc;
}

enum mbj_rc edit_lab_set(struct edit_lab *lab, const char *account,
			 const char *words)
{
	struct mbj_change changes[EDIT_LAB_WORDS_MAX] = {{0}};
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_SET);
	char *list[EDIT_LAB_WORDS_MAX];
	char *copy = NULL;
	size_t count = lab_split(words, &copy, list);

	for (size_t i = 0; i < count; i++) {
		changes[i].kind = list[i][0] == '+'   ? MBJ_CHANGE_CREATE
				  : list[i][0] == '=' ? MBJ_CHANGE_UPDATE
						      : MBJ_CHANGE_DESTROY;
		lab_change(&changes[i], list[i] + 1);
	}
	edit.changes = changes;
	edit.change_count = count;
	lab->rc = edit_lab_run(lab, &edit);
	free(copy);
	return lab->rc;
}

enum mbj_rc edit_lab_reconcile(struct edit_lab *lab, const char *account,
			       const char *words)
{
	struct mbj_change changes[EDIT_LAB_WORDS_MAX] = {{0}};
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_RECONCILE);
	char *list[EDIT_LAB_WORDS_MAX];
	char *copy = NULL;
	size_t count = lab_split(words, &copy, list);

	for (size_t i = 0; i < count; i++) {
		changes[i].kind = MBJ_CHANGE_CREATE;
		lab_change(&changes[i], list[i]);
	}
	edit.changes = changes;
	edit.change_count = count;
	lab->rc = edit_lab_run(lab, &edit);
	free(copy);
	return lab->rc;
}

enum mbj_rc edit_lab_metadata(struct edit_lab *lab, const char *account,
			      const struct mbj_metadata_edit *steps,
			      size_t count)
{
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_METADATA);

	edit.metadata = steps;
	edit.metadata_count = count;
	return edit_lab_run(lab, &edit);
}

enum mbj_rc edit_lab_messages(struct edit_lab *lab, const char *account,
			      const struct mbj_message_edit *steps,
			      size_t count)
{
	struct mbj_edit edit = lab_edit(account, MBJ_EDIT_MESSAGES);

	edit.messages = steps;
	edit.message_count = count;
	return edit_lab_run(lab, &edit);
}

/* -------------------------------------------------------------- looking */

const char *edit_lab_results(struct edit_lab *lab)
{
	size_t n = 0;

	lab->text[0] = '\0';
	for (size_t i = 0; i < lab->outcome.result_count; i++) {
		const struct mbj_change_result *r = &lab->outcome.results[i];
		bool is_done = r->refusal == MBJ_REFUSAL_NONE;

		ck_assert(is_done == (r->description == NULL));
		n += (size_t)snprintf(lab->text + n, sizeof(lab->text) - n,
				      "%s%s", i > 0 ? " " : "",
				      is_done ? "ok"
					      : mbj_refusal_type(r->refusal));
	}
	return lab->text;
}

static int word_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort words in place, spaces between them. */
static const char *lab_sort(struct edit_lab *lab, char **list, size_t count)
{
	size_t n = 0;

	if (count > 0)
		qsort(list, count, sizeof(*list), word_compare);
	lab->text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		n += (size_t)snprintf(lab->text + n, sizeof(lab->text) - n,
				      "%s%s", i > 0 ? " " : "", list[i]);
		free(list[i]);
	}
	return lab->text;
}

/* A tag: text, then zeroes up to the end. */
static bool id_is_tag(struct mbj_id id)
{
	size_t n = 0;

	while (n < MBJ_ID_SIZE && id.b[n] > ' ' && id.b[n] < 0x7f)
		n++;
	if (n == 0 || n == MBJ_ID_SIZE)
		return false;
	while (n < MBJ_ID_SIZE && id.b[n] == 0)
		n++;
	return n == MBJ_ID_SIZE;
}

static char *lab_word(const struct mbj_tree *tree, uint32_t index)
{
	const struct mbj_node *node = mbj_tree_get(tree, index);
	struct mbj_buf word;
	char *text;

	mbj_buf_init(&word, 1u << 20);
	if (!node->is_selectable)
		mbj_buf_put_str(&word, "!");
	mbj_tree_path(tree, index, '/', &word);
	mbj_buf_format(&word, "=%s",
		       id_is_tag(node->id) ? (const char *)node->id.b : "?");
	mbj_buf_put_u8(&word, 0);
	ck_assert_int_eq(word.failed, MBJ_OK);
	text = strdup((const char *)word.p);
	mbj_buf_done(&word);
	return text;
}

const char *edit_lab_tree(struct edit_lab *lab, const char *account)
{
	struct mbj_account found = edit_lab_account(lab, account);
	char *list[EDIT_LAB_WORDS_MAX * 4];
	struct mbj_tree *tree = NULL;
	size_t count = 0;
	bool has_inbox = false;

	LAB_OK(mbj_txn_tree_load(lab->txns[PRIMARY], found.id, &tree, err));
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		char *word = lab_word(tree, i);

		if (strncmp(word, "INBOX=", 6) == 0) {
			has_inbox = true;
			free(word);
			continue;
		}
		ck_assert_uint_lt(count, EDIT_LAB_WORDS_MAX * 4);
		list[count++] = word;
	}
	ck_assert(has_inbox);
	ck_assert_uint_eq(mbj_tree_size(tree), found.mailbox_count);
	mbj_tree_free(&tree);
	return lab_sort(lab, list, count);
}

const char *edit_lab_subscribed(struct edit_lab *lab, const char *account)
{
	struct mbj_account found = edit_lab_account(lab, account);
	char *list[EDIT_LAB_WORDS_MAX * 4];
	struct mbj_scan scan = {0};
	struct mbj_path path;
	size_t count = 0;

	LAB_OK(mbj_scan_subscriptions(lab->txns[PRIMARY], found.id,
				      mbj_bytes_make(NULL, 0), &scan, err));
	while (mbj_scan_next_subscription(&scan, &path, NULL) == MBJ_OK) {
		char *word = malloc(path.stored.n + 1);

		ck_assert_ptr_nonnull(word);
		memcpy(word, path.stored.p, path.stored.n);
		word[path.stored.n] = '\0';
		for (size_t i = 0; i < path.stored.n; i++)
			if (word[i] == '\0')
				word[i] = '/';
		ck_assert_uint_lt(count, EDIT_LAB_WORDS_MAX * 4);
		list[count++] = word;
	}
	mbj_scan_done(&scan);
	ck_assert_uint_eq(count, found.subscription_count);
	return lab_sort(lab, list, count);
}

struct mbj_account edit_lab_account(struct edit_lab *lab, const char *account)
{
	struct mbj_account found;

	LAB_OK(mbj_txn_account_find(lab->txns[PRIMARY], mbj_bytes_str(account),
				    &found, err));
	return found;
}

struct mbj_mailbox edit_lab_mailbox(struct edit_lab *lab, const char *account,
				    const char *tag)
{
	struct mbj_account found = edit_lab_account(lab, account);
	struct mbj_mailbox mailbox;

	LAB_OK(mbj_txn_mailbox_get(lab->txns[PRIMARY], found.id,
				   edit_lab_id(tag), &mailbox, err));
	return mailbox;
}

unsigned edit_lab_ops(struct edit_lab *lab, enum mbj_op_kind kind)
{
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;
	unsigned count = 0;

	LAB_OK(mbj_group_parse(mbj_buf_view(&lab->record), &group, err));
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK)
		count += op.kind == kind;
	return count;
}
