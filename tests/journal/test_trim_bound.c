/*
 * How far a trim goes, to the group: each reason by itself, at each value.
 */
#include <stdio.h>
#include <sys/stat.h>

#include <mbj/replicas.h>
#include <mbj/trim.h>

#include "journal_cases.h"
#include "segment.h"
#include "segment_list.h"
#include "store_lab.h"

enum { SEGMENT = 8192, RENAMES = 120 };

struct bound_lab {
	struct site site;
	struct segment_list list;
	struct mbj_trim_options options;
	uint64_t end;
};

static void bound_begin(struct bound_lab *lab)
{
	struct site *site = &lab->site;
	char path[MBJ_PATH_TEXT_MAX];

	site_begin(site);
	site->options.log.segment_size = SEGMENT;
	site->options.log.reserve_max = SEGMENT / 2;
	site_reopen(site);
	site_import(site->store, 1, 2);
	for (int i = 0; i < RENAMES; i++)
		SITE_OK(site_rename(site->store, 1, i % 2 == 0 ? "m2" : "x",
				    i % 2 == 0 ? "x" : "m2", NULL, err));
	lab->end = mbj_store_end(site->store).lsn.v;
	lab->options = MBJ_TRIM_OPTIONS_INIT;
	lab->options.keep_us = 0;
	lab->options.keep_requests = 0;
	lab->options.is_dry_run = true;
	segment_list_init(&lab->list);
	site_path(site, "journal", path);
	SITE_OK(segment_list_load(&lab->list, mbj_sys_posix(), path, err));
	ck_assert_uint_gt(lab->list.count, 4);
}

static void bound_end(struct bound_lab *lab)
{
	segment_list_done(&lab->list);
	site_end(&lab->site);
}

/* Groups from that one on are to stay: the last segment that begins there. */
static uint64_t first_wanted(const struct bound_lab *lab, uint64_t lsn)
{
	uint64_t first = 0;

	for (size_t i = 0; i < lab->list.count; i++)
		if (lab->list.entries[i].first.v <= lsn)
			first = lab->list.entries[i].first.v;
	ck_assert_uint_gt(first, 0);
	return first;
}

static uint64_t first_told(const struct bound_lab *lab)
{
	struct mbj_trim_result result;

	SITE_OK(mbj_store_trim(lab->site.store, &lab->options, &result, err));
	return result.first.v;
}

/*
 * Goal: of the last groups whose requests are to be known none goes, and
 * nothing stays for more.  Method: each number of them.
 */
START_TEST(bound_requests)
{
	struct bound_lab lab;

	bound_begin(&lab);
	for (uint64_t n = 1; n <= lab.end + 1; n++) {
		uint64_t oldest = n > lab.end ? 1 : lab.end - n + 1;

		lab.options.keep_requests = n;
		ck_assert_uint_eq(first_told(&lab), first_wanted(&lab, oldest));
	}
	bound_end(&lab);
}
END_TEST

/*
 * Goal: what a replica has not received yet stays, to the group.  Method: one
 * that has received each of them in turn.
 */
START_TEST(bound_replica)
{
	struct mbj_replica_note note = {.instance = {{7}}};
	struct bound_lab lab;

	bound_begin(&lab);
	for (uint64_t n = 0; n <= lab.end; n++) {
		note.received.v = n;
		SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab.site.dir,
					      &note, MBJ_NOTE_FIRST, err));
		ck_assert_uint_eq(first_told(&lab), first_wanted(&lab, n + 1));
		/* What it said before is not forgotten at once. */
		SITE_OK(mbj_replica_forget(NULL, lab.site.dir, note.instance,
					   err));
	}
	bound_end(&lab);
}
END_TEST

/*
 * Goal: as many bytes stay as are wanted, in whole segments, and no segment
 * more.  Method: what the last ones have together, and a byte more.
 */
START_TEST(bound_size)
{
	char name[SEGMENT_NAME_SIZE], path[MBJ_PATH_TEXT_MAX];
	struct bound_lab lab;
	uint64_t size = 0;

	bound_begin(&lab);
	for (size_t i = lab.list.count; i-- > 0;) {
		const struct segment_entry *entry = &lab.list.entries[i];
		char file[SEGMENT_NAME_SIZE + 8];
		struct stat st;

		segment_name_print(entry->number, entry->first, name);
		(void)snprintf(file, sizeof(file), "journal/%s", name);
		site_path(&lab.site, file, path);
		ck_assert_int_eq(stat(path, &st), 0);
		size += (uint64_t)st.st_size;
		lab.options.keep_size = size;
		ck_assert_uint_eq(first_told(&lab), entry->first.v);
		lab.options.keep_size = size + 1;
		ck_assert_uint_eq(first_told(&lab),
				  first_wanted(&lab,
					       i == 0 ? 1
						      : entry->first.v - 1));
	}
	bound_end(&lab);
}
END_TEST

TCase *test_trim_bound_case(void)
{
	TCase *tc = tcase_create("trim_bound");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, bound_requests);
	tcase_add_test(tc, bound_replica);
	tcase_add_test(tc, bound_size);
	return tc;
}
