/*
 * A client of a store that this process owns.  Alone in its file: whoever only
 * connects to a service needs nothing of what is behind it.
 */
#include <mbj/check.h>

#include "client_impl.h"

static const struct client_local LOCAL = {
	.close = mbj_store_close,
	.identity = mbj_store_identity,
	.run = dispatch_run,
	.done = dispatch_done,
	.submit = dispatch_submit,
	.tree = dispatch_tree,
	.status = dispatch_status,
};

enum mbj_rc mbj_client_take(struct mbj_store *store,
			    struct mbj_client **ret_client,
			    struct mbj_error *err)
{
	const char *dir = mbj_store_dir(store);
	enum mbj_rc rc;

	MBJ_ASSERT(strlen(dir) < sizeof((*ret_client)->dir));
	rc = client_new(NULL, ret_client, err);
	if (rc < 0)
		return rc;
	(*ret_client)->store = store;
	(*ret_client)->local = &LOCAL;
	memcpy((*ret_client)->dir, dir, strlen(dir) + 1);
	return MBJ_OK;
}
