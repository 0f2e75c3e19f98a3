/*
 * Random primitives, groups and logs; see log_lab.h.
 */
#include "log_lab.h"

#include <stdio.h>
#include <stdlib.h>

#include <mbj/tree.h>

const struct mbj_log_options lab_options = {4096, 1024};

/* ---------------------------------------------------------- primitives */

void lab_rng_init(struct lab_rng *lab, uint64_t seed, size_t bytes_max)
{
	test_rng_init(&lab->rng, seed);
	lab->bytes_max = bytes_max;
	LAB_OK(mbj_arena_new((size_t)1 << 30, &lab->arena, err));
}

void lab_rng_done(struct lab_rng *lab)
{
	mbj_arena_free(&lab->arena);
}

struct mbj_bytes lab_random_text(struct lab_rng *lab, size_t count)
{
	uint8_t *p = mbj_arena_alloc(lab->arena, count + 1);

	ck_assert_ptr_nonnull(p);
	test_rng_fill(&lab->rng, p, count);
	for (size_t i = 0; i < count; i++)
		p[i] = p[i] == 0 ? 'x' : p[i];
	return mbj_bytes_make(p, count);
}

struct mbj_id lab_random_id(struct lab_rng *lab)
{
	struct mbj_id id;

	do
		test_rng_fill(&lab->rng, id.b, sizeof(id.b));
	while (mbj_id_is_reserved(id));
	return id;
}

/* Short ones most of the time, the shortest and the longest often enough. */
static size_t lab_size(struct lab_rng *lab, size_t least, size_t most)
{
	if (lab->bytes_max > 0 && most > lab->bytes_max)
		most = lab->bytes_max;
	switch (test_rng_below(&lab->rng, 8)) {
	case 0:
		return least;
	case 1:
		return most;
	case 2:
		return (size_t)test_rng_between(&lab->rng, least, most);
	default:
		return (size_t)test_rng_between(&lab->rng, least,
						most < least + 24 ? most
								  : least + 24);
	}
}

/* The name itself, or something that is not it. */
static struct mbj_bytes lab_key(struct lab_rng *lab, struct mbj_bytes stored,
				size_t size)
{
	struct mbj_bytes key;

	if (test_rng_chance(&lab->rng, 1, 2))
		return stored;
	do
		key = lab_random_text(lab, size);
	while (mbj_bytes_equal(key, stored));
	return key;
}

static struct mbj_slot lab_slot(struct lab_rng *lab)
{
	struct mbj_slot slot = {.parent = lab_random_id(lab)};

	if (test_rng_chance(&lab->rng, 1, 4))
		slot.parent = MBJ_ID_ROOT;
	else if (test_rng_chance(&lab->rng, 1, 8))
		slot.parent = MBJ_ID_TEMP;
	slot.name.stored = lab_random_text(lab, lab_size(lab, 1, MBJ_NAME_MAX));
	slot.name.key =
		lab_key(lab, slot.name.stored, lab_size(lab, 1, MBJ_KEY_MAX));
	return slot;
}

/* Components of one to three bytes, as many as fit or are legal. */
static struct mbj_path lab_path(struct lab_rng *lab)
{
	size_t depth = lab_size(lab, 1, MBJ_DEPTH_MAX);
	struct mbj_path path;
	uint8_t *key;
	uint8_t *p;
	size_t n = 0;

	p = mbj_arena_alloc(lab->arena, depth * 4);
	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < depth; i++) {
		size_t size = (size_t)test_rng_between(&lab->rng, 1, 3);

		if (i > 0)
			p[n++] = 0;
		memset(p + n, (int)test_rng_between(&lab->rng, 1, 254), size);
		n += size;
	}
	path.stored = mbj_bytes_make(p, n);
	path.key = path.stored;
	if (test_rng_chance(&lab->rng, 1, 2))
		return path;
	key = mbj_arena_alloc(lab->arena, n);
	ck_assert_ptr_nonnull(key);
	for (size_t i = 0; i < n; i++)
		key[i] = p[i] == 0 ? 0 : (uint8_t)(p[i] + 1);
	path.key = mbj_bytes_make(key, n);
	return path;
}

/* Ascending: the number in front decides, whatever the case behind it. */
static struct mbj_bytes lab_keywords(struct lab_rng *lab)
{
	size_t count = lab_size(lab, 0, MBJ_KEYWORDS_MAX / 16);
	uint8_t *p = mbj_arena_alloc(lab->arena, count * 16 + 1);
	size_t n = 0;

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < count; i++)
		n += 1 + (size_t)snprintf((char *)p + n, 16, "$%04zu%s", i,
					  test_rng_chance(&lab->rng, 1, 2)
						  ? "Junk"
						  : "nonjunk");
	return mbj_bytes_make(p, n);
}

static struct mbj_bytes lab_uids(struct lab_rng *lab)
{
	size_t count = lab_size(lab, 1, MBJ_UID_RANGES_MAX);
	uint32_t uid = 0;
	struct mbj_bytes copy;
	struct mbj_buf uids;

	mbj_buf_init(&uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	for (size_t i = 0; i < count; i++) {
		uint32_t first =
			uid + 2 + (uint32_t)test_rng_below(&lab->rng, 1000);

		uid = first + (uint32_t)test_rng_below(&lab->rng, 1000);
		mbj_uids_put(&uids, first, uid);
	}
	ck_assert_int_eq(uids.failed, MBJ_OK);
	ck_assert(mbj_arena_dup(lab->arena, mbj_buf_view(&uids), &copy));
	mbj_buf_done(&uids);
	return copy;
}

static struct mbj_bytes lab_guid(struct lab_rng *lab)
{
	size_t n = lab_size(lab, 1, MBJ_GUID_MAX);
	uint8_t *p = mbj_arena_alloc(lab->arena, n);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)test_rng_between(&lab->rng, '!', '~');
	return mbj_bytes_make(p, n);
}

static void lab_message_value(struct lab_rng *lab, enum op_type type, void *p)
{
	struct test_rng *rng = &lab->rng;

	if (type == OP_TYPE_UID)
		*(uint32_t *)p =
			(uint32_t)test_rng_between(rng, 1, UINT32_MAX - 1);
	else if (type == OP_TYPE_MODSEQ)
		*(uint64_t *)p = test_rng_between(rng, 1, INT64_MAX);
	else if (type == OP_TYPE_TIME)
		*(int64_t *)p = (int64_t)test_rng_next(rng);
	else if (type == OP_TYPE_FLAGS)
		*(uint8_t *)p = (uint8_t)test_rng_below(rng, 32);
	else if (type == OP_TYPE_FLAG_MODE)
		*(uint8_t *)p = (uint8_t)test_rng_between(rng, 1, 3);
	else if (type == OP_TYPE_KEYWORDS)
		*(struct mbj_bytes *)p = lab_keywords(lab);
	else if (type == OP_TYPE_GUID)
		*(struct mbj_bytes *)p = lab_guid(lab);
	else
		*(struct mbj_bytes *)p = lab_uids(lab);
}

static struct mbj_bytes lab_text_value(struct lab_rng *lab, enum op_type type)
{
	size_t least = type == OP_TYPE_ATTR_VALUE ? 0 : 1;
	size_t most = type == OP_TYPE_ACCOUNT_NAME ? MBJ_ACCOUNT_NAME_MAX
		      : type == OP_TYPE_ATTR_NAME  ? MBJ_ATTR_NAME_MAX
		      : type == OP_TYPE_INTENT	   ? MBJ_INTENT_SIZE_MAX
						   : MBJ_ATTR_VALUE_MAX;

	return lab_random_text(lab, lab_size(lab, least, most));
}

static void lab_value(struct lab_rng *lab, enum op_type type, void *p)
{
	struct test_rng *rng = &lab->rng;

	switch (type) {
	case OP_TYPE_FLAG:
		*(uint8_t *)p = (uint8_t)test_rng_below(rng, 2);
		return;
	case OP_TYPE_DELIMITER:
		*(uint8_t *)p = test_rng_chance(rng, 1, 2) ? '/' : '.';
		return;
	case OP_TYPE_ROLE:
		*(uint8_t *)p =
			(uint8_t)test_rng_below(rng, MBJ_ROLE_TRASH + 1);
		return;
	case OP_TYPE_ATTR_KIND:
		*(uint8_t *)p = (uint8_t)test_rng_between(rng, 1, 2);
		return;
	case OP_TYPE_U32:
		*(uint32_t *)p = (uint32_t)test_rng_next(rng);
		return;
	case OP_TYPE_U64:
		*(uint64_t *)p = test_rng_next(rng);
		return;
	case OP_TYPE_REV:
		*(uint64_t *)p = test_rng_between(rng, 1, UINT64_MAX - 1);
		return;
	case OP_TYPE_ID:
		*(struct mbj_id *)p = lab_random_id(lab);
		return;
	case OP_TYPE_HASH:
		test_rng_fill(rng, p, MBJ_HASH_SIZE);
		return;
	case OP_TYPE_ACCOUNT_NAME:
	case OP_TYPE_ATTR_NAME:
	case OP_TYPE_ATTR_VALUE:
	case OP_TYPE_OUTCOME:
	case OP_TYPE_INTENT:
		*(struct mbj_bytes *)p = lab_text_value(lab, type);
		return;
	case OP_TYPE_RESULT:
		*(uint8_t *)p = (uint8_t)test_rng_between(rng, 1, 3);
		return;
	case OP_TYPE_SLOT:
		*(struct mbj_slot *)p = lab_slot(lab);
		return;
	case OP_TYPE_PATH:
		*(struct mbj_path *)p = lab_path(lab);
		return;
	case OP_TYPE_UID:
	case OP_TYPE_MODSEQ:
	case OP_TYPE_TIME:
	case OP_TYPE_FLAGS:
	case OP_TYPE_FLAG_MODE:
	case OP_TYPE_KEYWORDS:
	case OP_TYPE_GUID:
	case OP_TYPE_UIDS:
		lab_message_value(lab, type, p);
		return;
	}
	ck_abort_msg("a field type without a generator");
}

struct mbj_op lab_op(struct lab_rng *lab, uint16_t kind, uint32_t accounts)
{
	size_t at = (size_t)test_rng_below(&lab->rng, mbj_op_info_count());
	const struct op_layout *layout;
	struct mbj_op op;

	if (kind == 0)
		kind = mbj_op_info_at(at)->kind;
	layout = op_layout_get(kind);
	ck_assert_ptr_nonnull(layout);
	memset(&op, 0, sizeof(op));
	op.kind = kind;
	op.account = (uint32_t)test_rng_below(&lab->rng, accounts);
	for (size_t i = 0; i < layout->info->field_count; i++)
		lab_value(lab, layout->members[i].type,
			  op_member_edit(&op, &layout->members[i]));
	return op;
}

void lab_op_put(struct mbj_buf *buf, const struct mbj_op *op)
{
	mbj_buf_clear(buf);
	mbj_op_encode(buf, op);
	LAB_OK(mbj_buf_ok(buf, err));
}

enum mbj_rc lab_op_get(struct mbj_bytes bytes, struct mbj_op *ret_op,
		       struct mbj_error *err)
{
	struct mbj_reader reader;
	enum mbj_rc rc;

	mbj_reader_init(&reader, bytes);
	rc = mbj_op_decode(&reader, ret_op, err);
	if (rc == MBJ_OK)
		ck_assert(mbj_reader_ok(&reader));
	return rc;
}

/* -------------------------------------------------------------- groups */

void lab_writer_begin(struct mbj_group_writer *writer, uint32_t accounts,
		      struct lab_rng *lab)
{
	uint32_t index;

	mbj_group_writer_begin(writer, (struct mbj_lsn){41},
			       (struct mbj_epoch){1}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	for (uint32_t i = 0; i < accounts; i++)
		LAB_OK(mbj_group_writer_account(writer, lab_random_id(lab),
						(struct mbj_lsn){0}, &index,
						err));
}

enum mbj_rc lab_record_check(struct mbj_sha256 *sha, struct mbj_bytes record,
			     const struct mbj_hash *before,
			     struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_group_parse(record, &group, err);
	if (rc == MBJ_OK)
		rc = mbj_group_chain_check(&group, sha, before, err);
	if (rc == MBJ_OK)
		rc = mbj_group_check(&group, err);
	return rc;
}

void lab_chain_init(struct lab_chain *chain, uint64_t seed)
{
	memset(chain, 0, sizeof(*chain));
	lab_rng_init(&chain->lab, seed, 40);
	mbj_group_writer_init(&chain->writer);
	LAB_OK(mbj_sha256_new(&chain->sha, err));
	mbj_buf_init(&chain->records, (size_t)1 << 30);
	chain->first = lab_anchor().first;
	chain->end =
		(struct mbj_log_end){{chain->first.v - 1}, lab_anchor().chain};
}

void lab_chain_done(struct lab_chain *chain)
{
	lab_rng_done(&chain->lab);
	mbj_group_writer_done(&chain->writer);
	mbj_sha256_free(&chain->sha);
	mbj_buf_done(&chain->records);
	free(chain->begins);
}

static void chain_note(struct lab_chain *chain)
{
	if (chain->count + 2 > chain->capacity) {
		chain->capacity = chain->capacity * 2 + 16;
		chain->begins = realloc(chain->begins,
					chain->capacity * sizeof(size_t));
		ck_assert_ptr_nonnull(chain->begins);
		chain->begins[0] = 0;
	}
	chain->begins[++chain->count] = chain->records.n;
	chain->end.lsn.v++;
}

struct mbj_bytes lab_chain_add(struct lab_chain *chain, unsigned ops)
{
	struct mbj_group_writer *writer = &chain->writer;
	struct test_rng *rng = &chain->lab.rng;
	struct mbj_lsn lsn = {chain->end.lsn.v + 1};
	unsigned count = (unsigned)test_rng_between(rng, 0, ops);
	uint32_t accounts = (uint32_t)test_rng_between(rng, 1, 3);
	uint32_t index;

	mbj_group_writer_begin(writer, lsn, (struct mbj_epoch){7},
			       (int64_t)test_rng_next(rng), chain->origin,
			       lab_random_id(&chain->lab));
	for (uint32_t i = 0; i < accounts; i++) {
		struct mbj_digest digest;

		test_rng_fill(rng, digest.lane, sizeof(digest.lane));
		LAB_OK(mbj_group_writer_account(
			writer, lab_random_id(&chain->lab),
			(struct mbj_lsn){test_rng_below(rng, lsn.v)}, &index,
			err));
		ck_assert_uint_eq(index, i);
		mbj_group_writer_digest(writer, i, &digest);
	}
	for (unsigned i = 0; i < count; i++) {
		struct mbj_op op = lab_op(&chain->lab, 0, accounts);

		mbj_group_writer_op(writer, &op);
	}
	LAB_OK(mbj_group_writer_finish(writer, chain->sha, &chain->end.chain,
				       &chain->records, err));
	chain_note(chain);
	mbj_arena_reset(chain->lab.arena);
	return lab_chain_get(chain, lsn.v);
}

struct mbj_bytes lab_chain_range(const struct lab_chain *chain, uint64_t first,
				 uint64_t last)
{
	size_t begin, end;

	ck_assert_uint_ge(first, chain->first.v);
	ck_assert_uint_le(last, chain->end.lsn.v);
	begin = chain->begins[first - chain->first.v];
	end = chain->begins[last - chain->first.v + 1];
	return mbj_bytes_make(chain->records.p + begin, end - begin);
}

struct mbj_bytes lab_chain_get(const struct lab_chain *chain, uint64_t lsn)
{
	return lab_chain_range(chain, lsn, lsn);
}

struct mbj_log_end lab_chain_end(const struct lab_chain *chain, uint64_t lsn)
{
	struct mbj_group group;

	if (lsn < chain->first.v)
		return (struct mbj_log_end){{lsn}, lab_anchor().chain};
	LAB_OK(mbj_group_parse(lab_chain_get(chain, lsn), &group, err));
	return (struct mbj_log_end){group.header.lsn, group.chain};
}

/* ---------------------------------------------------------------- logs */

struct mbj_id lab_lineage(void)
{
	struct mbj_id id;

	memset(id.b, 0x4c, sizeof(id.b));
	return id;
}

struct mbj_anchor lab_anchor(void)
{
	struct mbj_anchor anchor = {.first = {41}};

	memset(anchor.chain.b, 0xc4, sizeof(anchor.chain.b));
	return anchor;
}

enum mbj_rc lab_log_try(struct disk *disk, uint64_t known,
			struct mbj_log **ret_log, struct mbj_error *err)
{
	struct mbj_anchor anchor = lab_anchor();

	return mbj_log_open(disk_sys(disk), DISK_DIR, lab_lineage(), &anchor,
			    (struct mbj_lsn){known}, &lab_options, ret_log,
			    err);
}

struct mbj_log *lab_log_open(struct disk *disk, uint64_t known)
{
	struct mbj_log *log = NULL;

	LAB_OK(lab_log_try(disk, known, &log, err));
	return log;
}

enum mbj_rc lab_reader_try(struct disk *disk, bool is_owned,
			   struct mbj_log_reader **ret_reader,
			   struct mbj_error *err)
{
	struct mbj_anchor anchor = lab_anchor();

	return mbj_log_reader_open(disk_sys(disk), DISK_DIR, lab_lineage(),
				   &anchor, is_owned, ret_reader, err);
}

enum mbj_rc lab_append(struct mbj_log *log, const struct lab_chain *chain,
		       uint64_t first, uint64_t last, struct mbj_error *err)
{
	return mbj_log_append(log, lab_chain_range(chain, first, last),
			      (size_t)(last - first + 1), err);
}

void lab_read_all(struct disk *disk, bool is_owned,
		  const struct lab_chain *chain, uint64_t last)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_log_end expected = lab_chain_end(chain, last);
	struct mbj_log_end end;
	struct mbj_group group;

	LAB_OK(lab_reader_try(disk, is_owned, &reader, err));
	for (uint64_t lsn = chain->first.v; lsn <= last; lsn++) {
		struct mbj_bytes record = lab_chain_get(chain, lsn);

		LAB_OK(mbj_log_reader_next(reader, &group, err));
		ck_assert_uint_eq(group.header.lsn.v, lsn);
		ck_assert(group.is_body_good);
		ck_assert(mbj_bytes_equal(group.record, record));
	}
	ck_assert_int_eq(mbj_log_reader_next(reader, &group, NULL),
			 MBJ_ENOTFOUND);
	LAB_OK(mbj_log_reader_end(reader, &end, err));
	ck_assert_uint_eq(end.lsn.v, last);
	ck_assert_mem_eq(end.chain.b, expected.chain.b, MBJ_HASH_SIZE);
	mbj_log_reader_close(&reader);
}

const char *lab_segment(struct disk *disk)
{
	const char *last = NULL;

	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		if (strstr(disk_name(disk, i), ".seg") != NULL)
			last = disk_name(disk, i);
	}
	ck_assert_ptr_nonnull(last);
	return last;
}
