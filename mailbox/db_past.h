/*
 * What snapshots are given of records that were written since they were taken,
 * for an engine that keeps one version of a page (docs/decisions/0065).
 * Private to mailbox/db*.c.
 *
 * The writer says what each record was at the last commit before it writes it,
 * and each snapshot that is open keeps that.  A snapshot that is taken while a
 * transaction has written already begins with all of that.  So what a snapshot
 * sees is what it keeps, and of other records the engine's.
 *
 * Invariants:
 *   1. the first that a snapshot is told of a record is what stays;
 *   2. what it keeps never changes and stays where it is until it ends.
 *
 * Threads: snapshots belong to one thread each, there is one writer.  The gate
 * lets many look, or one write: "in" is between past_enter and past_leave,
 * "alone" between past_enter_alone and past_leave.
 */
#ifndef MBJ_MAILBOX_DB_PAST_H
#define MBJ_MAILBOX_DB_PAST_H

#include <pthread.h>
#include <stdatomic.h>

#include "db_engine.h"
#include "db_memory_table.h"

/*
 * Bytes of keys and values that one snapshot keeps at most, of what is written
 * after it was taken; of short ones it takes three times that.
 */
enum { PAST_SIZE_MAX = 64 << 20 };

/* Whether a snapshot has all that it needs. */
enum past_lack { PAST_WHOLE, PAST_NO_MEMORY, PAST_TOO_MUCH };

struct past_reader {
	struct past_reader *prev;
	struct past_reader *next;
	struct mem_table *tables[TABLE_COUNT]; /* NULL: all as it was */
	atomic_uint changed;		       /* bits of those others */
	atomic_int lack;		       /* enum past_lack */
	size_t size;			       /* that it was told of */
};

struct past_written;

struct past {
	pthread_rwlock_t gate;
	pthread_mutex_t mutex; /* of readers and counts, for who is only in */
	struct past_reader *readers;
	/* What the open transaction has written, in order. */
	struct past_written *written;
	size_t written_count;
	size_t written_capacity;
	size_t built; /* of these, in tables */
	struct mem_table *tables[TABLE_COUNT];
	struct mbj_buf value; /* alone, or under the mutex */
	bool is_unnoted;      /* something was written and not said */
};

/* What a record was. */
struct past_record {
	struct mbj_bytes key;
	struct mbj_bytes value; /* while was_there */
	bool was_there;
};

enum mbj_rc past_init(struct past *past, struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: past_init gave MBJ_OK, and no snapshot is open. */
void past_done(struct past *past);

void past_enter(struct past *past);
void past_enter_alone(struct past *past);
void past_leave(struct past *past);

/*
 * The writer is about to write these; their keys and values stay until
 * past_ended.  Alone.  With an error nothing may be written.
 */
enum mbj_rc past_note(struct past *past, const struct db_change *changes,
		      size_t count, struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The writer is about to write what no snapshot is told of: none is open, and
 * none can be taken until past_ended.  Alone.
 */
void past_note_nothing(struct past *past);
/* The transaction is committed, or undone.  Alone. */
void past_ended(struct past *past);

/*
 * A snapshot, of the last commit.
 * Returns: MBJ_EBUSY while the writer fills tables as past_note_nothing says.
 */
enum mbj_rc past_reader_begin(struct past *past, struct past_reader *reader,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void past_reader_end(struct past *past, struct past_reader *reader);
/* Whether it still has all that it needs; MBJ_ENOMEM: it kept too much. */
enum mbj_rc past_reader_check(const struct past_reader *reader,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Whether anything of that table is kept: what is, is never less. */
bool past_reader_has(const struct past_reader *reader, enum db_table table);
/* False: nothing is kept of that record, so it is the engine's.  In. */
bool past_find(const struct past_reader *reader, enum db_table table,
	       struct mbj_bytes key, struct past_record *ret_record);
/* The first that is kept at or above key; false: none.  In. */
bool past_seek(const struct past_reader *reader, enum db_table table,
	       struct mbj_bytes key, struct past_record *ret_record);

#endif
