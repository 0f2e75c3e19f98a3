/*
 * Packed blobs whose files have bytes that no packing made.
 */
#include <zstd.h>

#include <mbj/codec.h>
#include <mbj/pack.h>

#include "blob_lab.h"
#include "blob_priv.h"

enum { LEVEL = 3, LONG = 300000 };

static struct mbj_blobs *blobs;
static struct mbj_error err;
static uint8_t bytes[2 * LONG];

static void setup(void)
{
	blob_lab_setup();
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, LEVEL);
}

static void teardown(void)
{
	mbj_blobs_close(&blobs);
	blob_lab_teardown();
}

enum damage {
	HEAD_BIT,
	HEAD_SHORT,
	HEAD_EMPTY,
	SIZE_LESS,
	SIZE_MORE,
	SIZE_HUGE,
	FRAME_BIT,
	FRAME_CUT, /* these three: and the head says so */
	FRAME_NONE,
	FRAME_TWO,
	FILE_CUT, /* and these: it does not */
	FILE_NONE,
	FILE_LONG,
	FRAME_OTHER, /* of other bytes, as many */
	FRAME_OLD,   /* a format of years ago */
	FRAME_SKIP,
	FRAME_WINDOW,
	FRAME_BOMB,
	DAMAGES,
};

/* Bytes of a file whose frame has that. */
static size_t frame_file(uint8_t *frame, const uint8_t *text, size_t n,
			 int window_log)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	ZSTD_outBuffer out = {frame, LONG, 0};
	ZSTD_inBuffer in = {text, n, 0};
	size_t left;

	ck_assert_ptr_nonnull(ctx);
	ck_assert(!ZSTD_isError(
		ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log)));
	/* The size is not said, so the window is. */
	left = ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_flush);
	ck_assert_uint_eq(left, 0);
	left = ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end);
	ck_assert_uint_eq(left, 0);
	ZSTD_freeCCtx(ctx);
	return BLOB_HEAD_SIZE + out.pos;
}

/* A file's bytes, changed; how many they are. */
static size_t damage_do(enum damage damage, uint8_t *p, size_t n,
			const struct content *content)
{
	static uint8_t text[LONG];
	uint8_t *frame = p + BLOB_HEAD_SIZE;

	switch (damage) {
	case HEAD_BIT:
		p[2] ^= 1;
		return n;
	case HEAD_SHORT:
		return BLOB_HEAD_SIZE - 1;
	case HEAD_EMPTY:
		return 0;
	case SIZE_LESS:
		blob_head_put(content->n - 1, n, p);
		return n;
	case SIZE_MORE:
		blob_head_put(content->n + 1, n, p);
		return n;
	case SIZE_HUGE:
		blob_head_put(UINT64_C(1) << 40, n, p);
		return n;
	case FILE_CUT:
		return n - 1;
	case FILE_NONE:
		return BLOB_HEAD_SIZE;
	case FILE_LONG:
		p[n] = 0;
		return n + 1;
	case FRAME_BIT:
		p[n / 2] ^= 16;
		break;
	case FRAME_CUT:
		n--;
		break;
	case FRAME_NONE:
		n = BLOB_HEAD_SIZE;
		break;
	case FRAME_TWO:
		memcpy(p + n, frame, n - BLOB_HEAD_SIZE);
		n += n - BLOB_HEAD_SIZE;
		break;
	case FRAME_OTHER:
		text_fill(77, text, content->n);
		n = frame_file(frame, text, content->n, 17);
		break;
	case FRAME_OLD:
		frame[0] = 0x27;
		break;
	case FRAME_SKIP:
		mbj_store_u32(frame, 0x184d2a50);
		break;
	case FRAME_WINDOW:
		n = frame_file(frame, content->p, content->n,
			       MBJ_PACK_WINDOW_LOG + 1);
		break;
	case FRAME_BOMB:
		memset(text, 'x', sizeof(text));
		n = frame_file(frame, text, sizeof(text), 17);
		break;
	case DAMAGES:
		ck_abort();
	}
	blob_head_put(content->n, n, p);
	return n;
}

/*
 * Goal: whatever a packed file has, all that comes of it are bytes of the blob,
 * and its end is reached by nobody unless it is whole; the file is named, and
 * nothing is written to it.  Then storing it again mends whatever its length or
 * its head tells; of the rest, as of a plain file, only reading does.
 */
START_TEST(unpack_damage)
{
	enum damage damage = (enum damage)_i;
	static uint8_t file[2 * LONG];
	static struct content content;
	struct mbj_blob_reader *reader = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_hash digest;
	uint64_t size = 0;
	bool is_there = false,
	     is_head_bad = damage <= HEAD_EMPTY || damage == SIZE_HUGE ||
			   (damage >= FILE_CUT && damage <= FILE_LONG);
	size_t n, got = 0;
	enum mbj_rc rc;

	content_make_text(&content, 5);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	blob_packed_file(path, blob_dir, &digest);
	n = lab_file_read(path, file, sizeof(file));
	n = damage_do(damage, file, n, &content);
	file_make(path, mbj_bytes_make(file, n));
	test_rc(mbj_blob_verify(blobs, &digest, content.n, &err), MBJ_ECORRUPT);
	ck_assert_str_eq(err.file, path);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	rc = mbj_blob_reader_open(blobs, &digest, &reader, &size, &err);
	ck_assert_int_eq(rc, is_head_bad ? MBJ_ECORRUPT : MBJ_OK);
	for (size_t at = 0; rc == MBJ_OK; at += got) {
		rc = mbj_blob_reader_read(reader, bytes, 1000, &got, &err);
		ck_assert_uint_le(at, content.n);
	}
	ck_assert_int_eq(rc, MBJ_ECORRUPT);
	ck_assert_str_eq(err.file, path);
	mbj_blob_reader_close(&reader);
	test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there, &err), err);
	ck_assert(is_there ==
		  (!is_head_bad && damage != SIZE_LESS && damage != SIZE_MORE));
	ck_assert_uint_eq(n, lab_file_read(path, bytes, sizeof(bytes)));
	if (is_there)
		test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	blob_read_check(blobs, &digest, content.p, content.n, 777);
}
END_TEST

TCase *test_blob_unpack_case(void)
{
	TCase *tc = tcase_create("blob_unpack");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, unpack_damage, 0, DAMAGES);
	return tc;
}
