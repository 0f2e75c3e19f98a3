/*
 * The one file of the engine in memory.  Bytes, little-endian:
 *
 *	8	magic "MBJMEM1\n"
 *	each:	u8 table, u32 bytes of the key, key, u32 bytes of the
 *		value, value
 *	u32	CRC32C of all before
 *
 * Not here: when it is written (db_memory.c).
 */
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "db_memory.h"

static const char magic[] = "MBJMEM1\n";

enum { MAGIC_SIZE = sizeof(magic) - 1, CRC_SIZE = 4 };

/* A whole state; more than a test's, less than what would hurt. */
#define FILE_SIZE_MAX ((size_t)2 << 30)

static void table_encode(struct mbj_buf *bytes, enum db_table number,
			 const struct mem_table *table)
{
	struct mem_place place = {0, 0};
	const struct mem_record *record = mem_table_at(table, place);

	while (record != NULL && bytes->failed == MBJ_OK) {
		mbj_buf_put_u8(bytes, (uint8_t)number);
		mbj_buf_put_block(bytes, mem_record_key(record));
		mbj_buf_put_block(bytes, mem_record_value(record));
		mem_table_step(table, &place);
		record = mem_table_at(table, place);
	}
}

enum mbj_rc memory_file_save(const struct mbj_sys *sys, const char *home,
			     struct mem_table *const tables[TABLE_COUNT],
			     struct mbj_error *err)
{
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, FILE_SIZE_MAX);
	mbj_buf_put(&bytes, magic, MAGIC_SIZE);
	for (int i = 0; i < TABLE_COUNT; i++)
		table_encode(&bytes, (enum db_table)i, tables[i]);
	mbj_buf_put_u32(&bytes, mbj_crc32c(0, mbj_buf_view(&bytes)));
	rc = mbj_buf_ok(&bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, home, DB_MEMORY_NAME,
				      mbj_buf_view(&bytes), err);
	mbj_buf_done(&bytes);
	return rc;
}

static enum mbj_rc file_damaged(const char *home, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s/" DB_MEMORY_NAME " is damaged", home);
}

static enum mbj_rc file_decode(struct mbj_bytes bytes, const char *home,
			       struct mem_table *tables[TABLE_COUNT],
			       struct mbj_error *err)
{
	struct mbj_reader reader;

	if (bytes.n < MAGIC_SIZE + CRC_SIZE ||
	    memcmp(bytes.p, magic, MAGIC_SIZE) != 0)
		return file_damaged(home, err);
	bytes.n -= CRC_SIZE;
	if (mbj_crc32c(0, bytes) != mbj_load_u32(bytes.p + bytes.n))
		return file_damaged(home, err);
	mbj_reader_init(&reader, bytes);
	(void)mbj_read_bytes(&reader, MAGIC_SIZE);
	while (mbj_reader_left(&reader) > 0) {
		uint8_t table = mbj_read_u8(&reader);
		struct mbj_bytes key = mbj_read_block(&reader, DB_RECORD_MAX);
		struct mbj_bytes value = mbj_read_block(&reader, DB_RECORD_MAX);

		if (!mbj_reader_ok(&reader) || table >= TABLE_COUNT)
			return file_damaged(home, err);
		if (!mem_table_put(&tables[table], key, value))
			return mbj_error_nomem(err);
	}
	return MBJ_OK;
}

enum mbj_rc memory_file_load(const struct mbj_sys *sys, const char *home,
			     struct mem_table *tables[TABLE_COUNT],
			     struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, FILE_SIZE_MAX);
	rc = mbj_path_join(path, home, DB_MEMORY_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_load(sys, path, FILE_SIZE_MAX, &bytes, err);
	if (rc == MBJ_ENOTFOUND)
		rc = file_damaged(home, err);
	if (rc == MBJ_OK)
		rc = file_decode(mbj_buf_view(&bytes), home, tables, err);
	mbj_buf_done(&bytes);
	return rc;
}
