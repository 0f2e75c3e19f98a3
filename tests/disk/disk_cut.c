/*
 * Power cuts: which of the unsynced units reach the disk, and what is there
 * when power comes back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_impl.h"

const char *disk_cut_name(enum disk_cut_kind kind)
{
	static const char *const words[] = {
#define X(name, word) [DISK_CUT_##name] = (word),
		DISK_CUT_MAP(X)
#undef X
	};

	DISK_CHECK(kind < DISK_CUT_COUNT);
	return words[kind];
}

/* --------------------------------------------------------------- units */

/* Sectors that a write touches; 1 for a cut to a length. */
static size_t pending_units(const struct pending *pending)
{
	if (pending->p == NULL)
		return 1;
	return (pending->at + pending->n - 1) / SECTOR_SIZE -
	       pending->at / SECTOR_SIZE + 1;
}

static void fate_add(struct disk_choice *choice, enum disk_fate fate)
{
	if (choice->count == choice->capacity) {
		choice->capacity = choice->capacity * 2 + 256;
		choice->fates = grow(choice->fates, choice->capacity);
	}
	choice->fates[choice->count++] = (uint8_t)fate;
}

void disk_choice_done(struct disk_choice *choice)
{
	free(choice->fates);
	memset(choice, 0, sizeof(*choice));
}

/* ------------------------------------------------------------- choosing */

struct chooser {
	struct test_rng rng;
	enum disk_cut_kind kind;
	uint64_t step_last; /* PREFIX: the write in which power went */
	struct disk_choice *choice;
};

static enum disk_fate fate_random(struct chooser *chooser, uint64_t kept)
{
	uint64_t draw = test_rng_below(&chooser->rng, 8);

	if (draw < kept)
		return DISK_KEPT;
	return draw == 7 ? DISK_ZEROED : DISK_LOST;
}

/* The units of one write. */
static void write_choose(struct chooser *chooser, const struct pending *pending)
{
	size_t units = pending_units(pending);
	enum disk_fate fate = DISK_LOST;
	/* Some writes are whole or lost as a whole, whatever the kind. */
	uint64_t kept = test_rng_below(&chooser->rng, 9);

	for (size_t i = 0; i < units; i++) {
		size_t sector = pending->at / SECTOR_SIZE + i;
		bool is_block = sector % (BLOCK_SIZE / SECTOR_SIZE) == 0;

		switch (chooser->kind) {
		case DISK_CUT_ALL:
		case DISK_CUT_DATA:
		case DISK_CUT_KILL:
			fate = DISK_KEPT;
			break;
		case DISK_CUT_PREFIX:
			fate = pending->step < chooser->step_last ? DISK_KEPT
								  : DISK_LOST;
			if (pending->step == chooser->step_last)
				fate = fate_random(chooser, 4);
			break;
		case DISK_CUT_TORN_512:
			fate = fate_random(chooser, kept);
			break;
		case DISK_CUT_TORN_4096:
			if (i == 0 || is_block)
				fate = fate_random(chooser, kept);
			break;
		case DISK_CUT_REORDERED:
			if (i == 0)
				fate = fate_random(chooser, 4);
			break;
		case DISK_CUT_NOTHING:
		case DISK_CUT_NAMES:
		case DISK_CUT_COUNT:
			break;
		}
		fate_add(chooser->choice, fate);
	}
}

/* The first ones are kept: how many. */
static size_t changes_kept(struct chooser *chooser, const struct inode *inode)
{
	size_t kept = 0;

	switch (chooser->kind) {
	case DISK_CUT_ALL:
	case DISK_CUT_NAMES:
	case DISK_CUT_KILL:
		return inode->change_count;
	case DISK_CUT_NOTHING:
	case DISK_CUT_DATA:
	case DISK_CUT_COUNT:
		return 0;
	case DISK_CUT_PREFIX:
		while (kept < inode->change_count &&
		       inode->changes[kept].step <= chooser->step_last)
			kept++;
		return kept;
	case DISK_CUT_TORN_512:
	case DISK_CUT_TORN_4096:
	case DISK_CUT_REORDERED:
		break;
	}
	return test_rng_below(&chooser->rng, inode->change_count + 1);
}

/* The step in which power goes: that of one of the unsynced changes. */
static uint64_t step_choose(const struct disk *disk, struct test_rng *rng)
{
	uint64_t step = 0, seen = 0;

	for (size_t i = 0; i < INODES_MAX; i++) {
		const struct inode *inode = &disk->inodes[i];

		for (size_t j = 0; j < inode->pending_count; j++) {
			if (test_rng_below(rng, ++seen) == 0)
				step = inode->pending[j].step;
		}
	}
	return step;
}

void disk_choose(const struct disk *disk, enum disk_cut_kind kind,
		 uint64_t seed, struct disk_choice *choice)
{
	struct chooser chooser = {.kind = kind, .choice = choice};

	test_rng_init(&chooser.rng, seed);
	chooser.step_last = step_choose(disk, &chooser.rng);
	choice->count = 0;
	for (size_t i = 0; i < INODES_MAX; i++) {
		const struct inode *inode = &disk->inodes[i];
		size_t kept;

		if (!inode->is_used)
			continue;
		for (size_t j = 0; j < inode->pending_count; j++)
			write_choose(&chooser, &inode->pending[j]);
		if (inode->change_count == 0)
			continue;
		kept = changes_kept(&chooser, inode);
		for (size_t j = 0; j < inode->change_count; j++)
			fate_add(choice, j < kept ? DISK_KEPT : DISK_LOST);
	}
}

/* -------------------------------------------------------------- cutting */

/* One unsynced write reaches the disk, sector by sector. */
static void pending_apply(struct image *image, const struct pending *pending,
			  const uint8_t *fates)
{
	size_t end = pending->at + pending->n;
	size_t at = pending->at;

	if (pending->p == NULL) {
		if (fates[0] == DISK_KEPT)
			image_resize(image, pending->at);
		return;
	}
	for (size_t i = 0; at < end; i++) {
		size_t next = (at / SECTOR_SIZE + 1) * SECTOR_SIZE;

		if (next > end)
			next = end;
		if (fates[i] == DISK_KEPT)
			image_write(image, at, pending->p + (at - pending->at),
				    next - at);
		else if (fates[i] == DISK_ZEROED && next > image->n)
			image_resize(image, next);
		at = next;
	}
}

static const uint8_t *inode_cut(struct inode *target,
				const struct inode *source,
				const uint8_t *fates)
{
	bool is_kept = true;

	inode_clear(target);
	target->is_used = true;
	target->is_directory = source->is_directory;
	if (source->is_directory) {
		entries_copy(&target->now, &source->synced);
		for (size_t i = 0; i < source->change_count; i++) {
			is_kept = is_kept && *fates++ == DISK_KEPT;
			if (is_kept)
				entries_change(&target->now,
					       &source->changes[i]);
			else if (i + 1 < source->change_count)
				return fates + (source->change_count - i - 1);
		}
		return fates;
	}
	image_copy(&target->cache, inode_durable(source));
	for (size_t i = 0; i < source->pending_count; i++) {
		pending_apply(&target->cache, &source->pending[i], fates);
		fates += pending_units(&source->pending[i]);
	}
	return fates;
}

/* Drop what no entry leads to. */
static void unreached_drop(struct disk *disk)
{
	bool is_reached[INODES_MAX] = {[ROOT_INODE] = true};
	bool is_more = true;

	while (is_more) {
		is_more = false;
		for (size_t i = 0; i < INODES_MAX; i++) {
			const struct inode *inode = &disk->inodes[i];

			for (size_t j = 0; is_reached[i] && inode->is_used &&
					   j < inode->now.count;
			     j++) {
				size_t next = inode->now.p[j].inode;

				is_more |= !is_reached[next];
				is_reached[next] = true;
			}
		}
	}
	for (size_t i = 0; i < INODES_MAX; i++) {
		if (!is_reached[i])
			inode_clear(&disk->inodes[i]);
	}
}

void disk_cut(struct disk *target, const struct disk *source,
	      enum disk_cut_kind kind, const struct disk_choice *choice)
{
	const uint8_t *fates = choice->fates;

	if (kind == DISK_CUT_KILL) {
		disk_copy(target, source);
		return;
	}
	for (size_t i = 0; i < INODES_MAX; i++) {
		struct inode *inode = &target->inodes[i];

		if (source->inodes[i].is_used)
			fates = inode_cut(inode, &source->inodes[i], fates);
		else if (inode->is_used)
			inode_clear(inode);
	}
	/* Where nothing is to be chosen there are none. */
	DISK_CHECK(choice->count == 0 ||
		   fates == choice->fates + choice->count);
	unreached_drop(target);
	for (size_t i = 0; i < INODES_MAX; i++) {
		if (target->inodes[i].is_directory)
			entries_copy(&target->inodes[i].synced,
				     &target->inodes[i].now);
	}
	memset(target->open, 0, sizeof(target->open));
	disk_fail(target, &(struct disk_fault){.calls = 0});
	target->size_max = source->size_max;
	target->rng = source->rng;
	target->clock_us = source->clock_us;
	target->step = 0;
}

/* ------------------------------------------------------------- reporting */

/* Some name of an inode, as long as it has one. */
static const char *inode_name(const struct disk *disk, size_t number)
{
	for (size_t i = 0; i < INODES_MAX; i++) {
		const struct inode *inode = &disk->inodes[i];

		for (size_t j = 0; inode->is_used && j < inode->now.count;
		     j++) {
			if (inode->now.p[j].inode == number)
				return inode->now.p[j].name;
		}
	}
	return number == ROOT_INODE ? "/" : "(removed)";
}

void disk_unit_print(const struct disk *disk, size_t unit, char *text,
		     size_t size)
{
	for (size_t i = 0; i < INODES_MAX; i++) {
		const struct inode *inode = &disk->inodes[i];

		for (size_t j = 0; inode->is_used && j < inode->pending_count;
		     j++) {
			const struct pending *pending = &inode->pending[j];
			size_t units = pending_units(pending);

			if (unit < units) {
				(void)snprintf(
					text, size,
					"step %" PRIu64 ": %s %s, sector %zu",
					pending->step,
					pending->p ? "write of" : "cut of",
					inode_name(disk, i),
					pending->at / SECTOR_SIZE + unit);
				return;
			}
			unit -= units;
		}
		if (!inode->is_used)
			continue;
		if (unit < inode->change_count) {
			const struct entry_change *change =
				&inode->changes[unit];

			(void)snprintf(text, size,
				       "step %" PRIu64 ": in %s, \"%s\" "
				       "becomes \"%s\"",
				       change->step, inode_name(disk, i),
				       change->from, change->to);
			return;
		}
		unit -= inode->change_count;
	}
	(void)snprintf(text, size, "unit %zu", unit);
}
