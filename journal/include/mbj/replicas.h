/*
 * The register of replicas: what a source knows of those that follow it, a
 * small file for each in STORE/replicas, written by whoever serves the replica
 * (mbj_stream_send), read without owning the store.
 *
 * A replica is in it from its first connection on, until it is forgotten: it
 * holds the journal (mbj_store_trim), and says since when it was not heard.
 *
 * Times are of this machine's monotonic clock and of one boot of it, so that no
 * clock that is set makes lag jump; after another boot lag is not known until
 * the replica is heard again.
 *
 * An operator may pause a replica for so long: it is served nothing then, and
 * keeps what it has in the register.  A pause is the source's, on its disk, and
 * outlives whoever serves the replica, the replica's processes and a boot; it
 * ends by itself.
 *
 * How far each has received is written beside its note at once: mbj/received.h.
 *
 * Threads: any; writers of all processes take turns.
 */
#ifndef MBJ_REPLICAS_H
#define MBJ_REPLICAS_H

#include <mbj/error.h>
#include <mbj/log.h>
#include <mbj/sys.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MBJ_REPLICA_NAME_MAX = 255,   /* bytes of a replica's name */
	MBJ_REPLICA_ADDRESS_MAX = 95, /* bytes of where it connects from */
	MBJ_REPLICAS_MAX = 1000,      /* of one store */
	MBJ_PAUSE_MS_MAX = 604800000, /* a pause: seven days */
};

/*
 * A snapshot of the source that a replica takes, by which all of it, or
 * accounts that are set aside, are made again.
 */
struct mbj_replica_take {
	struct mbj_lsn lsn; /* its group, 0: none is taken */
	bool is_whole;	    /* all of the replica */
	uint64_t sent;	    /* bytes of it that are sent, or were there */
	uint64_t size;	    /* that it has */
	int64_t began_ms;   /* of the note's boot */
};

struct mbj_replica_note {
	struct mbj_id instance; /* of the replica: its superblock's */
	char name[MBJ_REPLICA_NAME_MAX + 1]; /* for people, "" : none */
	struct mbj_lsn received;	     /* on its disk */
	struct mbj_lsn applied;		     /* in its state */
	struct mbj_lsn parked; /* the first group set aside, 0: none */
	int64_t heard_us;      /* since 1970, when it was heard last */
	struct mbj_id boot;    /* of what follows; ROOT: unknown */
	int64_t heard_ms;
	int64_t current_ms; /* it had all that there was */
	bool was_current;
	bool is_connected; /* or whoever served it was killed */
	/* Not kept: it has proven its name.  What another name has is not its.
	 */
	bool is_certified;
	struct mbj_id session; /* of whoever wrote it last */
	/* Where it connects from, for people, "": that is not known. */
	char address[MBJ_REPLICA_ADDRESS_MAX + 1];
	struct mbj_replica_take take; /* while it is connected */
	/* Not in the note, and not written with it: milliseconds that are left
	 * of its pause, 0: it is not paused. */
	uint64_t paused_ms;
	/* Nor is this: its pause cannot be read, and so is none; ending it
	 * removes it. */
	bool is_pause_damaged;
	/* Nor this: what it has with all contents, as far as is known, and
	 * counts for (mbj/received.h); 0: nothing. */
	struct mbj_lsn counted;
	/* Nor this: mbj_replicas_behind. */
	struct mbj_log_behind behind;
	bool is_behind_known;
};

/* What saving a note is: the first one of a session, its next, its last. */
enum mbj_note_turn { MBJ_NOTE_FIRST, MBJ_NOTE_NEXT, MBJ_NOTE_LAST };

/*
 * The boot of this machine: /proc/sys/kernel/random/boot_id, ROOT where that
 * cannot be read.
 */
MBJ_API struct mbj_id mbj_boot_id(void);

/*
 * Sessions may be several for one instance, if a connection hangs, or if a
 * replica was copied.  What was known of when it was current is kept; beside
 * another session that was heard within a minute, the lesser of what both have
 * received.  Only a first one makes the file: one that was forgotten stays so;
 * and a last one leaves another session's alone.
 * Durability: on disk, or what was there before.
 * Returns: MBJ_ELIMIT (there are MBJ_REPLICAS_MAX others), MBJ_EBUSY (others
 * are writing), MBJ_EFENCED (the instance is another certified name's),
 * MBJ_EIO, ...
 */
enum mbj_rc mbj_replica_note_save(const struct mbj_sys *sys, const char *dir,
				  const struct mbj_replica_note *note,
				  enum mbj_note_turn turn,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * All of a store, by instance.  Ownership: the caller's, mbj_free.  Those that
 * cannot be read are counted in *ret_bad; where that is NULL, the first is an
 * error.  Whose pause cannot be read says so (is_pause_damaged), and is no
 * error: nothing hangs on it.
 * Returns: MBJ_ECORRUPT naming the file, MBJ_ELIMIT.
 */
MBJ_API enum mbj_rc
mbj_replica_notes_load(const struct mbj_sys *sys, const char *dir,
		       struct mbj_replica_note **ret_notes, size_t *ret_count,
		       size_t *ret_bad, struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Its pause is over with it, also one that is there without it.
 * Returns: MBJ_ENOTFOUND, MBJ_EBUSY (others are writing).  Durability: on disk.
 */
MBJ_API enum mbj_rc mbj_replica_forget(const struct mbj_sys *sys,
				       const char *dir, struct mbj_id instance,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * How many bytes each of them, from where it has applied, is behind end: the
 * last group of the store, in dir.  Where the journal cannot be read that is
 * not known.
 */
MBJ_API void mbj_replicas_behind(const struct mbj_sys *sys, const char *dir,
				 struct mbj_lsn end,
				 struct mbj_replica_note *notes, size_t count);

/*
 * Pause a registered replica from now on for so many milliseconds, whatever it
 * was paused for before; 0: it goes on, and need not be registered where it has
 * a pause.  Who serves it sees to that within seconds.
 * Returns: MBJ_ENOTFOUND, MBJ_ELIMIT (more than MBJ_PAUSE_MS_MAX), MBJ_EBUSY
 * (others are writing).  Durability: on disk, or what was there before.
 */
MBJ_API enum mbj_rc mbj_replica_pause(const struct mbj_sys *sys,
				      const char *dir, struct mbj_id instance,
				      uint64_t ms,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/* A pause of a replica whose note is not there, or damaged. */
struct mbj_pause_left {
	struct mbj_id instance;
	uint64_t ms;	 /* that are left of it, 0: it cannot be read */
	bool is_damaged; /* and so is none */
};
/*
 * Those of a store that are not over, by instance: whoever comes back as one of
 * them is paused.  mbj_replica_pause(..., 0, ...) ends one.  Ownership: the
 * caller's, mbj_free.
 */
MBJ_API enum mbj_rc
mbj_replica_pauses_left(const struct mbj_sys *sys, const char *dir,
			struct mbj_pause_left **ret_pauses, size_t *ret_count,
			struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What is left of its pause in milliseconds, 0: it is not paused.  One that
 * cannot be read is none.
 */
uint64_t mbj_replica_paused(const struct mbj_sys *sys, const char *dir,
			    struct mbj_id instance);

/* Milliseconds since it was current; false: not known in this boot. */
MBJ_API bool mbj_replica_lag(const struct mbj_replica_note *note,
			     struct mbj_id boot, uint64_t *ret_ms);

#ifdef __cplusplus
}
#endif

#endif
