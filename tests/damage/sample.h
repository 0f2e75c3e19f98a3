/*
 * Small stores to be damaged: their files in memory, and what they hold.
 *
 * They are on the disk in memory (disk.h), so that a trial costs no system
 * call, and a copy of a store only what is changed in it.  A sample is the same
 * on each run: identities and times come from the disk.  (Berkeley DB draws a
 * number of its own for each file.)
 *
 * Threads: one.
 */
#ifndef TEST_DAMAGE_SAMPLE_H
#define TEST_DAMAGE_SAMPLE_H

#include <mbj/store.h>

#include "damage.h"
#include "disk.h"
#include "seal.h"

/*
 * Small ones have smaller pages than the product (CMakeLists.txt), a short log
 * and a shorter history: what is in them is of all kinds all the same.
 */
enum { SAMPLE_IS_SMALL = STATE_PAGE_SIZE < 4096 };
enum { SAMPLE_NAME_SIZE = 96 };

struct sample_file {
	char name[SAMPLE_NAME_SIZE]; /* below the store, "journal/published" */
	uint8_t *bytes;
	size_t n;
	size_t used; /* behind it there are only zeroes */
};

/* All files of a store at one moment. */
struct sample_image {
	struct sample_file files[DAMAGE_FILES_MAX];
	size_t count;
};

/* What a store holds: equal here is equal to anybody who asks. */
struct sample_content {
	struct mbj_digest digest;
	struct mbj_watermark watermark;
	struct mbj_log_end end;
	uint64_t accounts;
	uint64_t parked; /* accounts, and from which group on */
};

struct sample {
	struct disk *disk; /* where a trial runs */
	struct disk *base; /* the image that the last trial began with */
	const struct sample_image *based_on; /* which one that is */
	struct disk *made; /* as it was when the sample was made */
	struct mbj_store_options options;
	char *tmp;
	char dir[MBJ_PATH_TEXT_MAX];
	char journal_dir[MBJ_PATH_TEXT_MAX];
	struct mbj_identity identity;
	struct sample_image early;     /* closed, half of the history */
	struct sample_image live;      /* at the end, as a kill leaves it */
	struct sample_image late;      /* closed, at the end */
	struct sample_content content; /* of live and late */
	/*
	 * Of a state made anew.  Parking is local to a replica: its journal
	 * does not know of it, nor of what bent the state.
	 */
	struct sample_content anew;
	struct mbj_buf records; /* all groups, back to back */
	uint64_t groups;
};

void sample_begin(struct sample *sample, uint64_t seed);
/*
 * A replica of such a store whose state was bent half-way, so that one of its
 * accounts is parked; there are a live and a late image.  is_parked_before:
 * the live image knows it, and keeps the rest of the account's groups; else
 * that is in what a kill took from it, and its journal says it once more.
 */
void sample_replica_begin(struct sample *sample, uint64_t seed,
			  bool is_parked_before);
void sample_end(struct sample *sample);

/* The files whose names begin so; the bytes stay the image's. */
struct sample_image sample_part(const struct sample_image *image,
				const char *prefix);
/* base, but for the files whose names begin so: those are other's. */
struct sample_image sample_mix(const struct sample_image *base,
			       const char *prefix,
			       const struct sample_image *other);
/* Names for damage_run. */
void sample_names(const struct sample_image *image,
		  const char *names[DAMAGE_FILES_MAX]);
/* Index of the file of an image whose name begins so; it must be there. */
unsigned sample_find(const struct sample_image *image, const char *prefix);

/*
 * Make the store's files what the image has, and nothing else; one of them
 * damaged where damage is not NULL.  source is for SWAP.
 */
void sample_restore(struct sample *sample, const struct sample_image *image,
		    const struct damage *damage, struct mbj_bytes source);

/* What an open store holds; every record is read and checked. */
enum mbj_rc sample_content_get(struct mbj_store *store,
			       struct sample_content *ret_content,
			       struct mbj_error *err) MBJ_MUST_CHECK;
bool sample_content_equal(const struct sample_content *a,
			  const struct sample_content *b);
/*
 * Read the journal in dir from its anchor to its end and compare with the
 * sample's groups, byte by byte.  *ret_is_same: no byte differs, none lacks.
 */
enum mbj_rc sample_journal_read(const struct sample *sample, bool is_owned,
				bool *ret_is_same,
				struct mbj_error *err) MBJ_MUST_CHECK;

#endif
