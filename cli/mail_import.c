/*
 * The frame of an import: what each needs before it looks at its source, and
 * after.
 */
#include "mail.h"

enum mbj_rc mail_import_begin(struct mail_import *m,
			      const struct cli_call *call,
			      const struct mbj_name_policy *policy)
{
	*m = (struct mail_import){.sys = mbj_sys_posix()};
	session_init(&m->s, call);
	m->s.edit.policy = *policy;
	mail_report_init(&m->report, call);
	m->step = mbj_alloc(MAIL_STEP);
	if (m->step == NULL)
		return mbj_error_nomem(&m->s.err);
	return mail_folders_init(&m->folders, &m->s.err);
}

enum mbj_rc mail_import_open(struct mail_import *m)
{
	enum mbj_rc rc = session_open_store(&m->s);

	if (rc == MBJ_OK && !m->s.edit.is_dry_run)
		rc = mbj_store_blobs(m->s.store, &m->blobs, &m->s.err);
	if (rc == MBJ_OK && m->blobs != NULL)
		rc = mbj_blobs_bulk(m->blobs, true, &m->s.err);
	return rc;
}

int mail_import_end(struct mail_import *m, enum mbj_rc rc)
{
	mbj_free(m->step);
	mbj_utf7_free(&m->utf7);
	mail_folders_done(&m->folders);
	return mail_report_end(&m->report, &m->s, rc, "import-mail",
			       "imported");
}
