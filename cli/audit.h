/*
 * What became of accounts that were set aside, as lines and as JSON.
 */
#ifndef MBJ_CLI_AUDIT_H
#define MBJ_CLI_AUDIT_H

#include <mbj/audit.h>
#include <mbj/client.h>

/*
 * Oldest first; of one account only, unless it is ROOT.  names, which may be
 * NULL, has what accounts are called now.  Returns: as mbj_audit_load.
 */
enum mbj_rc audit_print(const char *dir, struct mbj_id account,
			const struct mbj_client_accounts *names, bool is_json,
			struct mbj_buf *out,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
