/*
 * mbj_segments STORE ACCOUNT MAILBOX COUNT
 *
 * Renames a mailbox there and back COUNT times in a store with small segments,
 * so that its journal has many of them: no verb writes that small ones.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/store.h>

static void must(enum mbj_rc rc, const struct mbj_error *err)
{
	if (rc == MBJ_OK)
		return;
	(void)fprintf(stderr, "mbj_segments: %s\n", err->message);
	exit(EXIT_FAILURE);
}

static void rename_once(struct mbj_store *store, const char *account,
			const char *from, const char *to)
{
	const struct mbj_rename rename = {mbj_bytes_str(from),
					  mbj_bytes_str(to)};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_error err;

	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str(account);
	edit.renames = &rename;
	edit.rename_count = 1;
	must(mbj_store_submit(store, &edit, &outcome, &err), &err);
	mbj_outcome_done(&outcome);
}

int main(int argc, char **argv)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	char other[256];

	if (argc != 5)
		return EXIT_FAILURE;
	options.log.segment_size = 8192;
	options.log.reserve_max = 4096;
	must(mbj_store_open(argv[1], &options, &store, &err), &err);
	(void)snprintf(other, sizeof(other), "%s for now", argv[3]);
	for (long i = strtol(argv[4], NULL, 10); i > 0; i--) {
		rename_once(store, argv[2], argv[3], other);
		rename_once(store, argv[2], other, argv[3]);
	}
	mbj_store_close(&store);
	return EXIT_SUCCESS;
}
