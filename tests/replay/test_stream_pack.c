/*
 * What of a stream goes packed: by itself, and in frames.  From a source to a
 * replica is in test_stream_packed.c.
 */
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "fixture.h"
#include "stream_pack.h"

enum { TEXT_SIZE = 3000, LEVEL = 3 };

/* Like text: of few words, in any order, and now and then any byte. */
static void text_fill(struct test_rng *rng, uint8_t *p, size_t n)
{
	static const char words[8][9] = {"Subject:", " mailbox", " renamed",
					 "\r\n\r\n", " of ",	 " Received",
					 "=?UTF-8?", ""};

	for (size_t at = 0; at < n;) {
		const char *word = words[test_rng_below(rng, 8)];
		size_t size = strlen(word);

		if (size == 0)
			p[at++] = (uint8_t)test_rng_next(rng);
		for (size_t i = 0; i < size && at < n; i++)
			p[at++] = (uint8_t)word[i];
	}
}

static void ends_open(struct stream_packer **ret_packer,
		      struct stream_unpacker **ret_unpacker)
{
	OK(stream_packer_new(LEVEL, ret_packer, err));
	OK(stream_unpacker_new(ret_unpacker, err));
}

/* ------------------------------------------------------------ both ends */

/*
 * Goal: what was packed is what comes out, and is smaller; what could not be
 * goes as it is.  Method: frames from a seed, of all sizes, of text and of
 * noise, at three levels, answers that begin anywhere.
 */
START_TEST(pack_round_trip)
{
	uint8_t *bytes = malloc(STREAM_DATA_MAX);
	struct stream_unpacker *unpacker = NULL;
	struct stream_packer *packer = NULL;
	static const unsigned levels[] = {1, LEVEL, MBJ_STREAM_LEVEL_MAX};
	struct test_rng rng;
	size_t packed_count = 0;

	ck_assert_ptr_nonnull(bytes);
	test_rng_seed(&rng);
	OK(stream_packer_new(levels[_i], &packer, err));
	OK(stream_unpacker_new(&unpacker, err));
	for (int turn = 0; turn < 120; turn++) {
		static const size_t most[] = {100, 3000, 65536};
		size_t n = 1 + test_rng_below(&rng, most[turn % 3]);
		struct mbj_bytes packed = {NULL, 0};
		enum stream_packing packing;
		struct mbj_bytes plain;
		bool is_noise = test_rng_chance(&rng, 1, 4);

		if (turn == 77)
			n = STREAM_DATA_MAX;
		if (is_noise)
			test_rng_fill(&rng, bytes, n);
		else
			text_fill(&rng, bytes, n);
		if (test_rng_chance(&rng, 1, 8))
			stream_packer_renew(packer);
		OK(stream_pack(packer, mbj_bytes_make(bytes, n), &packing,
			       &packed, err));
		if (packing == STREAM_PLAIN)
			continue;
		packed_count++;
		ck_assert(n >= MBJ_PACK_LEAST && !is_noise);
		ck_assert_uint_lt(packed.n + STREAM_PACKED_SIZE, n);
		OK(stream_unpack(unpacker, packing, (uint32_t)n, packed, &plain,
				 err));
		ck_assert(mbj_bytes_equal(plain, mbj_bytes_make(bytes, n)));
	}
	ck_assert_uint_gt(packed_count, 40);
	stream_unpacker_free(&unpacker);
	stream_packer_free(&packer);
	ck_assert(packer == NULL && unpacker == NULL);
	free(bytes);
}
END_TEST

/*
 * Goal: nothing is tried with what will not become smaller, and what was tried
 * in vain is not remembered.  Method: noise, base64, text, little; what looks
 * worth it and is not, and then what was before that.
 */
START_TEST(pack_worth)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789+/";
	struct stream_packer *packer = NULL;
	enum stream_packing packing;
	struct mbj_bytes packed;
	uint8_t bytes[TEXT_SIZE];
	struct test_rng rng;

	test_rng_seed(&rng);
	for (size_t n = 4096; n <= 65536; n *= 2) {
		uint8_t *noise = malloc(n);

		ck_assert_ptr_nonnull(noise);
		test_rng_fill(&rng, noise, n);
		ck_assert(!mbj_pack_is_worth(mbj_bytes_make(noise, n)));
		for (size_t i = 0; i < n; i++)
			noise[i] = (uint8_t)base64[noise[i] % 64];
		ck_assert(mbj_pack_is_worth(mbj_bytes_make(noise, n)));
		free(noise);
	}
	memset(bytes, 'x', sizeof(bytes));
	ck_assert(mbj_pack_is_worth(mbj_bytes_make(bytes, MBJ_PACK_LEAST)));
	ck_assert(
		!mbj_pack_is_worth(mbj_bytes_make(bytes, MBJ_PACK_LEAST - 1)));
	OK(stream_packer_new(LEVEL, &packer, err));
	text_fill(&rng, bytes, sizeof(bytes));
	for (int i = 0; i < 2; i++) {
		OK(stream_pack(packer, mbj_bytes_make(bytes, sizeof(bytes)),
			       &packing, &packed, err));
		ck_assert_int_eq(packing, (i == 0 ? STREAM_PACKED_ANEW
						  : STREAM_PACKED_ON));
	}
	/* It resembles itself: the second is next to nothing. */
	ck_assert_uint_lt(packed.n, 64);
	/* As if worth it, and too little for that. */
	for (size_t i = 0; i < MBJ_PACK_LEAST; i++)
		bytes[i] = (uint8_t)base64[i < 48 ? i : i * 13 % 48];
	ck_assert(mbj_pack_is_worth(mbj_bytes_make(bytes, MBJ_PACK_LEAST)));
	OK(stream_pack(packer, mbj_bytes_make(bytes, MBJ_PACK_LEAST), &packing,
		       &packed, err));
	ck_assert_int_eq(packing, STREAM_PLAIN);
	text_fill(&rng, bytes, sizeof(bytes));
	OK(stream_pack(packer, mbj_bytes_make(bytes, sizeof(bytes)), &packing,
		       &packed, err));
	ck_assert_int_eq(packing, STREAM_PACKED_ANEW);
	stream_packer_free(&packer);
}
END_TEST

/* -------------------------------------------------------------- hostile */

/* What a peer may have made of some bytes; returns how many it is. */
enum trick {
	TRICK_NONE,
	TRICK_ENDED,
	TRICK_WINDOW,
	TRICK_SKIPPABLE,
	TRICK_LEGACY,
	TRICK_DICTIONARY,
	TRICK_COUNT
};

static size_t trick_make(enum trick trick, struct mbj_bytes plain,
			 uint8_t *ret_packed, size_t max)
{
	ZSTD_outBuffer out = {ret_packed, max, 0};
	ZSTD_inBuffer in = {plain.p, plain.n, 0};
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t left;

	ck_assert_ptr_nonnull(ctx);
	if (trick == TRICK_SKIPPABLE) {
		mbj_store_u32(ret_packed, ZSTD_MAGIC_SKIPPABLE_START);
		mbj_store_u32(ret_packed + 4, 100);
		out.pos = 8;
	}
	(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog,
				     MBJ_PACK_WINDOW_LOG +
					     (trick == TRICK_WINDOW ? 1 : 0));
	if (trick == TRICK_DICTIONARY)
		ck_assert(!ZSTD_isError(
			ZSTD_CCtx_loadDictionary(ctx, plain.p, plain.n)));
	left = ZSTD_compressStream2(ctx, &out, &in,
				    trick == TRICK_ENDED ? ZSTD_e_end
							 : ZSTD_e_flush);
	ck_assert_uint_eq(left, 0);
	/* Version 0.5, as its frames begin. */
	if (trick == TRICK_LEGACY)
		mbj_store_u32(ret_packed, 0xFD2FB525);
	(void)ZSTD_freeCCtx(ctx);
	return out.pos;
}

/*
 * Goal: a peer cannot have us take more than it says, or anything but what our
 * own packer makes.  Method: what it may try; afterwards what begins anew is
 * taken, and nothing else.
 */
START_TEST(unpack_tricks)
{
	struct stream_unpacker *unpacker = NULL;
	struct stream_packer *packer = NULL;
	uint8_t packed[2 * TEXT_SIZE];
	enum stream_packing packing;
	uint8_t text[TEXT_SIZE];
	struct test_rng rng;
	struct mbj_bytes plain;
	struct mbj_bytes good;
	struct mbj_error why;
	size_t n;

	test_rng_seed(&rng);
	text_fill(&rng, text, sizeof(text));
	ends_open(&packer, &unpacker);
	plain = mbj_bytes_make(text, sizeof(text));
	OK(stream_pack(packer, plain, &packing, &good, err));
	n = trick_make((enum trick)_i, plain, packed, sizeof(packed));
	why.message[0] = '\0';
	ck_assert_int_eq(stream_unpack(unpacker, STREAM_PACKED_ANEW,
				       sizeof(text), mbj_bytes_make(packed, n),
				       &plain, &why),
			 (_i == TRICK_NONE ? MBJ_OK : MBJ_ECORRUPT));
	ck_assert(_i == TRICK_NONE || why.message[0] != '\0');
	if (_i == TRICK_SKIPPABLE || _i == TRICK_LEGACY)
		ck_assert_ptr_nonnull(strstr(why.message, "it is no zstd"));
	if (_i != TRICK_NONE)
		ck_assert_int_eq(stream_unpack(unpacker, STREAM_PACKED_ON,
					       sizeof(text), good, &plain,
					       &why),
				 MBJ_ECORRUPT);
	OK(stream_unpack(unpacker, packing, sizeof(text), good, &plain, err));
	ck_assert(mbj_bytes_equal(plain, mbj_bytes_make(text, sizeof(text))));
	stream_unpacker_free(&unpacker);
	stream_packer_free(&packer);
}
END_TEST

/*
 * Goal: a frame of another length than it says is damage, and no more is made
 * than it says.  Method: a MiB of zeros in some bytes, that say all lengths
 * there could be on the way; the buffer's end is where they say.
 */
START_TEST(unpack_bomb)
{
	static const uint32_t sizes[] = {100,
					 65536,
					 131072,
					 131073,
					 STREAM_DATA_MAX - 1,
					 STREAM_DATA_MAX};
	uint8_t *zeros = calloc(1, STREAM_DATA_MAX);
	struct stream_unpacker *unpacker = NULL;
	struct stream_packer *packer = NULL;
	enum stream_packing packing;
	struct mbj_bytes packed;
	struct mbj_bytes plain;

	ck_assert_ptr_nonnull(zeros);
	ends_open(&packer, &unpacker);
	OK(stream_pack(packer, mbj_bytes_make(zeros, STREAM_DATA_MAX), &packing,
		       &packed, err));
	ck_assert_uint_lt(packed.n, 200);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ck_assert_int_eq(stream_unpack(unpacker, packing, sizes[i],
					       packed, &plain, NULL),
				 (sizes[i] == STREAM_DATA_MAX ? MBJ_OK
							      : MBJ_ECORRUPT));
	stream_packer_renew(packer);
	OK(stream_pack(packer, mbj_bytes_make(zeros, 5000), &packing, &packed,
		       err));
	for (uint32_t size = 4990; size < 5010; size++)
		ck_assert_int_eq(stream_unpack(unpacker, packing, size, packed,
					       &plain, NULL),
				 (size == 5000 ? MBJ_OK : MBJ_ECORRUPT));
	stream_unpacker_free(&unpacker);
	stream_packer_free(&packer);
	free(zeros);
}
END_TEST

/*
 * Goal: any bytes are damage, or make as many as they say.  Method: what was
 * packed cut at every byte, with more behind it, and each bit of it flipped, in
 * blocks of exactly that size; two frames, of which the second is meant.
 */
START_TEST(unpack_mangled)
{
	struct stream_unpacker *unpacker = NULL;
	struct stream_packer *packer = NULL;
	uint8_t text[400];
	enum stream_packing packing;
	struct mbj_bytes first;
	struct mbj_bytes plain;
	struct mbj_bytes good;
	struct test_rng rng;
	uint8_t begin[400];
	bool is_second = _i;
	size_t flipped = 0;

	test_rng_seed(&rng);
	text_fill(&rng, text, sizeof(text));
	ends_open(&packer, &unpacker);
	plain = mbj_bytes_make(text, sizeof(text));
	OK(stream_pack(packer, plain, &packing, &good, err));
	memcpy(begin, good.p, good.n);
	first = mbj_bytes_make(begin, good.n);
	text_fill(&rng, text, sizeof(text));
	if (is_second)
		OK(stream_pack(packer, plain, &packing, &good, err));
	for (size_t bit = 0; bit < 8 * good.n + 2 * good.n + 1; bit++) {
		size_t cut = bit < 8 * good.n ? good.n : bit - 8 * good.n;
		struct mbj_buf bytes = {.p = calloc(1, cut + !cut), .n = cut};
		enum mbj_rc rc;

		ck_assert_ptr_nonnull(bytes.p);
		memcpy(bytes.p, good.p, cut < good.n ? cut : good.n);
		if (bit < 8 * good.n)
			bytes.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (is_second)
			OK(stream_unpack(unpacker, STREAM_PACKED_ANEW, 400,
					 first, &plain, err));
		rc = stream_unpack(unpacker, packing, 400, mbj_buf_view(&bytes),
				   &plain, NULL);
		ck_assert(rc == MBJ_OK || rc == MBJ_ECORRUPT);
		if (rc == MBJ_OK) {
			ck_assert_uint_eq(plain.n, 400);
			ck_assert_uint_ge(cut, good.n);
			flipped += bit < 8 * good.n;
		}
		free(bytes.p);
	}
	/* That CRC32C is for. */
	ck_assert_uint_gt(flipped, 0);
	stream_unpacker_free(&unpacker);
	stream_packer_free(&packer);
}
END_TEST

/* --------------------------------------------------------------- frames */

/*
 * Goal: a packed frame is judged by its head and its length before anything is
 * done with it.  Method: each kind packed in each way there is, and in two
 * there are not; lengths at their limits and beyond.
 */
START_TEST(frame_packed)
{
	static const enum stream_kind kinds[] = {
#define X(name, number, word, side, fields, size_max) STREAM_##name,
		STREAM_KIND_MAP(X)
#undef X
	};
	static const enum stream_side sides[] = {
#define X(name, number, word, side, fields, size_max) side,
		STREAM_KIND_MAP(X)
#undef X
	};
	static const uint32_t sizes[] = {
		0,	   4 + 40, 4 + 41, STREAM_DATA_MAX, STREAM_DATA_MAX + 1,
		UINT32_MAX};
	static const enum mbj_rc codes[] = {MBJ_ECORRUPT, MBJ_ECORRUPT,
					    MBJ_OK,	  MBJ_OK,
					    MBJ_ELIMIT,	  MBJ_ELIMIT};
	uint8_t bytes[STREAM_HEAD_SIZE + 44] = {0};
	struct stream_head head;
	struct mbj_bytes packed;
	struct mbj_buf frame;
	uint32_t size;

	mbj_store_u32(bytes, 44);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (uint16_t packing = 0; packing < 5; packing++) {
			bool is_data = kinds[i] == STREAM_GROUPS ||
				       kinds[i] == STREAM_PIECE;
			enum mbj_rc rc;

			mbj_store_u16(bytes + 4, (uint16_t)kinds[i]);
			mbj_store_u16(bytes + 6,
				      packing == 4 ? 0x100 : packing);
			mbj_store_u32(bytes + 12,
				      mbj_crc32c(0, mbj_bytes_make(bytes, 12)));
			rc = stream_head_decode(bytes, sides[i], &head, NULL);
			if (packing > 0 && (packing > 2 || !is_data))
				ck_assert_int_eq(rc, MBJ_ECORRUPT);
			else
				ck_assert(rc == MBJ_OK || rc == MBJ_ELIMIT);
			if (rc == MBJ_OK)
				ck_assert_int_eq(head.packing, packing);
		}
	mbj_store_u16(bytes + 4, STREAM_GROUPS);
	mbj_store_u16(bytes + 6, STREAM_PACKED_ON);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mbj_bytes body = {bytes + STREAM_HEAD_SIZE, 44};

		mbj_store_u32(bytes + STREAM_HEAD_SIZE, sizes[i]);
		mbj_store_u32(bytes + 8, mbj_crc32c(0, body));
		mbj_store_u32(bytes + 12,
			      mbj_crc32c(0, mbj_bytes_make(bytes, 12)));
		OK(stream_head_decode(bytes, STREAM_SOURCE, &head, err));
		ck_assert_int_eq(head.packing, STREAM_PACKED_ON);
		ck_assert_int_eq(stream_packed_decode(&head, body, &size,
						      &packed, NULL),
				 codes[i]);
		if (codes[i] != MBJ_OK)
			continue;
		ck_assert_uint_eq(size, sizes[i]);
		mbj_buf_init(&frame, STREAM_FRAME_MAX);
		stream_encode_packed(&frame, head.kind, head.packing, size,
				     packed);
		ck_assert(
			mbj_bytes_equal(mbj_buf_view(&frame),
					mbj_bytes_make(bytes, sizeof(bytes))));
		mbj_buf_done(&frame);
	}
	/* Nothing but a length; its CRC32C. */
	head.size = STREAM_PACKED_SIZE;
	head.crc = mbj_crc32c(0, mbj_bytes_make(bytes, STREAM_PACKED_SIZE));
	ck_assert_int_eq(
		stream_packed_decode(&head,
				     mbj_bytes_make(bytes, STREAM_PACKED_SIZE),
				     &size, &packed, NULL),
		MBJ_ECORRUPT);
	head.crc ^= 1;
	ck_assert_int_eq(
		stream_packed_decode(&head,
				     mbj_bytes_make(bytes, STREAM_PACKED_SIZE),
				     &size, &packed, NULL),
		MBJ_ECORRUPT);
}
END_TEST

/* Goal: memory that is not to be had is said.  Method: fail each allocation. */
START_TEST(pack_no_memory)
{
	struct stream_unpacker *unpacker = NULL;
	struct stream_packer *packer = NULL;
	enum mbj_rc rc = MBJ_ENOMEM;

	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		test_alloc_fail_at(k);
		rc = stream_packer_new(1, &packer, NULL);
		if (rc == MBJ_OK)
			rc = stream_unpacker_new(&unpacker, NULL);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		if (rc == MBJ_OK)
			ck_assert_uint_eq(k, 7);
		stream_packer_free(&packer);
		stream_unpacker_free(&unpacker);
	}
}
END_TEST

TCase *test_stream_pack_case(void)
{
	TCase *tc = tcase_create("stream_pack");

	tcase_add_loop_test(tc, pack_round_trip, 0, 3);
	tcase_add_test(tc, pack_worth);
	tcase_add_test(tc, pack_no_memory);
	tcase_add_loop_test(tc, unpack_tricks, 0, TRICK_COUNT);
	tcase_add_test(tc, unpack_bomb);
	tcase_add_loop_test(tc, unpack_mangled, 0, 2);
	tcase_add_test(tc, frame_packed);
	return tc;
}
