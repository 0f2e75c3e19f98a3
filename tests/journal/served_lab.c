/*
 * A store and its service; see served_lab.h.
 */
#include "served_lab.h"

#include <poll.h>
#include <unistd.h>

static void *served_run(void *arg)
{
	struct served *s = arg;

	s->rc = mbj_service_run(s->site.store, &s->options, &s->err);
	return NULL;
}

/* The client is there once the service is. */
void served_begin(struct served *s)
{
	enum mbj_rc rc = MBJ_ENOTFOUND;

	memset(s, 0, sizeof(*s));
	site_begin(&s->site);
	site_sys_init(&s->sys);
	mbj_store_close(&s->site.store);
	s->site.options.sys = &s->sys.table;
	SITE_OK(mbj_store_open(s->site.dir, &s->site.options, &s->site.store,
			       err));
	for (unsigned i = 0; i < SERVED_ACCOUNTS; i++)
		site_import(s->site.store, i, 3);
	ck_assert_int_eq(pipe(s->stop), 0);
	s->options = MBJ_SERVICE_OPTIONS_INIT;
	s->options.stop_fd = s->stop[0];
	s->options.connections_max = SERVED_ACCOUNTS + 2;
	s->options.waiters_max = SERVED_WAITERS;
	ck_assert_int_eq(pthread_create(&s->thread, NULL, served_run, s), 0);
	site_path(&s->site, "socket", s->path);
	for (int i = 0; i < 1000 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(s->path, NULL, &s->client, NULL);
		if (rc == MBJ_ENOTFOUND)
			(void)poll(NULL, 0, 5);
	}
	ck_assert_int_eq(rc, MBJ_OK);
}

void served_join(struct served *s)
{
	ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	ck_assert_msg(s->rc == MBJ_OK, "%s", s->err.message);
	(void)close(s->stop[0]);
	(void)close(s->stop[1]);
}

void served_end(struct served *s)
{
	mbj_client_close(&s->client);
	ck_assert_int_eq(write(s->stop[1], "x", 1), 1);
	served_join(s);
	ck_assert_int_ne(access(s->path, F_OK), 0);
	ck_assert(site_is_sound(s->site.store));
	site_end(&s->site);
}

void served_receive(struct served *s, uint8_t number, uint64_t lsn)
{
	struct mbj_replica_note note = {.instance = {{0x10, number}}};
	struct mbj_received_mark mark;

	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), s->site.dir, &note,
				      MBJ_NOTE_FIRST, err));
	SITE_OK(mbj_received_open(
		&mark, mbj_sys_posix(), s->site.dir,
		mbj_store_identity_copy(s->site.store).lineage, note.instance,
		err));
	SITE_OK(mbj_received_set(&mark, (struct mbj_lsn){lsn}, err));
	mbj_received_close(&mark);
}

enum mbj_rc served_rename(struct mbj_client *client, unsigned account,
			  const char *source, const char *target,
			  struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_outcome outcome = {0};
	struct site_rename rename;
	enum mbj_rc rc;

	site_rename_make(&rename, account, source, target);
	rc = mbj_client_submit(client, &rename.edit, &outcome, err);
	if (rc == MBJ_OK && ret_lsn != NULL)
		*ret_lsn = outcome.lsn;
	mbj_outcome_done(&outcome);
	return rc;
}
