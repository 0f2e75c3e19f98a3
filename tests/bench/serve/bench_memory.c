/*
 * What mbj serve has of the machine while it works for long: memory,
 * descriptors and threads, over ten million operations.  MBJ names the command.
 *
 *	bench_memory [--quick] [--operations N] [DIRECTORY]
 *
 * 8 clients change flags, 1,000 messages an edit, in accounts of 10,000
 * messages each: more records than are cached between transactions.  Each
 * sixteenth edit a client comes with a new connection, delivers a message of a
 * content that is not there yet with a request id, asks for the same again,
 * expunges it, and renames a mailbox there and back.  One operation is one
 * message that is marked, appended or expunged, or one rename.
 *
 * Output: one JSON object a line: so many operations, and MiB that are resident
 * of the service, and were at most; of these what is not of a file; its
 * descriptors, threads, and seconds of processor.  In the end all
 * descriptors of connections have to be closed, and each message has to be
 * marked as it was marked last.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/client.h>
#include <mbj/codec.h>

#include "bench_dir.h"

enum {
	CLIENTS = 8,
	EDIT_MESSAGES = 1000,
	OTHER_EVERY = 16, /* edits of flags, and something else */
	OTHER_OPERATIONS = 4,
	SAMPLES = 20,
	BODY_SIZE = 2048,
	PATH_SIZE = 600,
	END_WAIT_S = 120,
};

struct bench {
	uint64_t operations;
	unsigned messages; /* of an account */
	unsigned flagged;  /* of an edit */
	char dir[400];
	char store[PATH_SIZE];
	char socket[PATH_SIZE + 8];
	pid_t server;
	_Atomic uint64_t done;
};

struct client {
	struct bench *bench;
	unsigned number;
	struct mbj_client *client;
	struct mbj_place inbox;
	uint64_t edits;
	uint64_t share; /* of the operations until it rests */
	pthread_t thread;
};

static _Noreturn void stop(const char *what, const struct mbj_error *err)
{
	(void)fprintf(stderr, "bench_memory: %s: %s\n", what,
		      err != NULL ? err->message : "failed");
	exit(1);
}

/* ---------------------------------------------------------------- service */

/* The command, as $MBJ or the PATH has it. */
static pid_t command_begin(const char *verb, const char *dir,
			   const char *option, const char *value)
{
	const char *mbj = getenv("MBJ");
	pid_t pid = fork();

	if (pid < 0)
		stop("fork", NULL);
	if (pid > 0)
		return pid;
	if (mbj == NULL)
		mbj = "mbj";
	(void)execlp(mbj, "mbj", verb, dir, option, value, (char *)NULL);
	stop(mbj, NULL);
}

static void command_end(pid_t pid, const char *what)
{
	int status = 1;

	if (waitpid(pid, &status, 0) < 0 || status != 0)
		stop(what, NULL);
}

static void server_begin(struct bench *bench)
{
	command_end(command_begin("init", bench->store, "--role", "primary"),
		    "init");
	bench->server = command_begin("serve", bench->store, NULL, NULL);
}

static void server_end(struct bench *bench)
{
	(void)kill(bench->server, SIGTERM);
	command_end(bench->server, "service");
}

static struct mbj_client *connected(struct bench *bench)
{
	struct mbj_client *client = NULL;
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_ENOTFOUND;

	/* It may only just have begun. */
	for (int i = 0; i < END_WAIT_S * 100 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(bench->socket, NULL, &client, &err);
		if (rc == MBJ_ENOTFOUND)
			nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	if (rc < 0)
		stop("connection", &err);
	return client;
}

/* ---------------------------------------------------------------- samples */

struct sample {
	unsigned long rss, peak, anonymous; /* KiB */
	unsigned long threads;
	unsigned descriptors;
	double cpu_s;
};

static FILE *proc_open(const struct bench *bench, const char *name)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)bench->server,
		       name);
	file = fopen(path, "re");
	if (file == NULL)
		stop(path, NULL);
	return file;
}

static void status_read(const struct bench *bench, struct sample *sample)
{
	const struct {
		const char *name;
		unsigned long *value;
	} wanted[] = {{"VmRSS:", &sample->rss},
		      {"VmHWM:", &sample->peak},
		      {"RssAnon:", &sample->anonymous},
		      {"Threads:", &sample->threads}};
	FILE *file = proc_open(bench, "status");
	char line[256];

	while (fgets(line, sizeof(line), file) != NULL)
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
			size_t n = strlen(wanted[i].name);

			if (strncmp(line, wanted[i].name, n) == 0)
				*wanted[i].value = strtoul(line + n, NULL, 10);
		}
	(void)fclose(file);
	if (sample->rss == 0 || sample->threads == 0)
		stop("status of the service", NULL);
}

static double cpu_read(const struct bench *bench)
{
	FILE *file = proc_open(bench, "stat");
	unsigned long user = 0, kernel = 0;
	int got = fscanf(file,
			 "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
			 "%*u %lu %lu",
			 &user, &kernel);

	(void)fclose(file);
	if (got != 2)
		stop("processor time of the service", NULL);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static unsigned descriptors_count(const struct bench *bench)
{
	unsigned count = 0;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)bench->server);
	dir = opendir(path);
	if (dir == NULL)
		stop(path, NULL);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		count += e->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

static struct sample sample_take(const struct bench *bench)
{
	struct sample sample = {.cpu_s = cpu_read(bench),
				.descriptors = descriptors_count(bench)};

	status_read(bench, &sample);
	return sample;
}

static void sample_print(const struct bench *bench, const struct sample *s)
{
	(void)printf("{\"bench\":\"memory\",\"operations\":%llu,"
		     "\"resident_mib\":%.1f,\"most_mib\":%.1f,"
		     "\"anonymous_mib\":%.1f,\"descriptors\":%u,"
		     "\"threads\":%lu,\"cpu_s\":%.2f}\n",
		     (unsigned long long)bench->done, (double)s->rss / 1024,
		     (double)s->peak / 1024, (double)s->anonymous / 1024,
		     s->descriptors, s->threads, s->cpu_s);
	(void)fflush(stdout);
}

/* ------------------------------------------------------------------ edits */

static struct mbj_outcome submit(struct client *c, struct mbj_client *client,
				 struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", c->number);
	edit->account = mbj_bytes_str(name);
	if (mbj_client_submit(client, edit, &outcome, &err) < 0)
		stop("edit", &err);
	if (outcome.lsn.v == 0 || outcome.refused_count > 0)
		stop("edit", NULL);
	edit->account = (struct mbj_bytes){NULL, 0};
	return outcome;
}

/* Returns what became of the last step. */
static struct mbj_message_result
messages_submit(struct client *c, struct mbj_client *client,
		const struct mbj_message_edit *steps, size_t count,
		const struct mbj_id *request)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_message_result last;
	struct mbj_outcome outcome;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	if (request != NULL)
		edit.request = *request;
	outcome = submit(c, client, &edit);
	if (outcome.message_count != count)
		stop("edit of messages", NULL);
	last = outcome.messages[count - 1];
	last.uids = (struct mbj_buf){.n = 0};
	mbj_outcome_done(&outcome);
	return last;
}

static struct mbj_message_edit
delivery(const struct client *c, struct mbj_client *client, uint64_t serial)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = c->inbox.mailbox.id,
					.size = BODY_SIZE,
					.time = MBJ_TIME_NOW};
	uint8_t bytes[BODY_SIZE] = {0};
	struct mbj_error err;

	mbj_store_u64(bytes, serial);
	mbj_store_u32(bytes + 8, c->number);
	if (mbj_body_put(client, mbj_bytes_make(bytes, sizeof(bytes)),
			 &step.blob, &err) < 0)
		stop("body", &err);
	return step;
}

static void rename_submit(struct client *c, struct mbj_client *client,
			  const char *from, const char *to)
{
	const struct mbj_rename rename = {mbj_bytes_str(from),
					  mbj_bytes_str(to)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome;

	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = &rename;
	edit.rename_count = 1;
	outcome = submit(c, client, &edit);
	mbj_outcome_done(&outcome);
}

/* What the account is before. */
static void account_make(struct client *c)
{
	struct mbj_message_edit *steps = calloc(EDIT_MESSAGES, sizeof(*steps));
	struct mbj_change work = {.kind = MBJ_CHANGE_CREATE,
				  .has = MBJ_CHANGE_HAS_NAME |
					 MBJ_CHANGE_HAS_PARENT,
				  .id = {{0xbe, 1}},
				  .name = mbj_bytes_str("work")};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome;
	struct mbj_error err;
	char name[16];

	if (steps == NULL)
		stop("memory", NULL);
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &work;
	edit.change_count = 1;
	work.id.b[2] = (uint8_t)c->number;
	outcome = submit(c, c->client, &edit);
	mbj_outcome_done(&outcome);
	(void)snprintf(name, sizeof(name), "u%u", c->number);
	if (mbj_client_mailbox(c->client, mbj_bytes_str(name),
			       mbj_bytes_str("INBOX"), false, &c->inbox,
			       &err) < 0)
		stop("mailbox", &err);
	steps[0] = delivery(c, c->client, UINT64_MAX);
	for (unsigned i = 1; i < EDIT_MESSAGES; i++)
		steps[i] = steps[0];
	for (unsigned left = c->bench->messages; left > 0;) {
		unsigned n = left < EDIT_MESSAGES ? left : EDIT_MESSAGES;

		(void)messages_submit(c, c->client, steps, n, NULL);
		left -= n;
	}
	free(steps);
}

/* --------------------------------------------------------------- the work */

/* One part of the account after the other; all are marked, then unmarked. */
static void flags_change(struct client *c)
{
	unsigned flagged = c->bench->flagged;
	unsigned parts = c->bench->messages / flagged;
	uint32_t first = 1 + (uint32_t)(c->edits % parts) * flagged;
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mailbox = c->inbox.mailbox.id,
		.mode = c->edits / parts % 2 == 0 ? MBJ_FLAGS_ADD
						  : MBJ_FLAGS_REMOVE,
		.flags = MBJ_FLAG_SEEN,
	};
	struct mbj_message_result result;
	struct mbj_buf uids;

	mbj_buf_init(&uids, 64);
	mbj_uids_put(&uids, first, first + flagged - 1);
	step.uids = mbj_buf_view(&uids);
	result = messages_submit(c, c->client, &step, 1, NULL);
	if (result.message_count != flagged)
		stop("not all messages were as they were marked last", NULL);
	mbj_buf_done(&uids);
	c->bench->done += flagged;
}

/* What a server does now and then, by a connection that comes and goes. */
static void others_do(struct client *c)
{
	struct mbj_client *client = connected(c->bench);
	struct mbj_message_edit step = delivery(c, client, c->edits);
	struct mbj_client_messages page = {.count = 0};
	struct mbj_message_result result, again;
	struct mbj_id request = {{0xbe, 2}};
	struct mbj_error err;
	struct mbj_buf uids;

	mbj_store_u32(request.b + 4, c->number);
	mbj_store_u64(request.b + 8, c->edits);
	result = messages_submit(c, client, &step, 1, &request);
	again = messages_submit(c, client, &step, 1, &request);
	if (result.uid == 0 || again.uid != result.uid)
		stop("a request was answered differently", NULL);
	if (mbj_client_messages(client, c->inbox.account.id,
				c->inbox.mailbox.id, 1, c->bench->flagged, 0,
				&page, &err) < 0 ||
	    page.count != c->bench->flagged)
		stop("messages", NULL);
	mbj_client_messages_done(&page);
	mbj_buf_init(&uids, 64);
	mbj_uids_put(&uids, result.uid, result.uid);
	step = (struct mbj_message_edit){.kind = MBJ_MESSAGE_EXPUNGE,
					 .mailbox = c->inbox.mailbox.id,
					 .uids = mbj_buf_view(&uids)};
	(void)messages_submit(c, client, &step, 1, NULL);
	mbj_buf_done(&uids);
	rename_submit(c, client, "work", "done");
	rename_submit(c, client, "done", "work");
	mbj_client_close(&client);
	c->bench->done += OTHER_OPERATIONS;
}

static void *client_run(void *context)
{
	struct client *c = context;

	for (uint64_t did = 0; did < c->share; did += c->bench->flagged) {
		flags_change(c);
		if (++c->edits % OTHER_EVERY == 0)
			others_do(c);
	}
	return NULL;
}

static void clients_run(struct client clients[CLIENTS], uint64_t operations)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].share = operations / CLIENTS;
		if (pthread_create(&clients[i].thread, NULL, client_run,
				   &clients[i]) != 0)
			stop("thread", NULL);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		(void)pthread_join(clients[i].thread, NULL);
}

/* Connections that are gone are closed there, too, if not at once. */
static void descriptors_wait(const struct bench *bench, unsigned most)
{
	for (int i = 0; i < END_WAIT_S * 100; i++) {
		if (descriptors_count(bench) <= most)
			return;
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	stop("descriptors of connections are left", NULL);
}

static void bench_run(struct bench *bench)
{
	struct client clients[CLIENTS];
	struct sample first, last;

	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.bench = bench,
					     .number = i,
					     .client = connected(bench)};
		account_make(&clients[i]);
	}
	bench->done = 0;
	first = sample_take(bench);
	sample_print(bench, &first);
	for (unsigned i = 0; i < SAMPLES; i++) {
		clients_run(clients, bench->operations / SAMPLES);
		last = sample_take(bench);
		sample_print(bench, &last);
	}
	descriptors_wait(bench, first.descriptors);
	for (unsigned i = 0; i < CLIENTS; i++)
		mbj_client_close(&clients[i].client);
	(void)printf("{\"bench\":\"memory\",\"operations_per_cpu_s\":%.0f}\n",
		     (double)bench->done / (last.cpu_s - first.cpu_s + 1e-9));
}

static uint64_t number(const char *text)
{
	char *end = NULL;
	uint64_t value = text == NULL ? 0 : strtoull(text, &end, 10);

	if (value == 0 || *end != '\0' || value > 10000000000)
		stop("a number", NULL);
	return value;
}

int main(int argc, char **argv)
{
	struct bench bench = {.operations = 10000000,
			      .messages = 10000,
			      .flagged = EDIT_MESSAGES};
	const char *parent = "/tmp";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench.messages = 40;
			bench.flagged = 20;
			bench.operations = 20ull * CLIENTS * OTHER_EVERY * 2;
		} else if (strcmp(argv[i], "--operations") == 0) {
			bench.operations = number(argv[++i]);
		} else {
			parent = argv[i];
		}
	}
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	(void)snprintf(bench.store, sizeof(bench.store), "%s/store", bench.dir);
	(void)snprintf(bench.socket, sizeof(bench.socket), "%s/socket",
		       bench.store);
	server_begin(&bench);
	bench_run(&bench);
	server_end(&bench);
	if (bench_dir_remove(bench.dir) != 0)
		stop(bench.dir, NULL);
	return 0;
}
