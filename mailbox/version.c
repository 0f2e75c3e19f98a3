/*
 * All versions in one place.
 */
#include <mbj/version.h>

void mbj_version_get(struct mbj_version *ret_version)
{
	ret_version->mbj = MBJ_VERSION;
	ret_version->journal_format = MBJ_FORMAT_JOURNAL;
	ret_version->state_format = MBJ_FORMAT_STATE;
	mbj_db_version_get(ret_version->berkeley_db);
	mbj_name_version_get(ret_version->icu);
}
