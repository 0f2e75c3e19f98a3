/*
 * The examples of docs/FORMAT.md: each block
 *
 *	```hex KIND
 *	# what it means
 *	4d 42 4a ...
 *	```
 *
 * is decoded and encoded again, and they must fit together: the frame carries
 * the group, in the segment, of the store.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/backup_mark.h>
#include <mbj/codec.h>

#include "blob_priv.h"
#include "golden.h"
#include "log_impl.h"
#include "segment.h"
#include "superblock.h"

enum { EXAMPLES_MAX = 40, WORD_SIZE = 32, MEANING_SIZE = 512, BYTES_MAX = 512 };

struct example {
	char kind[WORD_SIZE];
	char meaning[MEANING_SIZE];
	uint8_t p[BYTES_MAX];
	size_t n;
};

struct document {
	struct example example[EXAMPLES_MAX];
	size_t count;
};

static struct mbj_bytes example_bytes(const struct example *example)
{
	return mbj_bytes_make(example->p, example->n);
}

/* ---------------------------------------------------------- the document */

static void hex_read(struct example *example, const char *line)
{
	unsigned byte;
	int n;

	while (sscanf(line, " %2x%n", &byte, &n) == 1) {
		ck_assert_uint_lt(example->n, BYTES_MAX);
		example->p[example->n++] = (uint8_t)byte;
		line += n;
	}
	ck_assert_msg(*line == '\n' || *line == '\0', "no hex: %s", line);
}

static void line_read(struct document *document, const char *line,
		      bool *is_inside)
{
	struct example *example = &document->example[document->count];

	if (!*is_inside) {
		*is_inside = strncmp(line, "```hex ", 7) == 0;
		if (!*is_inside)
			return;
		ck_assert_uint_lt(document->count, EXAMPLES_MAX);
		memset(example, 0, sizeof(*example));
		ck_assert_int_eq(sscanf(line + 7, "%31s", example->kind), 1);
	} else if (strncmp(line, "```", 3) == 0) {
		*is_inside = false;
		document->count++;
	} else if (line[0] == '#') {
		ck_assert_int_eq(sscanf(line, "# %511[^\n]", example->meaning),
				 1);
	} else {
		hex_read(example, line);
	}
}

static struct document *document_read(void)
{
	struct document *document = calloc(1, sizeof(*document));
	FILE *file = fopen(GOLDEN_FORMAT, "r");
	bool is_inside = false;
	char line[1024];

	ck_assert_msg(file != NULL && document != NULL, "no %s", GOLDEN_FORMAT);
	while (fgets(line, sizeof(line), file) != NULL)
		line_read(document, line, &is_inside);
	ck_assert(!is_inside);
	fclose(file);
	return document;
}

/* The only example of a kind. */
static const struct example *example_get(const struct document *document,
					 const char *kind)
{
	const struct example *found = NULL;

	for (size_t i = 0; i < document->count; i++) {
		if (strcmp(document->example[i].kind, kind) != 0)
			continue;
		ck_assert_msg(found == NULL, "two examples of %s", kind);
		found = &document->example[i];
	}
	ck_assert_msg(found != NULL, "no example of %s", kind);
	return found;
}

static void example_compare(const struct example *example,
			    struct mbj_bytes again)
{
	ck_assert_msg(mbj_bytes_equal(again, example_bytes(example)),
		      "%s %s is not written like that", example->kind,
		      example->meaning);
}

/* ------------------------------------------------------------- examples */

/*
 * Goal: the examples of files are what is read and written, and belong
 * together.  Method: superblock, segment header, frame, group and mark decoded
 * and encoded; lineage, salt, LSN, chain and checksums compared between them.
 */
START_TEST(format_files)
{
	struct document *document = document_read();
	const struct example *example;
	struct superblock superblock;
	struct segment_header header;
	struct segment_frame frame;
	struct mbj_sha256 *sha = NULL;
	struct mbj_log_end mark;
	struct mbj_group group;
	struct mbj_buf again;
	struct mbj_hash chain;
	uint8_t bytes[BYTES_MAX];

	GOLDEN_OK(mbj_sha256_new(&sha, err));
	mbj_buf_init(&again, BYTES_MAX);
	example = example_get(document, "superblock");
	golden_superblock_again(example_bytes(example), &again);
	example_compare(example, mbj_buf_view(&again));
	GOLDEN_OK(superblock_decode(example_bytes(example), "example",
				    &superblock, err));

	example = example_get(document, "segment-header");
	GOLDEN_OK(segment_header_decode(example_bytes(example), "example",
					&header, err));
	segment_header_encode(&header, bytes);
	example_compare(example, mbj_bytes_make(bytes, SEGMENT_HEADER_SIZE));
	ck_assert(mbj_id_equal(header.lineage, superblock.identity.lineage));

	example = example_get(document, "frame");
	ck_assert_uint_eq(example->n, SEGMENT_FRAME_SIZE);
	ck_assert(segment_frame_decode(example->p, header.salt, &frame));
	segment_frame_encode(&frame, header.salt, bytes);
	example_compare(example, mbj_bytes_make(bytes, SEGMENT_FRAME_SIZE));

	example = example_get(document, "group");
	GOLDEN_OK(mbj_group_parse(example_bytes(example), &group, err));
	GOLDEN_OK(mbj_group_chain_check(&group, sha, &frame.chain, err));
	ck_assert_uint_eq(group.record.n, example->n);
	ck_assert_uint_eq(group.record.n, frame.payload_size);
	ck_assert_uint_eq(mbj_crc32c(0, group.record), frame.payload_crc);
	ck_assert_uint_eq(group.header.lsn.v, frame.first.v);
	ck_assert_uint_eq(frame.count, 1);
	chain = frame.chain;
	mbj_buf_clear(&again);
	golden_group_again(&group, sha, &chain, &again);
	example_compare(example, mbj_buf_view(&again));

	example = example_get(document, "published");
	mbj_buf_clear(&again);
	golden_mark_again(example_bytes(example), &again);
	example_compare(example, mbj_buf_view(&again));
	ck_assert(log_published_decode(example->p, &mark));
	ck_assert_uint_eq(mark.lsn.v, group.header.lsn.v);
	ck_assert_mem_eq(mark.chain.b, group.chain.b, MBJ_HASH_SIZE);
	mbj_buf_done(&again);
	mbj_sha256_free(&sha);
	free(document);
}
END_TEST

/*
 * Goal: the mark of a backup is what is read and written, and stands for the
 * group of the other examples.  Method: put where it belongs, read, saved.
 */
START_TEST(format_backup)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct document *document = document_read();
	const struct example *example = example_get(document, "backup-mark");
	const struct example *published = example_get(document, "published");
	char *dir = test_tmpdir_new();
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_backup_mark mark;
	struct mbj_log_end end;
	struct mbj_buf again;

	mbj_buf_init(&again, BYTES_MAX);
	GOLDEN_OK(mbj_path_join(path, dir, "mbj.backup", err));
	GOLDEN_OK(mbj_file_replace(sys, dir, "mbj.backup",
				   example_bytes(example), err));
	GOLDEN_OK(mbj_backup_mark_load(sys, dir, &mark, err));
	GOLDEN_OK(mbj_file_remove(sys, path, err));
	GOLDEN_OK(mbj_backup_mark_save(sys, dir, &mark, err));
	GOLDEN_OK(mbj_file_load(sys, path, BYTES_MAX, &again, err));
	example_compare(example, mbj_buf_view(&again));
	ck_assert(log_published_decode(published->p, &end));
	ck_assert(mbj_backup_is_whole(&mark));
	ck_assert_uint_eq(mark.end.lsn.v, end.lsn.v);
	ck_assert_mem_eq(mark.end.chain.b, end.chain.b, MBJ_HASH_SIZE);
	ck_assert_uint_eq(mark.contents, 3);
	mbj_buf_done(&again);
	test_tmpdir_free(&dir);
	free(document);
}
END_TEST

/* All that is random is the generation of the example. */
static int generation_random(void *ctx, void *p, size_t n)
{
	const struct mbj_id *generation = ctx;

	ck_assert_uint_eq(n, MBJ_ID_SIZE);
	memcpy(p, generation->b, MBJ_ID_SIZE);
	return 0;
}

/* The file of a log that one content came to. */
static void content_log_write(struct mbj_id generation, struct mbj_bytes bytes,
			      struct mbj_buf *log)
{
	struct mbj_sys sys = *mbj_sys_posix();
	char *tmp = test_tmpdir_new();
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;

	/* The real table ignores its context. */
	sys.ctx = &generation;
	sys.random = generation_random;
	GOLDEN_OK(mbj_path_join(dir, tmp, "blobs", err));
	GOLDEN_OK(mbj_path_join(path, dir, "log.0", err));
	GOLDEN_OK(mbj_blobs_open(&sys, dir, true, &blobs, err));
	mbj_blobs_log(blobs, 2 * BLOB_LOG_BLOCK);
	GOLDEN_OK(mbj_blob_put(blobs, bytes, &digest, err));
	GOLDEN_OK(mbj_blobs_sync(blobs, err));
	GOLDEN_OK(mbj_file_load(&sys, path, 2 * BLOB_LOG_BLOCK, log, err));
	mbj_blobs_close(&blobs);
	test_tmpdir_free(&tmp);
}

/*
 * Goal: header and batch of a log of contents are what is read and written.
 * Method: a file of both read; its content stored with the same generation.
 */
START_TEST(format_content_log)
{
	struct document *document = document_read();
	const struct example *header, *batch;
	uint8_t file[2 * BLOB_LOG_BLOCK] = {0};
	struct mbj_bytes log = {.p = file};
	struct blob_log_walk walk = {.at = BLOB_LOG_BLOCK};
	struct blob_record record;
	struct mbj_id generation;
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash digest;
	struct mbj_buf again;

	header = example_get(document, "content-log-header");
	batch = example_get(document, "content-log-batch");
	ck_assert_uint_eq(header->n, BLOB_LOG_HEADER_SIZE);
	memcpy(file, header->p, header->n);
	memcpy(file + BLOB_LOG_BLOCK, batch->p, batch->n);
	log.n = BLOB_LOG_BLOCK + batch->n;
	ck_assert(blob_log_header_read(log, &generation));
	ck_assert(blob_log_next(log, generation, &walk, &record));
	GOLDEN_OK(mbj_sha256_new(&sha, err));
	GOLDEN_OK(mbj_sha256_digest(sha, &record.bytes, 1, &digest, err));
	ck_assert_mem_eq(record.digest.b, digest.b, MBJ_HASH_SIZE);
	ck_assert_uint_eq(record.size, record.bytes.n);
	ck_assert_int_eq(record.form, BLOB_PLAIN);
	mbj_buf_init(&again, sizeof(file));
	content_log_write(generation, record.bytes, &again);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&again), log));
	ck_assert(!blob_log_next(log, generation, &walk, &record));
	mbj_buf_done(&again);
	mbj_sha256_free(&sha);
	free(document);
}
END_TEST

/*
 * Goal: there is an example of each primitive, and it means what is written
 * above it.  Method: decoded, printed and encoded again.
 */
START_TEST(format_primitives)
{
	struct document *document = document_read();
	struct mbj_buf line;
	struct mbj_buf again;

	mbj_buf_init(&line, MEANING_SIZE);
	mbj_buf_init(&again, BYTES_MAX);
	for (size_t i = 0; i < mbj_op_info_count(); i++) {
		const struct mbj_op_info *info = mbj_op_info_at(i);
		const struct example *example =
			example_get(document, info->word);
		struct mbj_reader reader;
		struct mbj_op op;

		mbj_reader_init(&reader, example_bytes(example));
		GOLDEN_OK(mbj_op_decode(&reader, &op, err));
		ck_assert_uint_eq(reader.offset, example->n);
		ck_assert_uint_eq(op.kind, info->kind);
		mbj_buf_clear(&line);
		mbj_op_print(&line, &op);
		mbj_buf_put_u8(&line, 0);
		GOLDEN_OK(mbj_buf_ok(&line, err));
		ck_assert_str_eq((const char *)line.p, example->meaning);
		mbj_buf_clear(&again);
		mbj_op_encode(&again, &op);
		example_compare(example, mbj_buf_view(&again));
	}
	/* Every block is one that a test knows. */
	ck_assert_uint_eq(document->count, mbj_op_info_count() + 8);
	mbj_buf_done(&again);
	mbj_buf_done(&line);
	free(document);
}
END_TEST

TCase *test_format_case(void)
{
	TCase *tc = tcase_create("format");

	tcase_add_test(tc, format_files);
	tcase_add_test(tc, format_backup);
	tcase_add_test(tc, format_content_log);
	tcase_add_test(tc, format_primitives);
	return tc;
}
