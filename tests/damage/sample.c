/*
 * Building samples, and putting their files back.
 */
#define _DEFAULT_SOURCE /* DT_REG */
#include "sample.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/replay.h>

#include "history.h"
#include "store_lab.h"

enum { BATCHES = 8 };

static const char *const folders[] = {"", "journal", "state", "state.old"};

/* ---------------------------------------------------------- same on each run
 */

static int64_t sample_now(void *ctx)
{
	struct sample_sys *sys = ctx;

	return sys->now_us += 1000000;
}

static int sample_random(void *ctx, void *p, size_t n)
{
	struct sample_sys *sys = ctx;

	test_rng_fill(&sys->rng, p, n);
	return 0;
}

static void sample_sys_init(struct sample_sys *sys, uint64_t seed)
{
	memset(sys, 0, sizeof(*sys));
	sys->table = *mbj_sys_posix();
	sys->table.ctx = sys;
	sys->table.now_us = sample_now;
	sys->table.random = sample_random;
	sys->now_us = INT64_C(1700000000) * 1000000;
	test_rng_init(&sys->rng, seed);
}

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
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;
	int fd;

	path_make(sample, "", file->name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(fstat(fd, &st), 0);
	file->n = (size_t)st.st_size;
	file->bytes = malloc(file->n + 1);
	ck_assert_ptr_nonnull(file->bytes);
	ck_assert_int_eq(read(fd, file->bytes, file->n), (ssize_t)file->n);
	close(fd);
	file->used = used_find(file->bytes, file->n);
}

static int name_compare(const void *a, const void *b)
{
	const struct sample_file *x = a;
	const struct sample_file *y = b;

	return strcmp(x->name, y->name);
}

static void image_load(const struct sample *sample, struct sample_image *image)
{
	memset(image, 0, sizeof(*image));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char path[MBJ_PATH_TEXT_MAX];
		struct dirent *entry;
		DIR *dir;

		path_make(sample, folders[i], "", path);
		dir = opendir(path);
		if (dir == NULL)
			continue;
		while ((entry = readdir(dir)) != NULL) {
			struct sample_file *file = &image->files[image->count];

			if (entry->d_type != DT_REG)
				continue;
			ck_assert_uint_lt(image->count, DAMAGE_FILES_MAX);
			(void)snprintf(file->name, sizeof(file->name),
				       "%s%s%.60s", folders[i],
				       folders[i][0] != '\0' ? "/" : "",
				       entry->d_name);
			file_load(sample, file);
			image->count++;
		}
		closedir(dir);
	}
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

/* Empty a folder of everything but files of the image. */
static void folder_clean(const struct sample *sample, const char *folder,
			 const struct sample_image *image)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct dirent *entry;
	DIR *dir;

	path_make(sample, folder, "", path);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		bool is_wanted = false;
		char name[96];

		if (entry->d_type != DT_REG)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%.60s", folder,
			       folder[0] != '\0' ? "/" : "", entry->d_name);
		for (size_t i = 0; i < image->count && !is_wanted; i++)
			is_wanted = strcmp(name, image->files[i].name) == 0;
		if (!is_wanted)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	if (strcmp(folder, "state.old") == 0)
		(void)rmdir(path);
}

static void file_store(const struct sample *sample, const char *name,
		       const uint8_t *bytes, size_t n)
{
	size_t used = used_find(bytes, n);
	char path[MBJ_PATH_TEXT_MAX];
	int fd;

	path_make(sample, "", name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(write(fd, bytes, used), (ssize_t)used);
	ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
	close(fd);
}

void sample_restore(struct sample *sample, const struct sample_image *image,
		    const struct damage *damage, struct mbj_bytes source)
{
	char path[MBJ_PATH_TEXT_MAX];

	/* A trial is the same alone and among others. */
	test_rng_init(&sample->sys.rng, 0);

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		folder_clean(sample, folders[i], image);
	path_make(sample, "state", "", path);
	(void)mkdir(path, 0700);
	for (size_t i = 0; i < image->count; i++) {
		const struct sample_file *file = &image->files[i];
		uint8_t *bytes = NULL;
		size_t n = 0;

		if (damage == NULL || damage->file != i) {
			file_store(sample, file->name, file->bytes, file->n);
		} else if (damage_apply(damage,
					mbj_bytes_make(file->bytes, file->n),
					source, &bytes, &n)) {
			file_store(sample, file->name, bytes, n);
			free(bytes);
		} else {
			path_make(sample, "", file->name, path);
			(void)unlink(path);
		}
	}
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

static enum mbj_rc parked_get(struct mbj_txn *txn,
			      struct sample_content *content,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_parked parked;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			content->parked +=
				1 + 100 * parked.count + 10000 * parked.last.v;
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
		rc = parked_get(txn, &content, err);
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

	rc = mbj_log_reader_open(&sample->sys.table, sample->journal_dir,
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
	SITE_OK(mbj_store_log_reader(&sample->sys.table, sample->dir, &reader,
				     err));
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
	sample_sys_init(&sample->sys, seed);
	sample->options = MBJ_STORE_OPTIONS_INIT;
	sample->options.sys = &sample->sys.table;
	sample->options.state.cache_size = 1u << 20;
	sample->options.log.segment_size = 3072;
	sample->options.log.reserve_max = 512;
	/* In memory where that is to be had: a trial is mostly files. */
	if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 1);
	sample->tmp = test_tmpdir_new();
	(void)snprintf(sample->dir, sizeof(sample->dir), "%s/s", sample->tmp);
	path_make(sample, "journal", "", sample->journal_dir);
	SITE_OK(mbj_store_init(sample->dir, MBJ_STORE_PRIMARY, &sample->options,
			       err));
	SITE_OK(mbj_identity_load(&sample->sys.table, sample->dir,
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
}

/* A mailbox moved behind the journal's back: what a bug would leave. */
static void state_bend(struct sample *sample)
{
	struct mbj_state *state = NULL;
	struct mbj_txn *txn = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_account account;
	struct mbj_mailbox found;
	struct mbj_slot from;
	struct mbj_slot to;

	path_make(sample, "state", "", path);
	SITE_OK(mbj_state_open(&sample->sys.table, path,
			       sample->identity.lineage, &sample->options.state,
			       &state, err));
	SITE_OK(mbj_txn_begin(state, &txn, err));
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str("u1"), &account, err));
	SITE_OK(mbj_txn_mailbox_get(txn, account.id, site_mailbox(1, 3), &found,
				    err));
	from = (struct mbj_slot){found.parent, found.name};
	to.parent = found.parent;
	to.name.stored = mbj_bytes_str("elsewhere");
	to.name.key = to.name.stored;
	SITE_OK(mbj_txn_mailbox_move(txn, account.id, site_mailbox(1, 3),
				     found.rev, &from, &to, 0, err));
	SITE_OK(mbj_txn_commit(&txn, err));
	mbj_state_close(&state);
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
	SITE_OK(mbj_identity_load(&sample->sys.table, sample->dir,
				  &sample->identity, err));
	state_bend(sample);
	store_open(sample, &store);
	if (is_parked_before) {
		replay_from(store, primary, sample->groups * 3 / 4);
		mbj_store_close(&store);
		store_open(sample, &store);
	}
	replay_from(store, primary, 0);
	SITE_OK(sample_content_get(store, &sample->content, err));
	ck_assert_uint_gt(sample->content.parked, 0);
	image_load(sample, &sample->live);
	mbj_store_close(&store);
	image_load(sample, &sample->late);
}

void sample_end(struct sample *sample)
{
	image_done(&sample->early);
	image_done(&sample->live);
	image_done(&sample->late);
	mbj_buf_done(&sample->records);
	test_tmpdir_free(&sample->tmp);
}
