/*
 * What Berkeley DB leaves undone to have its files on disk.
 *
 * It recovers from what it reads.  After a kill that may be in the page cache
 * alone: recovery takes the log's tail for durable, writes pages that follow
 * from it, syncs these, and never the log; nor does it sync a page that the
 * killed process wrote and that it finds right.  So everything is synced
 * before recovery begins.
 *
 * It syncs what it writes to a file, and never a directory.  After a
 * power cut a log file may be gone with its entry although pages were written
 * on the strength of its records; recovery then finds a shorter log, takes it
 * for the whole, and what the pages say is half of a transaction.  So the
 * entries of the next log files are made, empty, and synced before the engine
 * can begin to write to them.  It takes a file that is there, and recovery
 * passes over empty ones at the end.
 *
 * Not here: what is in the files.
 *
 * Invariants:
 *   1. recovery begins from what is on disk;
 *   2. no log file is written to whose entry is not on disk.
 *
 * Threads: the writer's; see db_engine.h.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "db_berkeley.h"

enum {
	/*
	 * Between two looks the engine may fill two files: a file's half as we
	 * count it is up to four times as much in the log, with page images.
	 */
	LOG_FILES_AHEAD = 3,
	LOG_RECORD_COST = 256, /* of a write, besides its key and value */
	HOME_NAMES_MAX = 4 << 20,
};

static enum mbj_rc log_file_make(struct berkeley *db, uint32_t number,
				 struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	char name[32];
	enum mbj_rc rc;

	(void)snprintf(name, sizeof(name), "log.%010u", number);
	rc = mbj_path_join(path, db->home, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(db->sys, path, O_WRONLY | O_CREAT, &file,
				   err);
	mbj_file_close(&file);
	return rc;
}

/* Entries up to this file, on disk. */
static enum mbj_rc log_files_make(struct berkeley *db, uint32_t last,
				  struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (last <= db->log_file_last)
		return MBJ_OK;
	for (uint32_t i = db->log_file_last + 1; rc == MBJ_OK && i <= last; i++)
		rc = log_file_make(db, i, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(db->sys, db->home, err);
	if (rc == MBJ_OK)
		db->log_file_last = last;
	return rc;
}

enum mbj_rc berkeley_log_begin(struct berkeley *db, struct mbj_error *err)
{
	MBJ_ASSERT(db->log_file_last == 0);
	return log_files_make(db, LOG_FILES_AHEAD, err);
}

enum mbj_rc berkeley_log_ahead(struct berkeley *db, struct mbj_error *err)
{
	DB_LOG_STAT *stat = NULL;
	uint32_t current;
	enum mbj_rc rc;
	int code;

	code = db->env->log_stat(db->env, &stat, 0);
	if (code != 0)
		return berkeley_error(db, code, "ask about", "the log", err);
	current = stat->st_cur_file;
	mbj_free(stat);
	/* What is behind the current file may have been removed already. */
	if (db->log_file_last < current - 1)
		db->log_file_last = current - 1;
	rc = log_files_make(db, current + LOG_FILES_AHEAD, err);
	if (rc == MBJ_OK)
		db->log_volume = 0;
	return rc;
}

enum mbj_rc berkeley_log_count(struct berkeley *db, size_t count, size_t size,
			       struct mbj_error *err)
{
	db->log_volume += size + count * LOG_RECORD_COST;
	if (db->log_volume < db->log_file_size / 2)
		return MBJ_OK;
	return berkeley_log_ahead(db, err);
}

static enum mbj_rc home_file_sync(struct berkeley *db, const char *name,
				  struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, db->home, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(db->sys, path, O_RDWR, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, err);
	mbj_file_close(&file);
	return rc;
}

enum mbj_rc berkeley_home_sync(struct berkeley *db, struct mbj_error *err)
{
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, HOME_NAMES_MAX);
	rc = mbj_dir_list(db->sys, db->home, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (strcmp(name, "state.db") == 0 ||
		    strncmp(name, "log.", 4) == 0)
			rc = home_file_sync(db, name, err);
	}
	mbj_buf_done(&names);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(db->sys, db->home, err);
	return rc;
}
