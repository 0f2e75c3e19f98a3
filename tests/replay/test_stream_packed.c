/*
 * Packed frames from a source to a replica, of this version and of older ones,
 * and on bad lines.
 */
#include <string.h>

#include "stream_lab.h"

enum { LEVEL = 3 };

/* A primary with a large group and what a replica that packs asks of it. */
struct pack_lab {
	struct lab lab;
	struct mbj_buf plain; /* what it answers to one that does not */
};

static void requests_make(struct mbj_buf *requests, uint16_t version,
			  uint8_t level, const struct mbj_hash *blob)
{
	struct stream_message m = {.level = level};

	mbj_buf_clear(requests);
	hello_put(requests, 1, version, 0);
	if (level > 0)
		stream_encode(requests, STREAM_PACK, &m);
	fetch_put(requests, 1, 1 << 20);
	contents_put(requests, blob, LAB_TEXT_SIZE);
}

/* Its groups have more than one frame: 100 KiB and more of names in one of
 * them. */
static void pack_lab_begin(struct pack_lab *p)
{
	struct lab *lab = &p->lab;

	lab_begin(lab);
	names_import(lab, 1500);
	mbj_buf_init(&p->plain, BYTES_MAX);
	requests_make(&lab->requests, STREAM_VERSION, 0, &lab->blob);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &p->plain, err));
	requests_make(&lab->requests, STREAM_VERSION, LEVEL, &lab->blob);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &lab->answers, err));
}

static void pack_lab_end(struct pack_lab *p)
{
	mbj_buf_done(&p->plain);
	lab_end(&p->lab);
}

/* How many frames of answers have data, and how many of them begin anew. */
static void frames_count(struct mbj_bytes answers, unsigned *ret_data,
			 unsigned *ret_packed, unsigned *ret_anew)
{
	struct stream_head head;

	*ret_data = *ret_packed = *ret_anew = 0;
	while (answers.n > 0) {
		ck_assert_uint_ge(answers.n, STREAM_HEAD_SIZE);
		OK(stream_head_decode(answers.p, STREAM_SOURCE, &head, err));
		*ret_data += stream_kind_is_packable(head.kind);
		*ret_packed += head.packing != STREAM_PLAIN;
		*ret_anew += head.packing == STREAM_PACKED_ANEW;
		answers.p += STREAM_HEAD_SIZE + head.size;
		answers.n -= STREAM_HEAD_SIZE + head.size;
	}
}

/*
 * Goal: what is asked for packed comes so, where it is worth it, each answer
 * anew, and is the same.  Method: a large group and a small content; the groups
 * again, behind that.
 */
START_TEST(stream_packed)
{
	struct mbj_stream_result result;
	unsigned packed;
	unsigned data;
	unsigned anew;
	struct pack_lab p;

	pack_lab_begin(&p);
	frames_count(mbj_buf_view(&p.plain), &data, &packed, &anew);
	ck_assert(data > 3 && packed == 0);
	frames_count(mbj_buf_view(&p.lab.answers), &data, &packed, &anew);
	ck_assert_uint_eq(packed, data - 1);
	ck_assert_uint_eq(anew, 1);
	ck_assert_uint_lt(p.lab.answers.n * 3, p.plain.n);
	OK(replica_hear_packed(p.lab.f.replica, mbj_buf_view(&p.lab.answers),
			       &result, NULL, err));
	ck_assert_uint_eq(result.replay.groups, GROUPS + 1);
	ck_assert_uint_eq(result.level, LEVEL);
	replica_check(&p.lab);
	fetch_put(&p.lab.requests, 1, 1 << 20);
	OK(source_ask(p.lab.f.primary_dir, &p.lab.requests, &p.lab.answers,
		      err));
	frames_count(mbj_buf_view(&p.lab.answers), &data, &packed, &anew);
	ck_assert_uint_eq(anew, 2);
	pack_lab_end(&p);
}
END_TEST

/*
 * Goal: either side may be older, and then nothing is packed.  Method: a source
 * that speaks version 3, which is not asked; a hello as version 3 sent it, byte
 * for byte.
 */
START_TEST(stream_packed_older)
{
	static const uint8_t golden[] = {0x60, 0,    0,	   0,	 1,    0,
					 0,    0,    0xec, 0xe6, 0x0e, 0x91,
					 0x51, 0xdf, 0x42, 0x7f, 'm',  'b',
					 'j',  ' ',  's',  't',	 'r',  'm',
					 1,    0,    3,	   0};
	struct mbj_stream_result result;
	struct mbj_buf sent;
	struct pack_lab p;
	unsigned packed;
	unsigned data;
	unsigned anew;

	pack_lab_begin(&p);
	mbj_buf_init(&sent, BYTES_MAX);
	mbj_buf_clear(&p.lab.requests);
	mbj_buf_put(&p.lab.requests, golden, sizeof(golden));
	mbj_buf_put_zero(&p.lab.requests, 64);
	for (int i = 0; i < 16; i++)
		mbj_buf_put_u8(&p.lab.requests, 5);
	mbj_buf_put_zero(&p.lab.requests, 4);
	fetch_put(&p.lab.requests, 1, 1 << 20);
	contents_put(&p.lab.requests, &p.lab.blob, LAB_TEXT_SIZE);
	OK(source_ask(p.lab.f.primary_dir, &p.lab.requests, &p.plain, err));
	ck_assert_uint_eq(mbj_load_u16(p.plain.p + STREAM_HEAD_SIZE), 3);
	frames_count(mbj_buf_view(&p.plain), &data, &packed, &anew);
	ck_assert(data > 3 && packed == 0);
	for (int is_new = 0; is_new < 2; is_new++) {
		const struct mbj_buf *answers =
			is_new ? &p.lab.answers : &p.plain;
		size_t at = 0;
		bool is_asked = false;

		if (is_new)
			replica_renew(&p.lab, 1);
		mbj_buf_clear(&sent);
		OK(replica_hear_packed(p.lab.f.replica, mbj_buf_view(answers),
				       &result, &sent, err));
		ck_assert_uint_eq(result.replay.groups, GROUPS + 1);
		replica_check(&p.lab);
		for (; at < sent.n;
		     at += mbj_load_u32(sent.p + at) + STREAM_HEAD_SIZE)
			if (mbj_load_u16(sent.p + at + 4) == STREAM_PACK)
				is_asked = true;
		ck_assert_int_eq(is_asked, is_new);
		requests_make(&p.lab.requests, STREAM_VERSION, LEVEL,
			      &p.lab.blob);
		OK(source_ask(p.lab.f.primary_dir, &p.lab.requests,
			      &p.lab.answers, err));
	}
	mbj_buf_done(&sent);
	pack_lab_end(&p);
}
END_TEST

/* Answers without the source's word that it packs. */
static void answers_unpack(struct mbj_bytes answers, struct mbj_buf *ret_rest)
{
	mbj_buf_init(ret_rest, BYTES_MAX);
	while (answers.n > 0) {
		size_t size = mbj_load_u32(answers.p) + STREAM_HEAD_SIZE;

		if (mbj_load_u16(answers.p + 4) != STREAM_PACKS)
			mbj_buf_put(ret_rest, answers.p, size);
		answers.p += size;
		answers.n -= size;
	}
}

/* The frame behind the welcome: the level that it says, or -1: it says none. */
static int level_said(const struct mbj_buf *answers)
{
	const uint8_t *p = answers->p + STREAM_HEAD_SIZE;

	p += mbj_load_u32(answers->p);
	return mbj_load_u16(p + 4) == STREAM_PACKS ? p[STREAM_HEAD_SIZE] : -1;
}

/*
 * Goal: a source that packs less than is asked, or not, is one that all
 * replicas take; those of today know which.  Method: bounds above, below and
 * none, to replicas of each version that can ask; what is said to them, to one
 * that heeds it.
 */
START_TEST(stream_packed_bounded)
{
	static const unsigned bounds[] = {0, 1, LEVEL, MBJ_STREAM_LEVEL_MAX};
	unsigned bound = bounds[_i];
	unsigned level = bound < LEVEL ? bound : LEVEL;
	struct mbj_stream_result result;
	struct pack_lab p;
	unsigned packed;
	unsigned data;
	unsigned anew;

	pack_lab_begin(&p);
	for (int v = STREAM_VERSION_PACK; v <= STREAM_VERSION; v++) {
		bool is_told = v >= STREAM_VERSION_PACKS;

		replica_renew(&p.lab, v);
		requests_make(&p.lab.requests, (uint16_t)v, LEVEL, &p.lab.blob);
		OK(source_ask_bounded(p.lab.f.primary_dir, bound,
				      &p.lab.requests, &p.lab.answers, err));
		frames_count(mbj_buf_view(&p.lab.answers), &data, &packed,
			     &anew);
		ck_assert_uint_gt(data, 3);
		ck_assert_uint_eq(packed, level > 0 ? data - 1 : 0);
		ck_assert_int_eq(level_said(&p.lab.answers),
				 is_told ? (int)level : -1);
		OK(replica_hear_packed(p.lab.f.replica,
				       mbj_buf_view(&p.lab.answers), &result,
				       NULL, err));
		ck_assert_uint_eq(result.replay.groups, GROUPS + 1);
		ck_assert_uint_eq(result.level, is_told ? level : LEVEL);
		replica_check(&p.lab);
	}
	pack_lab_end(&p);
}
END_TEST

/*
 * Goal: what a source says of how it packs is nothing else, and it does as it
 * says, or the connection ends.  Method: a level above the one asked for,
 * another answer, none, and packed frames behind "not".
 */
START_TEST(stream_packed_lies)
{
	static const char *const words[] = {"a higher level",
					    "no word of how it packs",
					    "nobody asked for",
					    "nobody asked for"};
	struct stream_message m = {.level = LEVEL + 1};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf lies, rest;
	struct pack_lab p;
	size_t size;

	pack_lab_begin(&p);
	mbj_buf_init(&lies, BYTES_MAX);
	answers_unpack(mbj_buf_view(&p.lab.answers), &rest);
	size = mbj_load_u32(rest.p) + STREAM_HEAD_SIZE;
	for (int i = 0; i < 4; i++) {
		mbj_buf_clear(&lies);
		mbj_buf_put(&lies, rest.p, size);
		if (i == 1)
			stream_encode(&lies, STREAM_HERE, &m);
		else if (i != 2)
			stream_encode(&lies, STREAM_PACKS, &m);
		mbj_buf_put(&lies, rest.p + size, rest.n - size);
		ck_assert_int_eq(replica_hear_packed(p.lab.f.replica,
						     mbj_buf_view(&lies),
						     &result, NULL, &why),
				 MBJ_ECORRUPT);
		ck_assert_msg(strstr(why.message, words[i]) != NULL, "%d: %s",
			      i, why.message);
		ck_assert(result.is_lost);
		ck_assert_uint_eq(result.replay.groups, 0);
		m.level = 0;
	}
	mbj_buf_done(&lies);
	mbj_buf_done(&rest);
	pack_lab_end(&p);
}
END_TEST

/*
 * Goal: a packed frame that nobody asked for, or that is not what it says, ends
 * the connection, nothing of it is journaled, and the next one brings it.
 * Method: to a replica that did not ask; cut, and damaged where CRC32C tells,
 * and where it does not, at places from a seed; each allocation failing.
 */
START_TEST(stream_packed_bad)
{
	struct mbj_stream_result result;
	struct test_rng rng;
	struct mbj_error why;
	struct pack_lab p;
	struct mbj_bytes all;
	struct mbj_buf unasked;
	struct mbj_buf whole;

	test_rng_seed(&rng);
	pack_lab_begin(&p);
	mbj_buf_init(&whole, BYTES_MAX);
	mbj_buf_put_bytes(&whole, mbj_buf_view(&p.lab.answers));
	all = mbj_buf_view(&whole);
	answers_unpack(mbj_buf_view(&whole), &unasked);
	ck_assert_int_eq(replica_hear(p.lab.f.replica, mbj_buf_view(&unasked),
				      &result, &why),
			 MBJ_ECORRUPT);
	ck_assert(result.is_lost);
	ck_assert_ptr_nonnull(strstr(why.message, "nobody asked for"));
	mbj_buf_done(&unasked);
	for (int turn = 0; turn < 8; turn++) {
		size_t at = test_rng_below(&rng, whole.n);
		uint8_t was = whole.p[at];
		struct mbj_bytes bytes = all;
		struct mbj_watermark applied;
		enum mbj_rc rc;

		replica_renew(&p.lab, turn);
		if (turn % 2)
			bytes.n = at;
		else
			whole.p[at] ^= (uint8_t)(1 << test_rng_below(&rng, 8));
		rc = replica_hear_packed(p.lab.f.replica, bytes, &result, NULL,
					 &why);
		ck_assert(rc == MBJ_EIO || (rc == MBJ_ECORRUPT && !(turn % 2)));
		ck_assert(result.is_lost);
		whole.p[at] = was;
		OK(mbj_store_applied(p.lab.f.replica, &applied, err));
		mbj_buf_clear(&p.lab.requests);
		hello_put(&p.lab.requests, 1, 4, applied.lsn.v);
		stream_encode(&p.lab.requests, STREAM_PACK,
			      &(struct stream_message){.level = 1});
		if (applied.lsn.v < GROUPS + 1)
			fetch_put(&p.lab.requests, applied.lsn.v + 1, 1 << 20);
		contents_put(&p.lab.requests, &p.lab.blob, LAB_TEXT_SIZE);
		OK(source_ask(p.lab.f.primary_dir, &p.lab.requests,
			      &p.lab.answers, err));
		OK(replica_hear_packed(p.lab.f.replica,
				       mbj_buf_view(&p.lab.answers), &result,
				       NULL, err));
		replica_check(&p.lab);
	}
	mbj_buf_done(&whole);
	pack_lab_end(&p);
}
END_TEST

TCase *test_stream_packed_case(void)
{
	TCase *tc = tcase_create("stream_packed");

	tcase_add_test(tc, stream_packed);
	tcase_add_test(tc, stream_packed_older);
	tcase_add_loop_test(tc, stream_packed_bounded, 0, 4);
	tcase_add_test(tc, stream_packed_lies);
	tcase_add_test(tc, stream_packed_bad);
	return tc;
}
