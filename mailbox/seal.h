/*
 * The seal of a state: what every page of every file of the environment was
 * when it was closed.  Private to mailbox/.
 *
 * Berkeley DB takes a page of zeroes for one that was never written, and a
 * damaged log for one that ends there; a file that is cut short, that has
 * zeroes in it or another length in a log's first record makes it loop or
 * crash (tests/damage).  So it is not shown any
 * file that differs from what it left: opening compares all of them with the
 * seal first, and takes the seal away before the first write.
 *
 *	closed cleanly ---- "seal" is there, everything matches ----> opened
 *	                            |                                   |
 *	                     something differs                    "seal" is gone
 *	                            |                                   |
 *	                      made anew  <-- page of zeroes -- killed
 *
 *	 0  8  magic "MBJSSEAL"
 *	 8  4  version, 1
 *	12  4  files
 *	       for each, by name: u32 length and name, u64 size, u32 CRC32C of
 *	       each 4,096 bytes (the last may be shorter)
 *	    4  CRC32C of all before
 *
 * Threads: whoever opens or closes the state.
 */
#ifndef MBJ_MAILBOX_SEAL_H
#define MBJ_MAILBOX_SEAL_H

#include <mbj/sys.h>

/*
 * Bytes of a page of the tables, which is what is compared.  Of the format:
 * only tests/damage makes states with others, small enough to flip every bit.
 */
#ifndef STATE_PAGE_SIZE
#define STATE_PAGE_SIZE 4096
#endif

#define SEAL_NAME	"seal"
#define SEAL_PAGES_NAME "seal.pages"

/*
 * What a seal says of the tables, the largest of the files, by far: kept by
 * whoever has the state open, where it is no more than this, so that tables
 * that were only read need not be read once more when they are closed.
 */
enum { SEAL_TABLES_KEPT_MAX = 1 << 20 }; /* of tables of 1 GiB */
/*
 * Compare the environment in home with its seal.  *ret_is_sealed: there was
 * one, and nothing differs.  *ret_tables, the caller's: what it says of them,
 * or empty, where that is too much, or where there is no memory for it.
 * Returns: MBJ_ECORRUPT naming file and page; MBJ_EIO where they cannot be
 * read.
 */
enum mbj_rc seal_check(const struct mbj_sys *sys, const char *home,
		       bool *ret_is_sealed, struct mbj_buf *ret_tables,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* From now on the files change.  Requires: one is there. */
enum mbj_rc seal_break(const struct mbj_sys *sys, const char *home,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Seal what is there.  tables: empty, or what seal_check gave, of tables of
 * which nothing was written since: they are not read, and should something
 * else have damaged them since, the seal will tell.  Requires: the environment
 * is closed.  Durability: on disk; a crash before leaves the environment
 * unsealed.
 */
enum mbj_rc seal_make(const struct mbj_sys *sys, const char *home,
		      struct mbj_bytes tables,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A checkpoint was completed: all pages that the tables have now are written
 * and synced.  It is noted in "seal.pages", which is synced but for its entry:
 * after a power cut it may not be there, as where it could not be written, and
 * one right after a checkpoint may leave what the checkpoint before it noted.
 *
 *	 0  8  magic "MBJSPAGE"
 *	 8  8  pages
 *	16  4  CRC32C of all before
 */
void seal_pages_note(const struct mbj_sys *sys, const char *home);
/*
 * Where there is no seal: the tables in home are whole pages, and none that was
 * there at the last checkpoint is zeroes.  Those behind it may be: the file
 * grew when the process was killed, and Berkeley DB's recovery writes them from
 * its log, all of them.  Where no checkpoint was noted none may be.  No first
 * one of a table says that it is another one, or that it has no checksum.
 * Returns: MBJ_ECORRUPT naming file and page.
 */
enum mbj_rc seal_pages_check(const struct mbj_sys *sys, const char *home,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Where there is no seal: each of the log's files begins as Berkeley DB can
 * bear.  What else is damaged in a log it finds by its checksums.
 * Returns: MBJ_ECORRUPT naming the file.
 */
enum mbj_rc seal_logs_check(const struct mbj_sys *sys, const char *home,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
