/*
 * Judging the stores that a scenario leaves behind.
 */
#include <stdio.h>
#include <string.h>

#include "fault_lab.h"

/* Another one than that of the image and of scenarios. */
enum { JUDGE_SEED = 2 };

/* X(name): what is judged, each by itself. */
#define PART_MAP(X) \
	X(PRIMARY)  \
	X(APPLIED)  \
	X(MADE)     \
	X(BACKUPS)

enum part {
#define X(name) PART_##name,
	PART_MAP(X)
#undef X
		PART_COUNT
};

static enum mbj_rc groups_missing(const char *dir, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EIO, "%s: groups are missing", dir);
}

/* Damage met when it is read: the next opening makes the state anew. */
static enum mbj_rc store_open(struct fault_lab *lab, const char *dir,
			      struct mbj_store **ret_store,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_replica_open(dir, &lab->options, ret_store, err);
	if (rc == MBJ_OK)
		rc = fault_store_check(lab, *ret_store, err);
	if (rc != MBJ_ECORRUPT || *ret_store == NULL)
		return rc;
	lab->healed++;
	mbj_store_close(ret_store);
	rc = mbj_replica_open(dir, &lab->options, ret_store, err);
	if (rc == MBJ_OK)
		rc = fault_store_check(lab, *ret_store, err);
	return rc;
}

/*
 * Berkeley DB takes a read error for the end of its log and cuts it there;
 * that shows when a page is written, and the state is then made anew for the
 * next edit.
 */
static enum mbj_rc store_edit(struct fault_lab *lab, struct mbj_store *store,
			      struct mbj_error *err)
{
	enum mbj_rc rc = site_rename(store, 2, "n2", "n3", NULL, err);

	if (rc != MBJ_ECORRUPT && rc != MBJ_EIO)
		return rc;
	lab->healed++;
	return site_rename(store, 2, "n2", "n3", NULL, err);
}

/* A store opens, is sound, and ends at or behind what was acknowledged. */
static enum mbj_rc store_judge(struct fault_lab *lab, const char *dir,
			       uint64_t acked, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct mbj_watermark watermark;
	uint64_t end, last = 0;
	enum mbj_rc rc;

	rc = store_open(lab, dir, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_applied(store, &watermark, err);
	if (rc != MBJ_OK)
		goto done;
	end = mbj_store_end(store).lsn.v;
	if (end > 0)
		rc = fault_journal_read(lab, dir, &last, err);
	if (rc == MBJ_OK &&
	    (end < acked || watermark.lsn.v != end || last != end))
		rc = groups_missing(dir, err);
	if (rc == MBJ_OK && strcmp(dir, lab->primary) == 0)
		rc = store_edit(lab, store, err);
done:
	mbj_store_close(&store);
	return rc < 0 ? rc : MBJ_OK;
}

/* One that was being made is there, or is made now. */
static enum mbj_rc made_judge(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};

	if (!lab->is_made &&
	    mbj_store_init(lab->absent, MBJ_STORE_PRIMARY, &lab->options,
			   &why) < 0 &&
	    why.rc != MBJ_EEXISTS) {
		*err = why;
		return why.rc;
	}
	return store_judge(lab, lab->absent, 0, err);
}

/* What is judged in each part, and all that it depends on. */
static void part_key(struct fault_lab *lab, struct disk *disk, enum part part,
		     struct fault_key *ret_key)
{
	const char *paths[] = {lab->primary, NULL, NULL, NULL};
	uint64_t numbers[4] = {part};

	switch (part) {
	case PART_PRIMARY:
		numbers[1] = lab->acked;
		break;
	case PART_APPLIED:
		paths[1] = lab->applied_dir;
		numbers[1] = lab->applied;
		numbers[2] = (uint64_t)(uintptr_t)lab->applied_dir;
		break;
	case PART_MADE:
		paths[1] = lab->absent;
		numbers[1] = lab->is_made;
		break;
	case PART_BACKUPS:
	case PART_COUNT:
		paths[1] = lab->backup;
		paths[2] = lab->absent;
		paths[3] = lab->restored;
		numbers[1] = lab->is_restored;
		numbers[2] = lab->applied_dir == lab->backup;
		numbers[3] = lab->is_promoted;
		break;
	}
	fault_key_make(lab->known, disk, paths, 4, numbers, sizeof(numbers),
		       ret_key);
}

static bool part_is_there(const struct fault_lab *lab, const struct disk *disk,
			  enum part part)
{
	switch (part) {
	case PART_APPLIED:
		return lab->applied_dir != NULL;
	case PART_MADE:
		return disk_has(disk, lab->absent);
	case PART_PRIMARY:
	case PART_BACKUPS:
	case PART_COUNT:
		break;
	}
	return true;
}

static enum mbj_rc part_judge(struct fault_lab *lab, struct disk *disk,
			      enum part part, struct mbj_error *err)
{
	disk_begin(disk, JUDGE_SEED);
	switch (part) {
	case PART_PRIMARY:
		return store_judge(lab, lab->primary, lab->acked, err);
	case PART_APPLIED:
		return store_judge(lab, lab->applied_dir, lab->applied, err);
	case PART_MADE:
		return made_judge(lab, err);
	case PART_BACKUPS:
	case PART_COUNT:
		break;
	}
	return fault_backups_check(lab, disk, err);
}

enum mbj_rc fault_stores_judge(struct fault_lab *lab, struct disk *disk,
			       struct mbj_error *err)
{
	struct fault_key keys[PART_COUNT];
	bool is_wanted[PART_COUNT];
	bool is_any = false;
	enum mbj_rc rc = MBJ_OK;

	lab->options.sys = disk_sys(disk);
	(void)disk_db_use(disk);
	/* Judging changes the stores: first what they are. */
	for (int i = 0; i < PART_COUNT; i++) {
		is_wanted[i] = part_is_there(lab, disk, (enum part)i);
		if (!is_wanted[i])
			continue;
		part_key(lab, disk, (enum part)i, &keys[i]);
		is_wanted[i] = !fault_known_has(lab->known, &keys[i]);
		is_any |= is_wanted[i];
	}
	/* The others are judged beside a primary that was opened again. */
	is_wanted[PART_PRIMARY] = is_any;
	for (int i = 0; i < PART_COUNT && rc == MBJ_OK; i++) {
		if (!is_wanted[i])
			continue;
		rc = part_judge(lab, disk, (enum part)i, err);
		if (rc == MBJ_OK)
			fault_known_add(lab->known, &keys[i]);
	}
	return rc;
}

void fault_image_hash(struct fault_lab *lab)
{
	struct fault_key key;

	part_key(lab, lab->image, PART_PRIMARY, &key);
}
