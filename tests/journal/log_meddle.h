/*
 * Somebody else at the disk in memory: between two calls of ours a file goes
 * or changes, or a call fails that only looks (log_disk.h counts those that
 * change something).
 *
 * The directory has longer names than "j" here: any number of slashes may
 * follow, as POSIX has it.
 */
#ifndef TEST_JOURNAL_LOG_MEDDLE_H
#define TEST_JOURNAL_LOG_MEDDLE_H

#include "log_lab.h"

enum meddle_call {
	MEDDLE_OPEN = 1 << 0, /* of files and of the directory */
	MEDDLE_READ = 1 << 1,
	MEDDLE_SYNC = 1 << 2, /* of files and of the directory */
};

struct meddle {
	struct mbj_sys sys; /* what the log is given */
	struct disk *disk;
	unsigned calls; /* these are counted */
	uint64_t count;
	uint64_t at; /* the one that it happens before, 0: none */
	void (*change)(struct meddle *meddle); /* what happens, or NULL */
	bool is_failing; /* that call fails with EIO, and later ones too */
};

void meddle_init(struct meddle *meddle, struct disk *disk);
/* Before the at-th of these calls from now on, change is called, once. */
void meddle_change(struct meddle *meddle, unsigned calls, uint64_t at,
		   void (*change)(struct meddle *meddle));
/* The at-th of these calls from now on fails, and those behind it; 0: none. */
void meddle_fail(struct meddle *meddle, unsigned calls, uint64_t at);

/* Opening as in log_lab.h, by the directory's name. */
enum mbj_rc meddle_log_try(struct meddle *meddle, const char *dir,
			   uint64_t known, struct mbj_log **ret_log,
			   struct mbj_error *err);
enum mbj_rc meddle_reader_try(struct meddle *meddle, const char *dir,
			      bool is_owned, struct mbj_log_reader **ret_reader,
			      struct mbj_error *err);

#endif
