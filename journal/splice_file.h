/*
 * A mended segment: written beside the damaged one, checked, and put into its
 * place.  Private to journal/.
 *
 * Names: "<segment without .seg>.mended" while it is written, ".damaged", or
 * ".damaged1" to 9, for what was there before.  No reader takes either for a
 * segment.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_SPLICE_FILE_H
#define MBJ_JOURNAL_SPLICE_FILE_H

#include "segment_list.h"
#include "segment_scan.h"

#define SPLICE_MENDED_SUFFIX  ".mended"
#define SPLICE_DAMAGED_SUFFIX ".damaged"

enum {
	SPLICE_NAME_SIZE = SEGMENT_NAME_SIZE + 8,
	/* Of one segment; in a mark this says that there is none. */
	SPLICE_KEEP_NONE = 10,
};

struct splice_file {
	const struct mbj_sys *sys;
	const char *dir;
	uint64_t segment_size; /* bytes after which a new one begins */
	bool is_dry_run;       /* nothing is written, all else is the same */
	struct segment_header header;
	struct mbj_file file;
	uint64_t at;		   /* where the next frame goes */
	struct mbj_log_end before; /* the frame that is being filled */
	struct mbj_log_end end;	   /* of what was added */
	uint32_t count;		   /* its groups */
	struct mbj_buf frame;
};

void splice_file_init(struct splice_file *out, const struct mbj_sys *sys,
		      const char *dir, uint64_t segment_size, bool is_dry_run);
void splice_file_done(struct splice_file *out);

/* Begin one; a file that an earlier attempt left is overwritten. */
enum mbj_rc splice_file_begin(struct splice_file *out,
			      const struct segment_header *header,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: the group continues what was added, and is verified. */
enum mbj_rc splice_file_add(struct splice_file *out,
			    const struct mbj_group *group,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* It has so much by now that a journal would begin the next one. */
bool splice_file_is_full(const struct splice_file *out);
/*
 * Durability: the bytes are on disk, read again and verified; the name is not.
 */
enum mbj_rc splice_file_end(struct splice_file *out, struct mbj_sha256 *sha,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Which name what is there is to be kept by: 0 ".damaged", or, where earlier
 * ones are kept, 1 ".damaged1" to 9; SPLICE_KEEP_NONE, nothing is there.
 * Returns: MBJ_ELIMIT where all are taken.
 */
enum mbj_rc splice_damaged_pick(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				uint32_t *ret_keep,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Keep it, unless that was done. */
enum mbj_rc splice_damaged_keep(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				uint32_t keep,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* There is one that has not got the segment's name yet. */
bool splice_mended_exists(const struct mbj_sys *sys, const char *dir,
			  const struct segment_entry *entry);
/* The mended one gets the segment's name. */
enum mbj_rc splice_mended_place(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* It has: MBJ_ECORRUPT where there is no such segment. */
enum mbj_rc splice_placed_check(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* As well as it can be done. */
void splice_mended_drop(const struct mbj_sys *sys, const char *dir,
			const struct segment_entry *entry);
/* A name that _keep or _begin gives. */
bool splice_name_is(const char *name);
/* The segment's name with another suffix. */
void splice_name_print(const struct segment_entry *entry, const char *suffix,
		       char name[SPLICE_NAME_SIZE]);

#endif
