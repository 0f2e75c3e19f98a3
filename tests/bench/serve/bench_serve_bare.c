/*
 * Bare programs that do to a disk what the service does, and no more.
 */
#define _DEFAULT_SOURCE /* <db.h> */
#include "bench_figures.h"
#include "bench_serve.h"

#include <db.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FOLDERS = 256, PATH_SIZE = 700, PREPARED = 32 << 20 };

static void directory_make(const char *path)
{
	if (mkdir(path, 0700) < 0)
		stop(path, NULL);
}

static void directory_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0 || close(fd) < 0)
		stop(path, NULL);
}

/* A file of zeroes that are on disk: what is written later takes no space. */
static int file_prepare(const char *dir, const char *name)
{
	static const uint8_t zeroes[1 << 16];
	char path[PATH_SIZE];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		stop(path, NULL);
	for (off_t at = 0; at < PREPARED; at += (off_t)sizeof(zeroes))
		if (pwrite(fd, zeroes, sizeof(zeroes), at) < 0)
			stop(path, NULL);
	if (fsync(fd) < 0)
		stop(path, NULL);
	return fd;
}

static void file_append(int fd, off_t *at, size_t n)
{
	static const uint8_t bytes[CLIENTS * (BODY_SIZE + RECORD_SIZE)];

	if (*at + (off_t)n > PREPARED)
		*at = 0;
	if (pwrite(fd, bytes, n, *at) < 0 || fdatasync(fd) < 0)
		stop("append", NULL);
	*at += (off_t)n;
}

int bare_sync_begin(const char *dir)
{
	return file_prepare(dir, "sync");
}

double bare_sync_time(int fd, unsigned count)
{
	off_t at = 0;
	double begin = bench_now_s();

	for (unsigned i = 0; i < count; i++)
		file_append(fd, &at, 4096);
	return (bench_now_s() - begin) / count;
}

double bare_log(const char *dir, unsigned group, unsigned count)
{
	int fd = file_prepare(dir, "log");
	off_t at = 0;
	double begin = bench_now_s();

	for (unsigned i = 0; i < count; i += group)
		file_append(fd, &at, (size_t)group * (BODY_SIZE + RECORD_SIZE));
	begin = count / (bench_now_s() - begin);
	close(fd);
	return begin;
}

/* ------------------------------------------------------------------ files */

struct files {
	const char *dir;
	unsigned threads;
	unsigned rounds;
	unsigned serial; /* of this run of the case */
	pthread_barrier_t meet;
	int log;
};

struct files_thread {
	struct files *files;
	unsigned number;
};

static void message_write(struct files *files, unsigned number, unsigned round)
{
	uint64_t name = ((uint64_t)files->serial << 40 | (uint64_t)round << 8 |
			 number) *
			0x9e3779b97f4a7c15;
	unsigned folder = (unsigned)(name >> 56);
	uint8_t bytes[BODY_SIZE];
	char fresh[PATH_SIZE], path[PATH_SIZE];
	int fd;

	memset(bytes, 0x5a, sizeof(bytes));
	memcpy(bytes, &name, sizeof(name));
	(void)snprintf(fresh, sizeof(fresh), "%s/bare/new/%016llx", files->dir,
		       (unsigned long long)name);
	(void)snprintf(path, sizeof(path), "%s/bare/%02x/%062llx", files->dir,
		       folder, (unsigned long long)name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, sizeof(bytes)) != BODY_SIZE ||
	    fdatasync(fd) < 0 || close(fd) < 0 || rename(fresh, path) < 0)
		stop(path, NULL);
	(void)snprintf(path, sizeof(path), "%s/bare/%02x", files->dir, folder);
	directory_sync(path);
}

static void *files_run(void *context)
{
	struct files_thread *thread = context;
	struct files *files = thread->files;
	off_t at = 0;

	for (unsigned round = 0; round < files->rounds; round++) {
		message_write(files, thread->number, round);
		(void)pthread_barrier_wait(&files->meet);
		if (thread->number == 0)
			file_append(files->log, &at,
				    (size_t)files->threads * RECORD_SIZE);
		(void)pthread_barrier_wait(&files->meet);
	}
	return NULL;
}

static void folders_make(const char *dir)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/bare", dir);
	if (access(path, F_OK) == 0)
		return;
	directory_make(path);
	(void)snprintf(path, sizeof(path), "%s/bare/new", dir);
	directory_make(path);
	for (unsigned folder = 0; folder < FOLDERS; folder++) {
		(void)snprintf(path, sizeof(path), "%s/bare/%02x", dir, folder);
		directory_make(path);
	}
}

double bare_files(const char *dir, unsigned threads, unsigned count)
{
	static unsigned serial;
	struct files *files = calloc(1, sizeof(*files));
	struct files_thread crew[CLIENTS];
	pthread_t ids[CLIENTS];
	double begin;

	if (files == NULL)
		stop("files", NULL);
	files->dir = dir;
	files->threads = threads;
	files->rounds = count / threads;
	files->serial = ++serial;
	folders_make(dir);
	files->log = file_prepare(dir, "records");
	if (pthread_barrier_init(&files->meet, NULL, threads) != 0)
		stop("threads", NULL);
	begin = bench_now_s();
	for (unsigned i = 0; i < threads; i++) {
		crew[i] = (struct files_thread){files, i};
		if (pthread_create(&ids[i], NULL, files_run, &crew[i]) != 0)
			stop("threads", NULL);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	begin = files->rounds * threads / (bench_now_s() - begin);
	pthread_barrier_destroy(&files->meet);
	close(files->log);
	free(files);
	return begin;
}

/* ------------------------------------------------------------------ queue */

static void db_check(int code, const char *what)
{
	if (code == 0)
		return;
	fprintf(stderr, "bench_serve: %s: %s\n", what, db_strerror(code));
	exit(1);
}

/* Many processes write at once: with locks, where the state has none. */
static DB_ENV *queue_open(const char *dir, DB **ret_db)
{
	DB_ENV *env;

	db_check(db_env_create(&env, 0), "environment");
	db_check(env->set_cachesize(env, 0, 16u << 20, 1), "cache");
	db_check(env->set_lk_detect(env, DB_LOCK_DEFAULT), "locks");
	db_check(env->open(env, dir,
			   DB_CREATE | DB_INIT_MPOOL | DB_INIT_TXN |
				   DB_INIT_LOG | DB_INIT_LOCK,
			   0600),
		 "environment");
	db_check(db_create(ret_db, env, 0), "queue");
	db_check((*ret_db)->set_re_len(*ret_db, BODY_SIZE + RECORD_SIZE),
		 "queue");
	db_check((*ret_db)->set_pagesize(*ret_db, 16384), "queue");
	db_check((*ret_db)->open(*ret_db, NULL, "queue.db", NULL, DB_QUEUE,
				 DB_CREATE | DB_AUTO_COMMIT, 0600),
		 "queue");
	return env;
}

/* One process: it opens, says so, waits for all, and appends. */
static void queue_run(const char *dir, int ready, int go, unsigned count)
{
	uint8_t bytes[BODY_SIZE + RECORD_SIZE];
	DB_ENV *env;
	DB *db;

	env = queue_open(dir, &db);
	memset(bytes, 0x5a, sizeof(bytes));
	if (write(ready, "x", 1) != 1 || read(go, bytes, 1) != 0)
		_exit(1);
	for (unsigned i = 0; i < count; i++) {
		db_recno_t number = 0;
		DBT key = {.data = &number,
			   .size = sizeof(number),
			   .ulen = sizeof(number),
			   .flags = DB_DBT_USERMEM};
		DBT data = {.data = bytes, .size = sizeof(bytes)};
		int code;

		do {
			code = db->put(db, NULL, &key, &data,
				       DB_APPEND | DB_AUTO_COMMIT);
		} while (code == DB_LOCK_DEADLOCK);
		db_check(code, "append");
	}
	(void)db->close(db, 0);
	(void)env->close(env, 0);
	_exit(0);
}

double bare_queue(const char *dir, unsigned processes, unsigned count)
{
	static unsigned serial;
	unsigned each = count / processes;
	char path[PATH_SIZE];
	int ready[2], go[2];
	double begin;
	int status;
	char byte;

	(void)snprintf(path, sizeof(path), "%s/queue-%u", dir, serial++);
	directory_make(path);
	if (pipe(ready) < 0 || pipe(go) < 0)
		stop("pipe", NULL);
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			close(go[1]);
			queue_run(path, ready[1], go[0], each);
		}
		/* One after the other: the first one makes it all. */
		if (pid < 0 || read(ready[0], &byte, 1) != 1)
			stop("queue", NULL);
	}
	begin = bench_now_s();
	close(go[1]);
	for (unsigned i = 0; i < processes; i++)
		if (wait(&status) < 0 || status != 0)
			stop("queue", NULL);
	begin = (double)each * processes / (bench_now_s() - begin);
	close(go[0]);
	close(ready[0]);
	close(ready[1]);
	return begin;
}
