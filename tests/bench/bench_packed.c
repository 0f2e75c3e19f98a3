/*
 * What contents that are packed on disk bring, and what they cost.
 *
 *	bench_packed [--quick] [DIRECTORY]
 *
 * Text mails of some sizes, and mails of noise, are stored in bulk and read to
 * their ends, each round in a folder that packs nothing and in others that do,
 * in turns.  For each: bytes of the files, and of the blocks that they take,
 * against as they are; microseconds of the processor for a mail that is stored
 * and for one that is read, and what they are of those of a mail as it is.  The
 * median counts.
 *
 * Output: one JSON object a line.
 */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/codec.h>

#include "bench_dir.h"
#include "bench_figures.h"
#include "bench_journal.h"
#include "bench_text.h"

enum {
	ROUNDS_MAX = 7,
	LEVELS = 3,
	SIZE_MAX_MAIL = 256 << 10,
	VOLUME = 4 << 20,
	MAILS_MAX = VOLUME / 2048,
	PATH_SIZE = 600
};

static const unsigned levels[LEVELS] = {0, 1, 3};

struct bench {
	unsigned rounds;
	uint64_t volume; /* bytes of mail in a round */
	char dir[400];
};

struct taken {
	double write_us, read_us, bytes, blocks;
};

/* Files below a folder of blobs. */
static void files_sum(const char *dir, struct taken *taken)
{
	for (unsigned i = 0; i < 256; i++) {
		char folder[PATH_SIZE + 4], path[PATH_SIZE + 300];
		const struct dirent *entry;
		struct stat st;
		DIR *list;

		(void)snprintf(folder, sizeof(folder), "%s/%02x", dir, i);
		list = opendir(folder);
		while (list != NULL && (entry = readdir(list)) != NULL) {
			(void)snprintf(path, sizeof(path), "%s/%s", folder,
				       entry->d_name);
			if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
				continue;
			taken->bytes += (double)st.st_size;
			taken->blocks += 512.0 * (double)st.st_blocks;
		}
		if (list != NULL)
			(void)closedir(list);
	}
}

static void mail_make(uint8_t *bytes, size_t n, uint64_t serial, bool is_noise)
{
	uint64_t state = serial * 2 + 1;

	if (!is_noise) {
		bench_text((unsigned)serial, (char *)bytes, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(state >> 56);
	}
}

/* Of mails of n bytes each, one behind the other. */
static struct taken round_run(const struct bench *bench, const uint8_t *mails,
			      size_t n, unsigned level)
{
	static struct mbj_hash digests[MAILS_MAX];
	unsigned count = (unsigned)(bench->volume / n);
	struct taken taken = {0, 0, 0, 0};
	struct mbj_blobs *blobs = NULL;
	char dir[PATH_SIZE];
	struct mbj_error err;
	double begin;

	(void)snprintf(dir, sizeof(dir), "%s/blobs", bench->dir);
	if (mbj_blobs_open(mbj_sys_posix(), dir, true, &blobs, &err) < 0)
		bench_stop("open", err.message);
	mbj_blobs_pack(blobs, level);
	if (mbj_blobs_bulk(blobs, true, &err) < 0)
		bench_stop("bulk", err.message);
	begin = bench_cpu_s();
	for (unsigned i = 0; i < count; i++) {
		if (mbj_blob_put(blobs, mbj_bytes_make(mails + i * n, n),
				 &digests[i], &err) < 0)
			bench_stop("put", err.message);
	}
	if (mbj_blobs_sync(blobs, &err) < 0)
		bench_stop("sync", err.message);
	taken.write_us = 1e6 * (bench_cpu_s() - begin) / count;
	begin = bench_cpu_s();
	for (unsigned i = 0; i < count; i++)
		if (mbj_blob_verify(blobs, &digests[i], n, &err) < 0)
			bench_stop("verify", err.message);
	taken.read_us = 1e6 * (bench_cpu_s() - begin) / count;
	mbj_blobs_close(&blobs);
	files_sum(dir, &taken);
	bench_dir_remove(dir);
	return taken;
}

static void size_measure(const struct bench *bench, size_t n, bool is_noise)
{
	static struct taken taken[LEVELS][ROUNDS_MAX];
	double plain_write = 0, plain_read = 0;
	uint8_t *mails = malloc(bench->volume);

	if (mails == NULL)
		bench_stop("mails", "no memory");
	for (size_t i = 0; i < bench->volume / n; i++)
		mail_make(mails + i * n, n, i, is_noise);
	for (unsigned r = 0; r < bench->rounds; r++)
		for (unsigned l = 0; l < LEVELS; l++)
			taken[l][r] = round_run(bench, mails, n, levels[l]);
	for (unsigned l = 0; l < LEVELS; l++) {
		double write[ROUNDS_MAX], read[ROUNDS_MAX];
		double write_us, read_us;

		for (unsigned r = 0; r < bench->rounds; r++) {
			write[r] = taken[l][r].write_us;
			read[r] = taken[l][r].read_us;
		}
		write_us = bench_median(write, bench->rounds);
		read_us = bench_median(read, bench->rounds);
		if (l == 0) {
			plain_write = write_us;
			plain_read = read_us;
		}
		printf("{\"bench\":\"packed\",\"mail\":\"%s\",\"size\":%zu,"
		       "\"level\":%u,\"bytes\":%.3f,\"blocks\":%.3f,"
		       "\"write_us\":%.1f,\"read_us\":%.1f,"
		       "\"write_ratio\":%.2f,\"read_ratio\":%.2f}\n",
		       is_noise ? "noise" : "text", n, levels[l],
		       taken[l][0].bytes / taken[0][0].bytes,
		       taken[l][0].blocks / taken[0][0].blocks, write_us,
		       read_us, write_us / plain_write, read_us / plain_read);
	}
	(void)fflush(stdout);
	free(mails);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {2048, 8192, 32768, SIZE_MAX_MAIL};
	struct bench bench = {.rounds = 5, .volume = VOLUME};
	const char *where = getenv("TMPDIR");

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench.rounds = 1;
			bench.volume = SIZE_MAX_MAIL;
		} else {
			where = argv[i];
		}
	}
	bench_dir_make(bench.dir, sizeof(bench.dir), where);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		size_measure(&bench, sizes[i], false);
	size_measure(&bench, 32768, true);
	bench_dir_remove(bench.dir);
	return 0;
}
