/*
 * Building samples, and putting their files back.
 */
#include "sample.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <mbj/replay.h>

#include "history.h"
#include "store_lab.h"

enum {
	BATCHES = SAMPLE_IS_SMALL ? 3 : 8,
	FOLDERS = 4,
	TRIAL_SEED = 1000,
	/* One is enough, with zeroes behind what is used; or as few as go. */
	LOG_FILE_SIZE = SAMPLE_IS_SMALL ? 8 << 10 : 512 << 10,
};

static const char *const folders[FOLDERS] = {"", "journal", "state",
					     "state.old"};

/* --------------------------------------------------------------- images */

static void path_make(const struct sample *sample, const char *folder,
		      const char *name, char path[MBJ_PATH_TEXT_MAX])
{
	int n = snprintf(path, MBJ_PATH_TEXT_MAX, "%s%s%s%s%s", sample->dir,
			 folder[0] != '\0' ? "/" : "", folder,
			 name[0] != '\0' ? "/" : "", name);

	ck_assert_int_lt(n, MBJ_PATH_TEXT_MAX);
}

static size_t used_find(const uint8_t *bytes, size_t n)
{
	while (n > 0 && bytes[n - 1] == 0)
		n--;
	return n;
}

static void file_load(const struct sample *sample, struct sample_file *file)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	char path[MBJ_PATH_TEXT_MAX];
	int fd;

	path_make(sample, "", file->name, path);
	fd = sys->open(sys->ctx, path, O_RDONLY, 0);
	ck_assert_msg(fd >= 0, "%s", path);
	file->n = (size_t)sys->size(sys->ctx, fd);
	file->bytes = malloc(file->n + 1);
	ck_assert_ptr_nonnull(file->bytes);
	ck_assert_int_eq(sys->pread(sys->ctx, fd, file->bytes, file->n, 0),
			 (ssize_t)file->n);
	(void)sys->close(sys->ctx, fd);
	file->used = used_find(file->bytes, file->n);
}

static int name_compare(const void *a, const void *b)
{
	const struct sample_file *x = a;
	const struct sample_file *y = b;

	return strcmp(x->name, y->name);
}

/* The files of a folder, by their names below the store. */
static void folder_each(struct sample *sample, const char *folder,
			void (*see)(struct sample *sample, const char *name,
				    void *context),
			void *context)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;

	mbj_buf_init(&names, 1 << 20);
	path_make(sample, folder, "", path);
	if (sys->list(sys->ctx, path, &names) == 0) {
		for (const char *entry = mbj_names_next(&names, NULL);
		     entry != NULL; entry = mbj_names_next(&names, entry)) {
			char name[SAMPLE_NAME_SIZE];
			mode_t mode;
			uid_t uid;

			(void)snprintf(name, sizeof(name), "%s%s%.60s", folder,
				       folder[0] != '\0' ? "/" : "", entry);
			path_make(sample, "", name, path);
			ck_assert_int_eq(sys->stat(sys->ctx, path, &mode, &uid),
					 0);
			if (S_ISREG(mode))
				see(sample, name, context);
		}
	}
	mbj_buf_done(&names);
}

static void image_file_add(struct sample *sample, const char *name,
			   void *context)
{
	struct sample_image *image = context;
	struct sample_file *file = &image->files[image->count];

	ck_assert_uint_lt(image->count++, DAMAGE_FILES_MAX);
	memcpy(file->name, name, strlen(name) + 1);
	file_load(sample, file);
}

static void image_load(struct sample *sample, struct sample_image *image)
{
	memset(image, 0, sizeof(*image));
	for (size_t i = 0; i < FOLDERS; i++)
		folder_each(sample, folders[i], image_file_add, image);
	qsort(image->files, image->count, sizeof(image->files[0]),
	      name_compare);
}

static void image_done(struct sample_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->files[i].bytes);
	image->count = 0;
}

struct sample_image sample_part(const struct sample_image *image,
				const char *prefix)
{
	struct sample_image part = {.count = 0};

	for (size_t i = 0; i < image->count; i++) {
		if (strncmp(image->files[i].name, prefix, strlen(prefix)) == 0)
			part.files[part.count++] = image->files[i];
	}
	return part;
}

struct sample_image sample_mix(const struct sample_image *base,
			       const char *prefix,
			       const struct sample_image *other)
{
	struct sample_image mix = sample_part(other, prefix);

	for (size_t i = 0; i < base->count; i++) {
		if (strncmp(base->files[i].name, prefix, strlen(prefix)) == 0)
			continue;
		ck_assert_uint_lt(mix.count, DAMAGE_FILES_MAX);
		mix.files[mix.count++] = base->files[i];
	}
	return mix;
}

void sample_names(const struct sample_image *image,
		  const char *names[DAMAGE_FILES_MAX])
{
	for (size_t i = 0; i < DAMAGE_FILES_MAX; i++)
		names[i] = i < image->count ? image->files[i].name : "";
}

unsigned sample_find(const struct sample_image *image, const char *prefix)
{
	for (unsigned i = 0; i < image->count; i++) {
		if (strncmp(image->files[i].name, prefix, strlen(prefix)) == 0)
			return i;
	}
	ck_abort_msg("no file %s", prefix);
	return 0;
}

static void file_remove(struct sample *sample, const char *name, void *context)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	char path[MBJ_PATH_TEXT_MAX];

	(void)context;
	path_make(sample, "", name, path);
	ck_assert_int_eq(sys->unlink(sys->ctx, path), 0);
}

static void bytes_put(const struct sample *sample, int fd, size_t at,
		      const uint8_t *bytes, size_t n)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);

	ck_assert_int_eq(sys->pwrite(sys->ctx, fd, bytes, n, (off_t)at),
			 (ssize_t)n);
}

static void file_store(const struct sample *sample, const char *name,
		       const uint8_t *bytes, size_t n)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	size_t used = used_find(bytes, n);
	char path[MBJ_PATH_TEXT_MAX];
	int fd;

	path_make(sample, "", name, path);
	fd = sys->open(sys->ctx, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_msg(fd >= 0, "%s", path);
	bytes_put(sample, fd, 0, bytes, used);
	if (n > used)
		bytes_put(sample, fd, n - 1, (const uint8_t *)"", 1);
	ck_assert_int_eq(sys->fdatasync(sys->ctx, fd), 0);
	(void)sys->close(sys->ctx, fd);
}

/* The store with the image's files and no other ones. */
static void base_make(struct sample *sample, const struct sample_image *image)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	char path[MBJ_PATH_TEXT_MAX];

	disk_copy(sample->disk, sample->made);
	for (size_t i = 0; i < FOLDERS; i++)
		folder_each(sample, folders[i], file_remove, NULL);
	path_make(sample, "state.old", "", path);
	(void)sys->rmdir(sys->ctx, path);
	path_make(sample, "state", "", path);
	(void)sys->mkdir(sys->ctx, path, 0700);
	for (size_t i = 0; i < image->count; i++)
		file_store(sample, image->files[i].name, image->files[i].bytes,
			   image->files[i].n);
	disk_copy(sample->base, sample->disk);
	sample->based_on = image;
}

/* The bytes that a damage changes in place; n 0: it does something else. */
static size_t bytes_changed(const struct damage *damage, size_t n,
			    size_t *ret_at)
{
	size_t end;

	switch (damage->kind) {
	case DAMAGE_FLIP:
	case DAMAGE_BURST:
		*ret_at = damage->at / 8;
		return (damage->at + damage->size - 1) / 8 + 1 - *ret_at;
	case DAMAGE_ZERO:
		*ret_at = damage->at;
		end = damage->at + damage->size;
		return (end < n ? end : n) - *ret_at;
	default:
		return 0;
	}
}

static void file_damage(struct sample *sample, const struct sample_file *file,
			const struct damage *damage, struct mbj_bytes source)
{
	const struct mbj_sys *sys = disk_sys(sample->disk);
	struct damage moved = *damage;
	size_t at = 0;
	size_t count = bytes_changed(damage, file->n, &at);
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t *bytes = NULL;
	size_t n = 0;
	int fd;

	if (count == 0) {
		if (!damage_apply(damage, mbj_bytes_make(file->bytes, file->n),
				  source, &bytes, &n)) {
			file_remove(sample, file->name, NULL);
			return;
		}
		file_store(sample, file->name, bytes, n);
		free(bytes);
		return;
	}
	moved.at -= damage->kind == DAMAGE_ZERO ? at : 8 * at;
	(void)damage_apply(&moved, mbj_bytes_make(file->bytes + at, count),
			   source, &bytes, &n);
	path_make(sample, "", file->name, path);
	fd = sys->open(sys->ctx, path, O_WRONLY, 0);
	ck_assert_msg(fd >= 0, "%s", path);
	bytes_put(sample, fd, at, bytes, n);
	(void)sys->close(sys->ctx, fd);
	free(bytes);
}

void sample_restore(struct sample *sample, const struct sample_image *image,
		    const struct damage *damage, struct mbj_bytes source)
{
	(void)disk_db_use(sample->disk);
	if (sample->based_on != image)
		base_make(sample, image);
	disk_copy(sample->disk, sample->base);
	if (damage != NULL)
		file_damage(sample, &image->files[damage->file], damage,
			    source);
	/* A trial is the same alone and among others. */
	disk_begin(sample->disk, TRIAL_SEED);
}

/* -------------------------------------------------------------- content */

static enum mbj_rc accounts_get(struct mbj_txn *txn,
				struct sample_content *content,
				struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_account account;
	struct mbj_digest digest = {{0}};
	enum mbj_rc rc;

	rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_account_check(txn, account.id, &digest,
						   err);
		if (rc < 0)
			break;
		content->accounts++;
		for (size_t i = 0; i < 4; i++)
			content->digest.lane[i] +=
				digest.lane[i] * (2 * account.lsn.v + 1);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc sample_content_get(struct mbj_store *store,
			       struct sample_content *ret_content,
			       struct mbj_error *err)
{
	struct sample_content content = {.accounts = 0};
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	content.end = mbj_store_end(store);
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, &content.watermark, err);
	if (rc == MBJ_OK)
		rc = accounts_get(txn, &content, err);
	if (rc == MBJ_OK)
		rc = site_parked_sum(txn, &content.parked, err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK)
		*ret_content = content;
	return rc;
}

bool sample_content_equal(const struct sample_content *a,
			  const struct sample_content *b)
{
	return a->accounts == b->accounts && a->parked == b->parked &&
	       mbj_digest_equal(&a->digest, &b->digest) &&
	       a->watermark.lsn.v == b->watermark.lsn.v &&
	       memcmp(a->watermark.chain.b, b->watermark.chain.b,
		      MBJ_HASH_SIZE) == 0 &&
	       a->end.lsn.v == b->end.lsn.v &&
	       memcmp(a->end.chain.b, b->end.chain.b, MBJ_HASH_SIZE) == 0;
}

enum mbj_rc sample_journal_read(const struct sample *sample, bool is_owned,
				bool *ret_is_same, struct mbj_error *err)
{
	const struct mbj_identity *id = &sample->identity;
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	size_t at = 0;
	bool is_same = true;
	enum mbj_rc rc;

	rc = mbj_log_reader_open(disk_sys(sample->disk), sample->journal_dir,
				 id->lineage, &id->anchor, is_owned, &reader,
				 err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, id->anchor.first, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc < 0)
			break;
		if (!group.is_body_good)
			rc = mbj_log_reader_fault(reader, &group, err);
		is_same = is_same && group.record.n <= sample->records.n - at &&
			  memcmp(group.record.p, sample->records.p + at,
				 group.record.n) == 0;
		if (is_same)
			at += group.record.n;
	}
	mbj_log_reader_close(&reader);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_same = is_same && at == sample->records.n;
	return MBJ_OK;
}

/* -------------------------------------------------------------- samples */

static void store_open(struct sample *sample, struct mbj_store **ret_store)
{
	SITE_OK(mbj_replica_open(sample->dir, &sample->options, ret_store,
				 err));
}

/* All groups of the journal, back to back. */
static void records_load(struct sample *sample)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	mbj_buf_init(&sample->records, 16 << 20);
	SITE_OK(mbj_store_log_reader(disk_sys(sample->disk), sample->dir,
				     &reader, err));
	SITE_OK(mbj_log_reader_seek(reader, sample->identity.anchor.first,
				    err));
	while ((rc = mbj_log_reader_next(reader, &group, NULL)) == MBJ_OK) {
		mbj_buf_put_bytes(&sample->records, group.record);
		sample->groups++;
	}
	ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	mbj_log_reader_close(&reader);
}

void sample_begin(struct sample *sample, uint64_t seed)
{
	struct mbj_store *store = NULL;

	memset(sample, 0, sizeof(*sample));
	sample->tmp = test_tmpdir_new();
	sample->disk = disk_new(sample->tmp, seed);
	sample->base = disk_new(sample->tmp, seed);
	sample->made = disk_new(sample->tmp, seed);
	(void)disk_db_use(sample->disk);
	sample->options = MBJ_STORE_OPTIONS_INIT;
	sample->options.sys = disk_sys(sample->disk);
	sample->options.state.cache_size = 1u << 20;
	sample->options.state.log_file_size = LOG_FILE_SIZE;
	sample->options.log.segment_size = 3072;
	sample->options.log.reserve_max = 512;
	(void)snprintf(sample->dir, sizeof(sample->dir), "%s/s", sample->tmp);
	path_make(sample, "journal", "", sample->journal_dir);
	SITE_OK(mbj_store_init(sample->dir, MBJ_STORE_PRIMARY, &sample->options,
			       err));
	SITE_OK(mbj_identity_load(disk_sys(sample->disk), sample->dir,
				  &sample->identity, err));
	store_open(sample, &store);
	history_begin(store);
	for (unsigned i = 0; i < BATCHES / 2; i++)
		history_step(store, i);
	mbj_store_close(&store);
	image_load(sample, &sample->early);
	store_open(sample, &store);
	for (unsigned i = BATCHES / 2; i < BATCHES; i++)
		history_step(store, i);
	image_load(sample, &sample->live);
	SITE_OK(sample_content_get(store, &sample->content, err));
	mbj_store_close(&store);
	image_load(sample, &sample->late);
	records_load(sample);
	sample->anew = sample->content;
	disk_copy(sample->made, sample->disk);
}

static void replay_from(struct mbj_store *store, const char *primary,
			uint64_t until)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	options.until.v = until;
	SITE_OK(mbj_replay_journal(store, primary, &options, &result, err));
}

void sample_replica_begin(struct sample *sample, uint64_t seed,
			  bool is_parked_before)
{
	struct mbj_store *store = NULL;
	char primary[MBJ_PATH_TEXT_MAX];

	sample_begin(sample, seed);
	image_done(&sample->early);
	image_done(&sample->live);
	image_done(&sample->late);
	memcpy(primary, sample->dir, sizeof(primary));
	(void)snprintf(sample->dir, sizeof(sample->dir), "%s/r", sample->tmp);
	path_make(sample, "journal", "", sample->journal_dir);
	SITE_OK(mbj_store_init(sample->dir, MBJ_STORE_REPLICA, &sample->options,
			       err));
	store_open(sample, &store);
	replay_from(store, primary, sample->groups / 2);
	mbj_store_close(&store);
	SITE_OK(mbj_identity_load(disk_sys(sample->disk), sample->dir,
				  &sample->identity, err));
	site_bend(&sample->options, sample->dir, sample->identity.lineage, 3);
	store_open(sample, &store);
	if (is_parked_before) {
		replay_from(store, primary, sample->groups * 5 / 6);
		mbj_store_close(&store);
		store_open(sample, &store);
	}
	replay_from(store, primary, 0);
	SITE_OK(sample_content_get(store, &sample->content, err));
	ck_assert_uint_gt(sample->content.parked, 0);
	image_load(sample, &sample->live);
	mbj_store_close(&store);
	image_load(sample, &sample->late);
	disk_copy(sample->made, sample->disk);
}

void sample_end(struct sample *sample)
{
	image_done(&sample->early);
	image_done(&sample->live);
	image_done(&sample->late);
	mbj_buf_done(&sample->records);
	(void)disk_db_use(NULL);
	disk_free(&sample->disk);
	disk_free(&sample->base);
	disk_free(&sample->made);
	test_tmpdir_free(&sample->tmp);
}
