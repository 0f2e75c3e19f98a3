/*
 * A packed content's file with any bytes: it is refused, or unpacks to exactly
 * as many bytes as its head says, the same ones however they are read; under
 * the digest of these it is a good content.
 */
#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>

#include "blob_priv.h"
#include "disk.h"
#include "fuzz.h"

enum { INPUT_MAX = 64 << 10, PLAIN_MAX = 1 << 20 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

static void file_put(const struct mbj_sys *sys, const char *path,
		     struct mbj_bytes bytes)
{
	struct mbj_file file;

	OK(mbj_file_open(sys, path, O_RDWR | O_CREAT, &file, NULL));
	OK(mbj_file_write(&file, 0, bytes.p, bytes.n, NULL));
	mbj_file_close(&file);
}

/* All of it, in pieces of step bytes; false: it is refused. */
static bool unpack(const struct mbj_sys *sys, size_t step,
		   struct mbj_hash *ret_digest, uint64_t *ret_size)
{
	static uint8_t piece[BLOB_PIECE_SIZE];
	struct mbj_sha256 *sha = NULL;
	struct blob_source source = {.file = NULL};
	struct mbj_file file;
	struct mbj_error err;
	uint64_t sum = 0;
	enum mbj_rc rc;

	OK(mbj_file_open(sys, "b/in", O_RDONLY, &file, NULL));
	OK(mbj_sha256_new(&sha, NULL));
	OK(mbj_sha256_begin(sha, NULL));
	rc = blob_source_begin(&file, BLOB_PACKED, &source, &err);
	/* What says that it is very long takes as long as it says. */
	if (rc == MBJ_OK && source.size > PLAIN_MAX)
		rc = MBJ_ECORRUPT;
	do {
		size_t got = 0;

		if (rc == MBJ_OK)
			rc = blob_source_read(&source, piece, step, &got, &err);
		if (rc < 0)
			break;
		sum += got;
		MBJ_ASSERT(sum <= source.size);
		MBJ_ASSERT(got > 0 || sum == source.size);
		OK(mbj_sha256_update(sha, mbj_bytes_make(piece, got), NULL));
	} while (sum < source.size);
	MBJ_ASSERT(rc == MBJ_OK || rc == MBJ_ECORRUPT);
	if (rc == MBJ_OK)
		OK(mbj_sha256_end(sha, ret_digest, NULL));
	*ret_size = sum;
	blob_source_done(&source);
	mbj_sha256_free(&sha);
	mbj_file_close(&file);
	return rc == MBJ_OK;
}

static void content_check(const struct mbj_sys *sys, struct mbj_bytes bytes,
			  const struct mbj_hash *digest, uint64_t size)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_blobs *blobs = NULL;

	OK(mbj_blobs_open(sys, "b", false, &blobs, NULL));
	OK(blob_folder_path(blobs, digest->b[0], path, NULL));
	OK(mbj_dir_make(sys, path, NULL));
	OK(blob_path(blobs, digest, BLOB_PACKED, path, NULL));
	file_put(sys, path, bytes);
	OK(mbj_blob_verify(blobs, digest, size, NULL));
	MBJ_ASSERT(mbj_blob_verify(blobs, digest, size + 1, NULL) ==
		   MBJ_ECORRUPT);
	mbj_blobs_close(&blobs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_hash first, second;
	const struct mbj_sys *sys;
	uint64_t first_size = 0, second_size = 0;
	struct disk *disk;
	bool is_good;

	if (size > INPUT_MAX)
		return 0;
	disk = disk_new();
	sys = disk_sys(disk);
	OK(mbj_dir_make(sys, "b", NULL));
	file_put(sys, "b/in", mbj_bytes_make(data, size));
	is_good = unpack(sys, BLOB_PIECE_SIZE, &first, &first_size);
	MBJ_ASSERT(unpack(sys, 1 + size % 1000, &second, &second_size) ==
		   is_good);
	if (is_good) {
		MBJ_ASSERT(first_size == second_size);
		MBJ_ASSERT(memcmp(first.b, second.b, sizeof(first.b)) == 0);
		content_check(sys, mbj_bytes_make(data, size), &first,
			      first_size);
	}
	FUZZ_CANARY(is_good && first_size > BLOB_PIECE_SIZE);
	disk_free(&disk);
	return 0;
}
