/*
 * What the files of the log share: names in the journal's directory, and the
 * record that says how far it is published.  Private to journal/.
 */
#ifndef MBJ_JOURNAL_LOG_PRIV_H
#define MBJ_JOURNAL_LOG_PRIV_H

#include "segment_list.h"
#include "segment_scan.h"

#define LOG_PUBLISHED_NAME "published"
#define LOG_SUSPECT_NAME   "suspect"
#define LOG_NEW_NAME	   "new-segment"

enum { LOG_PUBLISHED_SIZE = 64 };

/* "published": magic, LSN, chain, zeroes, CRC32C (docs/FORMAT.md). */
void log_published_encode(const struct mbj_log_end *end,
			  uint8_t bytes[LOG_PUBLISHED_SIZE]);
/*
 * What is published; lsn 0 where nothing is or the record cannot be read
 * (it is evidence, never the only copy of anything).
 */
enum mbj_rc log_published_load(const struct mbj_sys *sys, const char *dir,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* The end of a journal that holds no groups yet. */
static inline struct mbj_log_end log_end_of_anchor(const struct mbj_anchor *a)
{
	return (struct mbj_log_end){{a->first.v - 1}, a->chain};
}

#endif
