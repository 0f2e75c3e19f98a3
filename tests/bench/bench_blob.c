/*
 * How fast blobs become durable, against the bare calls.
 *
 *	bench_blob [--quick] [DIRECTORY]
 *
 * Blobs of 2 KiB, stored and synced one by one (group 1) and 32 at a time
 * (group 32); beside it a bare loop that does the same to files: open,
 * write, fdatasync, rename into one of 256 folders, and an fsync of each
 * folder touched, once a group.  Both have their folders from the start;
 * the bare loop names files by a number and hashes nothing.  They take
 * turns round by round on one file system; the median counts.  Output: a
 * table, and one JSON object a line.  --quick is for tests.
 */
#include "bench_dir.h"
#include "bench_figures.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/codec.h>

enum { ROUNDS_MAX = 15, BLOB_SIZE = 2048, GROUP_MAX = 32, FOLDERS = 256 };

struct bench {
	unsigned rounds;
	unsigned count; /* blobs of one round */
	char dir[400];
	struct mbj_blobs *blobs;
	uint64_t serial; /* no content comes twice */
};

_Noreturn static void stop(const char *what, const struct mbj_error *err)
{
	fprintf(stderr, "bench_blob: %s: %s\n", what,
		err != NULL ? err->message : "failed");
	exit(1);
}

static void content_next(struct bench *bench, uint8_t bytes[BLOB_SIZE])
{
	memset(bytes, 0x5a, BLOB_SIZE);
	mbj_store_u64(bytes, ++bench->serial);
}

/* ------------------------------------------------------------------- bare */

static unsigned bare_one(struct bench *bench)
{
	uint8_t bytes[BLOB_SIZE];
	char fresh[500], path[600];
	unsigned folder;
	uint64_t name;
	int fd;

	content_next(bench, bytes);
	/* Folders in no order, as digests are. */
	name = bench->serial * 0x9e3779b97f4a7c15;
	folder = (unsigned)(name >> 56);
	(void)snprintf(fresh, sizeof(fresh), "%s/bare/new/%016llx", bench->dir,
		       (unsigned long long)name);
	(void)snprintf(path, sizeof(path), "%s/bare/%02x/%062llx", bench->dir,
		       folder, (unsigned long long)name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, BLOB_SIZE) != BLOB_SIZE ||
	    fdatasync(fd) < 0 || close(fd) < 0 || rename(fresh, path) < 0)
		stop(path, NULL);
	return folder;
}

static double case_bare(struct bench *bench, unsigned group)
{
	double begin = bench_now_s();

	for (unsigned i = 0; i < bench->count; i += group) {
		bool is_touched[FOLDERS] = {false};

		for (unsigned j = 0; j < group; j++)
			is_touched[bare_one(bench)] = true;
		for (unsigned j = 0; j < FOLDERS; j++) {
			char path[500];
			int fd;

			if (!is_touched[j])
				continue;
			(void)snprintf(path, sizeof(path), "%s/bare/%02x",
				       bench->dir, j);
			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd < 0 || fsync(fd) < 0 || close(fd) < 0)
				stop(path, NULL);
		}
	}
	return bench->count / (bench_now_s() - begin);
}

/* ------------------------------------------------------------------ blobs */

static double case_blobs(struct bench *bench, unsigned group)
{
	double begin = bench_now_s();
	struct mbj_error err;

	for (unsigned i = 0; i < bench->count; i += group) {
		for (unsigned j = 0; j < group; j++) {
			uint8_t bytes[BLOB_SIZE];
			struct mbj_hash digest;

			content_next(bench, bytes);
			if (mbj_blob_put(bench->blobs,
					 mbj_bytes_make(bytes, BLOB_SIZE),
					 &digest, &err) < 0)
				stop("put", &err);
		}
		if (mbj_blobs_sync(bench->blobs, &err) < 0)
			stop("sync", &err);
	}
	return bench->count / (bench_now_s() - begin);
}

/* ------------------------------------------------------------------- runs */

static void folders_make(const char *dir)
{
	char path[600];

	if (mkdir(dir, 0700) < 0)
		stop(dir, NULL);
	(void)snprintf(path, sizeof(path), "%s/new", dir);
	if (mkdir(path, 0700) < 0)
		stop(path, NULL);
	for (unsigned i = 0; i < FOLDERS; i++) {
		(void)snprintf(path, sizeof(path), "%s/%02x", dir, i);
		if (mkdir(path, 0700) < 0)
			stop(path, NULL);
	}
}

static void group_measure(struct bench *bench, unsigned group)
{
	double bare[ROUNDS_MAX], blobs[ROUNDS_MAX];
	double bare_rate, blob_rate;

	for (unsigned i = 0; i < bench->rounds; i++) {
		bare[i] = case_bare(bench, group);
		blobs[i] = case_blobs(bench, group);
	}
	bare_rate = bench_median(bare, bench->rounds);
	blob_rate = bench_median(blobs, bench->rounds);
	printf("group %2u: bare %9.0f/s, blobs %9.0f/s, ratio %.2f\n", group,
	       bare_rate, blob_rate, blob_rate / bare_rate);
	printf("{\"bench\":\"blob\",\"group\":%u,\"bare_per_s\":%.0f,"
	       "\"blobs_per_s\":%.0f,\"ratio\":%.3f}\n",
	       group, bare_rate, blob_rate, blob_rate / bare_rate);
}

int main(int argc, char **argv)
{
	struct bench bench = {.rounds = 5, .count = 320};
	const char *where = getenv("TMPDIR");
	struct mbj_error err;
	char path[500];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench.rounds = 1;
			bench.count = GROUP_MAX;
		} else {
			where = argv[i];
		}
	}
	bench_dir_make(bench.dir, sizeof(bench.dir), where);
	(void)snprintf(path, sizeof(path), "%s/bare", bench.dir);
	folders_make(path);
	(void)snprintf(path, sizeof(path), "%s/blobs", bench.dir);
	folders_make(path);
	if (mbj_blobs_open(mbj_sys_posix(), path, true, &bench.blobs, &err) < 0)
		stop(path, &err);
	group_measure(&bench, 1);
	group_measure(&bench, GROUP_MAX);
	mbj_blobs_close(&bench.blobs);
	if (bench_dir_remove(bench.dir) != 0)
		stop(bench.dir, NULL);
	return 0;
}
