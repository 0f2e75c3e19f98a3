/*
 * A journal with any bytes as its one segment: it opens, or it is refused for
 * a reason that names bytes.  What opens reads to its end, and opening it
 * again finds the same end: recovery takes nothing away twice.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/log.h>

#include "disk.h"
#include "fuzz.h"
#include "segment.h"

enum { SEGMENT_MAX = 64 << 10 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

static const struct mbj_id lineage = {{0xed}};
static const struct mbj_anchor anchor = {.first = {1}};

static void file_put(const struct mbj_sys *sys, struct mbj_bytes bytes)
{
	char name[SEGMENT_NAME_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file file;

	segment_name_print(1, anchor.first, name);
	OK(mbj_dir_make(sys, "j", NULL));
	OK(mbj_path_join(path, "j", name, NULL));
	OK(mbj_file_open(sys, path, O_RDWR | O_CREAT, &file, NULL));
	OK(mbj_file_write(&file, 0, bytes.p, bytes.n, NULL));
	OK(mbj_file_sync(&file, NULL));
	mbj_file_close(&file);
	OK(mbj_dir_sync(sys, "j", NULL));
}

/* True where it opens; then its end. */
static bool log_try(const struct mbj_sys *sys, struct mbj_log_end *ret_end)
{
	const struct mbj_log_options options = {SEGMENT_MAX, 4096};
	const struct mbj_lsn nothing = {0};
	struct mbj_log *log = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_log_open(sys, "j", lineage, &anchor, nothing, &options, &log,
			  &err);
	if (rc < 0) {
		MBJ_ASSERT(rc == MBJ_ECORRUPT || rc == MBJ_EFENCED ||
			   rc == MBJ_EUNSUPPORTED);
		MBJ_ASSERT(err.message[0] != '\0');
		return false;
	}
	*ret_end = mbj_log_end_get(log);
	mbj_log_close(&log);
	return true;
}

static void log_read(const struct mbj_sys *sys, struct mbj_lsn end)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	uint64_t count = 0;

	OK(mbj_log_reader_open(sys, "j", lineage, &anchor, true, &reader,
			       NULL));
	OK(mbj_log_reader_seek(reader, anchor.first, NULL));
	while (mbj_log_reader_next(reader, &group, NULL) == MBJ_OK)
		MBJ_ASSERT(group.header.lsn.v == ++count);
	MBJ_ASSERT(count == end.v);
	FUZZ_CANARY(count > 2);
	mbj_log_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_log_end first;
	struct mbj_log_end second;
	const struct mbj_sys *sys;
	struct disk *disk;

	if (size > SEGMENT_MAX)
		return 0;
	disk = disk_new();
	sys = disk_sys(disk);
	file_put(sys, mbj_bytes_make(data, size));
	if (log_try(sys, &first)) {
		log_read(sys, first.lsn);
		MBJ_ASSERT(log_try(sys, &second));
		MBJ_ASSERT(second.lsn.v == first.lsn.v);
		log_read(sys, first.lsn);
	}
	disk_free(&disk);
	return 0;
}
