/*
 * How many bytes replicas are behind; see mbj/replicas.h.
 *
 * Threads: one.
 */
#include <mbj/memory.h>
#include <mbj/replicas.h>
#include <mbj/store.h>

#define JOURNAL_NAME "journal" /* in a store (docs/FORMAT.md) */

void mbj_replicas_behind(const struct mbj_sys *sys, const char *dir,
			 struct mbj_lsn end, struct mbj_replica_note *notes,
			 size_t count)
{
	struct mbj_log_behind *behind = mbj_calloc(count, sizeof(*behind));
	struct mbj_lsn *after = mbj_calloc(count, sizeof(*after));
	struct mbj_identity identity = {.lineage = MBJ_ID_ROOT};
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_ENOMEM;

	for (size_t i = 0; i < count && after != NULL; i++)
		after[i] = notes[i].applied;
	sys = sys != NULL ? sys : mbj_sys_posix();
	if (count > 0 && behind != NULL && after != NULL)
		rc = mbj_identity_load(sys, dir, &identity, NULL);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, dir, JOURNAL_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_log_behind_get(sys, path, identity.lineage, end, after,
					count, behind, NULL);
	for (size_t i = 0; i < count; i++) {
		notes[i].is_behind_known = rc == MBJ_OK;
		if (rc == MBJ_OK)
			notes[i].behind = behind[i];
	}
	mbj_free(behind);
	mbj_free(after);
}
