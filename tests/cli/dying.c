/*
 * The command with a bug in it: an assertion fails while a group is applied,
 * on a replica, that has the number in MBJ_DIES_AT.  With MBJ_DIES_OF=kill the
 * process is killed instead, and with "second" it fails only when the process
 * applies the group once more.  Everything else is the command's.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/apply.h>
#include <mbj/check.h>

enum mbj_rc __real_mbj_apply_group(struct mbj_txn *txn,
				   const struct mbj_group *group,
				   struct mbj_apply_report *ret_report,
				   struct mbj_error *err);
enum mbj_rc __wrap_mbj_apply_group(struct mbj_txn *txn,
				   const struct mbj_group *group,
				   struct mbj_apply_report *ret_report,
				   struct mbj_error *err);

enum mbj_rc __wrap_mbj_apply_group(struct mbj_txn *txn,
				   const struct mbj_group *group,
				   struct mbj_apply_report *ret_report,
				   struct mbj_error *err)
{
	static unsigned met;
	const char *at = getenv("MBJ_DIES_AT");
	const char *of = getenv("MBJ_DIES_OF");

	if (at != NULL && strtoull(at, NULL, 10) == group->header.lsn.v &&
	    (of == NULL || strcmp(of, "second") != 0 || met++ > 0)) {
		if (of != NULL && strcmp(of, "kill") == 0)
			(void)raise(SIGKILL);
		MBJ_ASSERT(at == NULL);
	}
	return __real_mbj_apply_group(txn, group, ret_report, err);
}
