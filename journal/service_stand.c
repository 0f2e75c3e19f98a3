/*
 * Who closes intents that stand for want of another change, one after the
 * other, in a thread of its own: each waits for the disk, and nobody for it.
 *
 * Threads: stand_init and stand_done are the loop's.
 */
#include <mbj/check.h>

#include "dispatch.h"
#include "service_impl.h"

/* By the name that the account has now. */
static enum mbj_rc intent_close(struct mbj_store *store, struct mbj_id account,
				struct mbj_id intent)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	char name[MBJ_ACCOUNT_NAME_MAX];
	struct mbj_account found;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, NULL);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_get(txn, account, &found, NULL);
	if (rc == MBJ_OK) {
		MBJ_ASSERT(found.name.n <= sizeof(name));
		memcpy(name, found.name.p, found.name.n);
		edit.account = mbj_bytes_make(name, found.name.n);
	}
	mbj_txn_abort(&txn);
	if (rc < 0)
		return rc;
	/* All that was to be told was. */
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.stage = MBJ_STAGE_DONE;
	edit.intent = intent;
	rc = store_submit(store, &edit, store_removals(store), &outcome, NULL);
	mbj_outcome_done(&outcome);
	return rc;
}

static void *stand_main(void *arg)
{
	struct mbj_store *store = arg;
	struct mbj_id account, intent;

	while (standing_close(&store->standing, &account, &intent)) {
		enum mbj_rc rc = intent_close(store, account, intent);

		standing_closed(&store->standing, intent, rc == MBJ_OK);
	}
	return NULL;
}

void stand_init(struct service *service)
{
	/* First: to one that is halted it would be over at once. */
	standing_begin(&service->store->standing);
	service->has_closer = pthread_create(&service->closer, NULL, stand_main,
					     service->store) == 0;
	if (!service->has_closer)
		standing_halt(&service->store->standing);
}

void stand_done(struct service *service)
{
	if (!service->has_closer)
		return;
	standing_halt(&service->store->standing);
	(void)pthread_join(service->closer, NULL);
	service->has_closer = false;
}
