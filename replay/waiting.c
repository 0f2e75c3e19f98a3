/*
 * The accounts that are aside; see quarantine_run.h.
 */
#include "quarantine_run.h"

#include <stdlib.h>

/* That can be aside at once, as the engine has it. */
enum { WAITING_MAX = 1 << 24 };

static enum mbj_rc list_add(struct waiting_list *list, size_t *capacity,
			    const struct mbj_parked *parked,
			    struct mbj_error *err)
{
	void *items = list->items;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&items, capacity, list->count + 1,
			       sizeof(*list->items), WAITING_MAX, err);
	list->items = items;
	if (rc == MBJ_OK)
		list->items[list->count++] = (struct waiting){
			.account = parked->account,
			.first = parked->first,
			.last = parked->last,
			.count = parked->count,
		};
	return rc;
}

enum mbj_rc waiting_load(struct mbj_store *store, struct waiting_list *ret_list,
			 struct mbj_error *err)
{
	struct waiting_list list = {.count = 0};
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	size_t capacity = 0;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = list_add(&list, &capacity, &parked, err);
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND) {
		waiting_done(&list);
		return rc;
	}
	*ret_list = list;
	return MBJ_OK;
}

void waiting_done(struct waiting_list *list)
{
	mbj_free(list->items);
	*list = (struct waiting_list){.count = 0};
}

static int account_order(const void *key, const void *item)
{
	const struct mbj_id *account = key;
	const struct waiting *w = item;

	return mbj_id_compare(*account, w->account);
}

struct waiting *waiting_find(const struct waiting_list *list,
			     struct mbj_id account)
{
	if (list->count == 0)
		return NULL;
	return bsearch(&account, list->items, list->count, sizeof(*list->items),
		       account_order);
}
