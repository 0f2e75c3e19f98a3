/*
 * What the files of the log share: the writer's state, the marks beside the
 * segments, and making a new segment.  Private to journal/.
 */
#ifndef MBJ_JOURNAL_LOG_IMPL_H
#define MBJ_JOURNAL_LOG_IMPL_H

#include "segment_list.h"
#include "segment_scan.h"

#define LOG_PUBLISHED_NAME "published"
#define LOG_SUSPECT_NAME   "suspect"
#define LOG_MENDING_NAME   "mending"
#define LOG_TEMP_NAME	   "segment.tmp"

enum { LOG_PUBLISHED_SIZE = 64, LOG_RESERVE_MIN = 64 << 10 };

struct mbj_log {
	const struct mbj_sys *sys;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_id lineage;
	struct mbj_log_options options;
	struct mbj_sha256 *sha;
	struct mbj_log_end end;	   /* durable and published */
	struct mbj_file published; /* open for the log's life */
	struct mbj_file segment;   /* closed: the next batch begins one */
	uint32_t number;	   /* highest file number in use */
	uint64_t salt;		   /* of the segment */
	uint64_t at;		   /* where the next frame goes */
	uint64_t reserved;	   /* zeroes are on disk up to here */
	uint64_t reserve_step;
	uint64_t torn_size;
	struct mbj_buf frame; /* the batch as it is written */
	bool is_failed;
};

/* ----------------------------------------------------------- log_mark.c */

void log_published_encode(const struct mbj_log_end *end,
			  uint8_t bytes[LOG_PUBLISHED_SIZE]);
/* False for anything but a whole record. */
bool log_published_decode(const uint8_t bytes[LOG_PUBLISHED_SIZE],
			  struct mbj_log_end *ret_end);
/*
 * What the file says now; lsn 0 where it says nothing: to openers it is
 * evidence, and its loss costs no group.  *ret_is_damaged where it holds
 * something else, which a reader beside an owner must not take for an end.
 */
enum mbj_rc log_published_read(struct mbj_file *file,
			       struct mbj_log_end *ret_end,
			       bool *ret_is_damaged,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* MBJ_ECORRUPT: no segment is left of what was durable. */
enum mbj_rc log_segments_lost(const char *dir, uint64_t durable,
			      struct mbj_error *err);

/*
 * Mended segments are being put into their places (splice_mark.c): with some of
 * them there, and others not, a journal may look whole and lack groups.
 * Returns: MBJ_ECORRUPT.
 */
enum mbj_rc log_mending_refuse(const struct mbj_sys *sys, const char *dir,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* True where an earlier process left the mark of a failed write or sync. */
enum mbj_rc log_suspect_get(const struct mbj_sys *sys, const char *dir,
			    bool *ret_is_suspect,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* As well as it can be done on a disk that just failed. */
void log_suspect_set(const struct mbj_sys *sys, const char *dir);
enum mbj_rc log_suspect_clear(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------- log_segment.c */

/* Frames to take over into a new segment: bytes [begin, end) of the view. */
struct log_copy {
	struct segment_view *view;
	uint64_t salt;
	uint64_t end;
};

/*
 * Begin a new segment at first, with room for size bytes behind its header
 * (and behind copy's frames, which may be NULL), and make it the log's.
 * Returns: MBJ_ENOSPC and whatever else happens before the segment has its
 * name: the log is as before.  A failure after that fails the log.
 * Durability: on return the segment with its name is on disk.
 */
enum mbj_rc log_segment_begin(struct mbj_log *log,
			      const struct mbj_log_end *before, uint64_t size,
			      const struct log_copy *copy,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Write zeroes to bytes [from, to) of a file. */
enum mbj_rc log_zero_write(struct mbj_file *file, uint64_t from, uint64_t to,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- log.c */

/*
 * A write or sync failed: outcome unknown.  The log refuses everything from
 * now on and leaves the mark for the next opening; *err becomes MBJ_EIO.
 */
enum mbj_rc log_fail(struct mbj_log *log, struct mbj_error *err);
/* Tell readers what is durable. */
enum mbj_rc log_publish(struct mbj_log *log, const struct mbj_log_end *end,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
