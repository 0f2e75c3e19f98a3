/*
 * Journals; see bench_journal.h.
 */
#include "bench_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/codec.h>

#include "bench_text.h"

void bench_stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static void submit(struct mbj_store *store, const struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;

	if (mbj_store_submit(store, edit, &outcome, &err) < 0)
		bench_stop("edit", err.message);
	mbj_outcome_done(&outcome);
}

static struct mbj_id box_id(unsigned account, unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 8, account);
	mbj_store_u32(id.b + 12, number + 1);
	return id;
}

static struct mbj_bytes account_name(unsigned account, char name[static 16])
{
	(void)snprintf(name, 16, "u%u", account);
	return mbj_bytes_str(name);
}

static void account_import(struct mbj_store *store, unsigned account)
{
	struct mbj_change changes[BENCH_BOXES + 1];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char names[BENCH_BOXES + 1][32];
	char name[16];

	for (unsigned i = 0; i <= BENCH_BOXES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "mailbox-%u", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = box_id(account, i),
			.name = mbj_bytes_str(i ? names[i] : "INBOX"),
		};
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = account_name(account, name);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = BENCH_BOXES + 1;
	submit(store, &edit);
}

void bench_rename(struct mbj_store *store, unsigned account, unsigned turn)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME,
		.id = box_id(account, 1 + turn % BENCH_BOXES),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char name[16];
	char to[32];

	(void)snprintf(to, sizeof(to), "renamed-%u", turn);
	change.name = mbj_bytes_str(to);
	edit.kind = MBJ_EDIT_SET;
	edit.account = account_name(account, name);
	edit.changes = &change;
	edit.change_count = 1;
	submit(store, &edit);
}

static size_t mail_make(enum bench_mail mail, unsigned account, unsigned turn,
			char bytes[static 8192])
{
	uint64_t state = ((uint64_t)account << 32 | turn) + 1;

	if (mail == BENCH_TEXT) {
		bench_text(turn, bytes, 2048);
		return 2048;
	}
	if (mail == BENCH_NOISE) {
		for (size_t at = 0; at < 2048; at += 8) {
			state = state * UINT64_C(0x5851f42d4c957f2d) + 1;
			mbj_store_u64((uint8_t *)bytes + at,
				      state ^ state >> 29);
		}
		return 2048;
	}
	memset(bytes, 'x', 8192);
	(void)snprintf(bytes, 8192, "message %u of %u\r\n", turn, account);
	return 8192;
}

static void message_append(struct mbj_store *store, enum bench_mail mail,
			   unsigned account, unsigned turn)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = box_id(account, 0)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;
	char bytes[8192];
	char name[16];

	step.size = mail_make(mail, account, turn, bytes);
	if (mbj_store_blobs(store, &blobs, &err) < 0 ||
	    mbj_blob_put(blobs, mbj_bytes_make(bytes, step.size), &step.blob,
			 &err) < 0)
		bench_stop("message", err.message);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = account_name(account, name);
	edit.messages = &step;
	edit.message_count = 1;
	submit(store, &edit);
}

void bench_journal_make(const char *dir, const struct bench_journal *journal)
{
	struct mbj_store *store = NULL;
	struct mbj_error err;

	if (mbj_store_init(dir, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_open(dir, NULL, &store, &err) < 0)
		bench_stop("primary", err.message);
	for (unsigned a = 0; a < journal->accounts; a++)
		account_import(store, a);
	/* As users do: each now and then. */
	for (unsigned i = 0; i < journal->renames; i++)
		for (unsigned a = 0; a < journal->accounts; a++)
			bench_rename(store, a, i);
	for (unsigned i = 0; i < journal->messages; i++)
		for (unsigned a = 0; a < journal->accounts; a++)
			message_append(store, journal->mail, a, i);
	mbj_store_close(&store);
}

unsigned bench_journal_groups(const struct bench_journal *journal)
{
	return journal->accounts * (1 + journal->renames + journal->messages);
}
