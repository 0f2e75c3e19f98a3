/*
 * Scripts by the million; see drive.h.
 *
 * A child runs the target on one input after another, each written to memory
 * that parent and child share before it runs: whatever way the child ends, the
 * parent has the input that ended it.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "drive.h"
#include "fuzz.h"
#include "script.h"

enum {
	SIZE_MAX_SCRIPT = SCRIPT_STEPS_MAX * SCRIPT_STEP_SIZE,
	SCRIPTS_MAX = 1 << 16, /* of a corpus */
	CHAIN_LENGTH = 16,     /* mutations of one script, on average */
	CLOCK_TURNS = 64,      /* executions between two looks at the clock */
	HANG_SECONDS = 60,
	REPORT_SECONDS = 60,
	PATH_TEXT_MAX = 4096,
};

struct script_bytes {
	size_t size;
	uint8_t bytes[SIZE_MAX_SCRIPT];
};

/* What parent and child share. */
struct shared {
	_Atomic uint64_t executions; /* ended */
	_Atomic uint64_t cpu_us;     /* of the child, at its last look */
	struct script_bytes now;     /* the one that runs */
};

struct drive {
	const char *name; /* of the program, for messages and files */
	const char *save;
	uint64_t seed;
	uint64_t executions_max; /* 0: no limit */
	uint64_t seconds_max;	 /* 0: no limit */
	struct script_bytes *corpus;
	size_t corpus_count;
	uint64_t random;
	struct shared *shared;
};

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t draw(struct drive *drive)
{
	uint64_t z = drive->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static double clock_s(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

/* --------------------------------------------------------------- corpus */

static int script_load(struct drive *drive, const char *path)
{
	struct script_bytes *script = &drive->corpus[drive->corpus_count];
	FILE *file = fopen(path, "rb");

	if (file == NULL) {
		perror(path);
		return -1;
	}
	if (drive->corpus_count < SCRIPTS_MAX) {
		script->size = fread(script->bytes, 1, SIZE_MAX_SCRIPT, file);
		drive->corpus_count++;
	}
	(void)fclose(file);
	return 0;
}

/* In the order of names, not of the directory, so that a seed repeats. */
static int corpus_load(struct drive *drive, const char *dir)
{
	char path[PATH_TEXT_MAX];
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, NULL, alphasort);
	int rc = 0;

	if (count < 0) {
		perror(dir);
		return -1;
	}
	for (int i = 0; i < count; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
			       entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && rc == 0)
			rc = script_load(drive, path);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

/* ---------------------------------------------------------------- child */

static const struct script_bytes *corpus_pick(struct drive *drive)
{
	return &drive->corpus[draw(drive) % drive->corpus_count];
}

/* A script goes through some mutations before another takes its place. */
static void script_next(struct drive *drive, struct script_bytes *script)
{
	struct script_bytes head;
	uint64_t chance = draw(drive);

	if (chance % CHAIN_LENGTH == 0) {
		script->size = 0;
		if (drive->corpus_count > 0 && chance / CHAIN_LENGTH % 8 > 0)
			*script = *corpus_pick(drive);
	} else if (chance % CHAIN_LENGTH == 1 && drive->corpus_count > 0) {
		const struct script_bytes *end = corpus_pick(drive);

		head = *script;
		script->size =
			script_cross(head.bytes, head.size, end->bytes,
				     end->size, script->bytes, SIZE_MAX_SCRIPT,
				     (unsigned)draw(drive));
	}
	script->size = script_mutate(script->bytes, script->size,
				     SIZE_MAX_SCRIPT, (unsigned)draw(drive));
}

/* What the child has come to, for its parent. */
static void child_note(struct shared *shared, uint64_t executions)
{
	double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);

	atomic_store(&shared->executions, executions);
	atomic_store(&shared->cpu_us, (uint64_t)(cpu_s * 1e6));
}

_Noreturn static void child_run(struct drive *drive, double end)
{
	struct shared *shared = drive->shared;
	uint64_t n = 0;

	while (drive->executions_max == 0 || n < drive->executions_max) {
		if (n % CLOCK_TURNS == 0) {
			child_note(shared, n);
			if (now_s() >= end)
				break;
		}
		script_next(drive, &shared->now);
		(void)LLVMFuzzerTestOneInput(shared->now.bytes,
					     shared->now.size);
		atomic_store_explicit(&shared->executions, ++n,
				      memory_order_relaxed);
	}
	child_note(shared, n);
	_exit(0);
}

/* --------------------------------------------------------------- parent */

static void report(const struct drive *drive, double begin)
{
	uint64_t n = atomic_load(&drive->shared->executions);
	double cpu_s = (double)atomic_load(&drive->shared->cpu_us) / 1e6;

	(void)printf("%s: seed %llu, %llu executions, %.0f s, of these %.1f s "
		     "on a processor: %.0f executions a second of it\n",
		     drive->name, (unsigned long long)drive->seed,
		     (unsigned long long)n, now_s() - begin, cpu_s,
		     cpu_s > 0 ? (double)n / cpu_s : 0);
	(void)fflush(stdout);
}

/* Wait for the child, report now and then; its status, SIGKILL for a hang. */
static int child_watch(const struct drive *drive, pid_t child, double begin)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	uint64_t before = 0;
	double moved = begin;
	double reported = begin;
	int status;

	while (waitpid(child, &status, WNOHANG) != child) {
		uint64_t n = atomic_load(&drive->shared->executions);

		if (n != before)
			moved = now_s();
		before = n;
		if (now_s() - moved > HANG_SECONDS)
			(void)kill(child, SIGKILL);
		if (now_s() - reported >= REPORT_SECONDS) {
			reported = now_s();
			report(drive, begin);
		}
		(void)nanosleep(&pause, NULL);
	}
	return status;
}

static void find_save(const struct drive *drive, const char *why, int number)
{
	const struct shared *shared = drive->shared;
	char path[PATH_TEXT_MAX];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s-%llu-%llu", drive->save,
		       drive->name, (unsigned long long)drive->seed,
		       (unsigned long long)atomic_load(&shared->executions));
	file = fopen(path, "wb");
	if (file == NULL ||
	    fwrite(shared->now.bytes, 1, shared->now.size, file) !=
		    shared->now.size ||
	    fclose(file) != 0)
		perror(path);
	(void)printf("%s: %s %d on %s\n"
		     "repeat with: MBJ_FUZZ_SHOW=1 %s %s\n",
		     drive->name, why, number, path, drive->name, path);
}

static int drive_run(struct drive *drive)
{
	double begin = now_s();
	double end = drive->seconds_max > 0 ? begin + (double)drive->seconds_max
					    : 1e300;
	pid_t child;
	int status;

	(void)fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (child == 0)
		child_run(drive, end);
	status = child_watch(drive, child, begin);
	report(drive, begin);
	if (WIFSIGNALED(status))
		find_save(drive, "signal", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		find_save(drive, "exit code", WEXITSTATUS(status));
	else
		return 0;
	return 1;
}

/* ------------------------------------------------------------ arguments */

static int argument_number(const char *text, uint64_t *ret)
{
	char *end = NULL;

	errno = 0;
	*ret = text != NULL ? strtoull(text, &end, 10) : 0;
	return text != NULL && end != text && *end == '\0' && errno == 0 ? 0
									 : -1;
}

static int arguments_take(struct drive *drive, int argc, char **argv)
{
	int rc = 0;
	int i = 1;

	for (; i < argc && rc == 0 && argv[i][0] == '-'; i += 2) {
		const char *value = argv[i + 1]; /* NULL behind the last */

		if (strcmp(argv[i], "--seed") == 0)
			rc = argument_number(value, &drive->seed);
		else if (strcmp(argv[i], "--executions") == 0)
			rc = argument_number(value, &drive->executions_max);
		else if (strcmp(argv[i], "--seconds") == 0)
			rc = argument_number(value, &drive->seconds_max);
		else if (strcmp(argv[i], "--save") == 0 && value != NULL)
			drive->save = value;
		else
			rc = -1;
	}
	if (rc < 0 || drive->executions_max + drive->seconds_max == 0) {
		(void)fprintf(stderr,
			      "%s [--seed S] --executions N | --seconds N "
			      "[--save DIR] [CORPUS ...]\n",
			      drive->name);
		return -1;
	}
	for (; i < argc && rc == 0; i++)
		rc = corpus_load(drive, argv[i]);
	return rc;
}

int drive(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct drive drive = {
		.name = slash != NULL ? slash + 1 : argv[0],
		.save = ".",
		.seed = 1,
	};
	void *shared = mmap(NULL, sizeof(*drive.shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int code = 2;

	drive.corpus = calloc(SCRIPTS_MAX + 1, sizeof(*drive.corpus));
	if (shared == MAP_FAILED || drive.corpus == NULL) {
		perror("drive");
		free(drive.corpus);
		return 1;
	}
	drive.shared = shared;
	if (arguments_take(&drive, argc, argv) == 0) {
		drive.random = drive.seed;
		code = drive_run(&drive);
	}
	free(drive.corpus);
	(void)munmap(shared, sizeof(*drive.shared));
	return code;
}
