/*
 * The laboratory of faults: scenarios, each one operation of the library from
 * stores at rest to stores at rest, on a disk in memory under our files and
 * Berkeley DB's.  Any single call or allocation of a scenario can fail, once or
 * from then on.
 *
 * What must hold after each fault:
 *   1. the library answers: the clean run's result, or an error with words;
 *   2. no OK that is not durable: what was acknowledged is there after a power
 *      cut that loses all that was not synced;
 *   3. nothing that the library allocated is left, by our own counting, nor
 *      anything that others allocated for it, says LeakSanitizer where it is
 *      built in;
 *   4. the content of each message is there, byte for byte, but for what a
 *      replica has noted that it wants, which a replay then fetches;
 *   5. without the fault the stores open again, state and journal agree, every
 *      account passes fsck's checks, and a further edit is carried out.
 *
 * Threads: one.
 */
#ifndef TEST_CRASH_FAULT_LAB_H
#define TEST_CRASH_FAULT_LAB_H

#include <mbj/mbj.h>

#include "disk.h"
#include "fault_known.h"
#include "store_lab.h"

struct fault_lab {
	char *root;
	struct disk *image;	   /* stores at rest, before the scenario */
	struct disk *disk;	   /* where it runs */
	struct disk *after;	   /* behind a power cut */
	struct fault_known *known; /* what was judged */
	struct mbj_store_options options;
	char primary[MBJ_PATH_TEXT_MAX];
	char replica[MBJ_PATH_TEXT_MAX];  /* half-way */
	char fresh[MBJ_PATH_TEXT_MAX];	  /* without a lineage */
	char bent[MBJ_PATH_TEXT_MAX];	  /* that parks an account */
	char lacking[MBJ_PATH_TEXT_MAX];  /* a group whose content it wants */
	char absent[MBJ_PATH_TEXT_MAX];	  /* nothing there */
	char backup[MBJ_PATH_TEXT_MAX];	  /* half-way */
	char aside[MBJ_PATH_TEXT_MAX];	  /* one with an account set aside */
	char restored[MBJ_PATH_TEXT_MAX]; /* nothing there; of a backup */
	uint64_t acked;	  /* by the scenario: groups of the primary */
	uint64_t applied; /* of the replica that it used */
	const char *applied_dir;
	bool is_made;	  /* a store in absent was acknowledged */
	bool is_restored; /* one in restored was */
	bool is_promoted; /* that one is of the backup in aside */
	bool is_alone;	  /* leaks are looked for after each fault */
	uint64_t healed;  /* states that were damaged, and made anew in use */
};

struct fault_work {
	const char *name;
	enum mbj_rc (*run)(struct fault_lab *lab, struct mbj_error *err);
};

extern const struct fault_work fault_works[];
extern const size_t fault_work_count;

/* X(name): scenarios of fault_messages.c. */
#define FAULT_MESSAGE_MAP(X) \
	X(deliver)           \
	X(deliver_known)     \
	X(deliver_more)      \
	X(flags)             \
	X(expunge)           \
	X(copy)              \
	X(move)              \
	X(take_all)          \
	X(reap)              \
	X(cat)               \
	X(fetch)             \
	X(metadata)

#define X(name)                                             \
	enum mbj_rc fault_run_##name(struct fault_lab *lab, \
				     struct mbj_error *err);
FAULT_MESSAGE_MAP(X)
#undef X

/* X(name): scenarios of fault_backup.c. */
#define FAULT_BACKUP_MAP(X) \
	X(backup)           \
	X(backup_first)     \
	X(restore)          \
	X(promote)          \
	X(snapshot)         \
	X(snapshot_rebuild)

#define X(name)                                             \
	enum mbj_rc fault_run_##name(struct fault_lab *lab, \
				     struct mbj_error *err);
FAULT_BACKUP_MAP(X)
#undef X

/* A backup of the stores as they are. */
void fault_backup_make(struct fault_lab *lab);
/* One of a store that is bent. */
void fault_aside_make(struct fault_lab *lab);
/*
 * What is in backup, and in absent, is what its mark says; what is in restored
 * is a store where it was acknowledged, and otherwise becomes one.
 */
enum mbj_rc fault_backups_check(struct fault_lab *lab, struct disk *disk,
				struct mbj_error *err);

/* An account u3 with messages in its INBOX. */
void fault_messages_make(struct fault_lab *lab, struct mbj_store *store);
/* The content of every message of it, but of those wanted. */
enum mbj_rc fault_contents_read(struct mbj_store *store, uint64_t *ret_wanted,
				struct mbj_error *err);
/* Accounts and contents; a replica fetches what it wants first. */
enum mbj_rc fault_store_check(struct fault_lab *lab, struct mbj_store *store,
			      struct mbj_error *err);

/*
 * What the stores of a disk must be behind a scenario, whatever failed in it;
 * those that were just so before are not looked at again.
 */
enum mbj_rc fault_stores_judge(struct fault_lab *lab, struct disk *disk,
			       struct mbj_error *err);

/* So that copies of the image, and children, need not. */
void fault_image_hash(struct fault_lab *lab);
/* The stores that all scenarios begin with. */
void fault_image_make(struct fault_lab *lab);
/* A whole journal, group by group. */
enum mbj_rc fault_journal_read(struct fault_lab *lab, const char *dir,
			       uint64_t *ret_last, struct mbj_error *err);
/* Every account of an open store by fsck's checks. */
enum mbj_rc fault_accounts_check(struct mbj_store *store,
				 struct mbj_error *err);

#endif
