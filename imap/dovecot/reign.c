/*
 * Whether a spool belongs to what the journal has.  See reign.h.
 */
#include "reign.h"

#include <sys/stat.h>

#include <mbj/hash.h>
#include <mbj/sys.h>

#include "applied.h"

#define REIGN_HEAD "mbj-reign 1"

enum {
	LINE_MAX_SIZE = 256,
	APPLIED_MAX = 1 << 30,
};

/* Its first line; "": there is none. */
static enum mbj_rc line_load(const struct spool *spool, const char *name,
			     size_t max, const char **ret_line,
			     struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	enum mbj_rc rc;

	*ret_line = "";
	rc = mbj_path_join(path, spool->dir, name, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&buf, max);
	rc = mbj_file_load(spool->sys, path, max, &buf, err);
	if (rc == MBJ_OK && buf.n > 0) {
		const char *text =
			t_strndup(buf.p, I_MIN(buf.n, APPLIED_LINE_MAX));

		*ret_line = t_strcut(text, '\n');
	}
	mbj_buf_done(&buf);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static const char *reign_text(const struct mbj_identity *identity)
{
	char lineage[MBJ_ID_TEXT_SIZE];

	mbj_id_print(identity->lineage, lineage);
	return t_strdup_printf(REIGN_HEAD " %s %llu", lineage,
			       (unsigned long long)identity->epoch.v);
}

static int reign_save_in(struct turn *turn, const char *dir, const char *text)
{
	struct mailbox_list *list = turn->capture->inbox->list;
	struct mbj_error err;

	if (mailbox_list_mkdir_root(list, dir, MAILBOX_LIST_PATH_TYPE_CONTROL) <
	    0)
		(void)mbj_error_set(&err, MBJ_EIO, "%s",
				    mailbox_list_get_last_internal_error(list,
									 NULL));
	else if (mbj_file_replace(turn->capture->spool.sys, dir, REIGN_NAME,
				  mbj_bytes_str(t_strconcat(text, "\n", NULL)),
				  &err) == MBJ_OK)
		return 0;
	e_error(turn->box->event, "mbj: cannot write %s/" REIGN_NAME ": %s",
		dir, err.message);
	return -1;
}

/* The lock's directory is another one, or unknown where it is another user's.
 */
static bool lock_is_apart(const struct capture_user *capture)
{
	return capture->lock_dir != NULL &&
	       strcmp(capture->lock_dir, capture->spool.dir) != 0;
}

static int reign_save(struct turn *turn, const char *text)
{
	const struct capture_user *capture = turn->capture;

	if (lock_is_apart(capture) &&
	    reign_save_in(turn, capture->lock_dir, text) < 0)
		return -1;
	return reign_save_in(turn, capture->spool.dir, text);
}

/* Other users' sessions know whose lock that is. */
static bool lock_is_marked(const struct capture_user *capture)
{
	struct stat st;

	return !lock_is_apart(capture) ||
	       stat(t_strconcat(capture->lock_dir, "/" REIGN_NAME, NULL),
		    &st) == 0;
}

/* Runs of apply have brought all that is there now. */
static bool account_is_applied(struct turn *turn,
			       const struct mbj_identity *identity)
{
	struct mbj_account account;
	struct applied applied;
	struct mbj_error err;
	const char *line;

	return line_load(&turn->capture->spool, APPLIED_NAME, APPLIED_MAX,
			 &line, &err) == MBJ_OK &&
	       applied_parse(line, &applied) && applied.is_done &&
	       mbj_id_equal(applied.lineage, identity->lineage) &&
	       mbj_client_account(turn->account->client,
				  mbj_bytes_str(turn->account->name), &account,
				  &err) == MBJ_OK &&
	       applied_is_at(&applied, &account);
}

static int reign_refuse(struct turn *turn, const char *then, const char *now)
{
	const char *dir = turn->capture->spool.dir;

	(void)mbj_error_set(
		&turn->err, MBJ_EIO,
		"%s/" SPOOL_NAME " is of another reign (%s, now %s) and is not "
		"told: what others changed since would go.  Export its mail, "
		"and remove it to give it up; or remove %s/" REIGN_NAME
		" to have the journal made as Dovecot is",
		dir, then + strlen(REIGN_HEAD), now + strlen(REIGN_HEAD), dir);
	return -1;
}

int turn_reign(struct turn *turn)
{
	struct capture_user *capture = turn->capture;
	const struct mbj_identity *identity =
		mbj_client_identity(turn->account->client);
	bool has_spool = !spool_is_empty(&capture->spool);
	const char *now = reign_text(identity), *then;
	bool is_other;

	/* It takes no changes. */
	if (identity->role != MBJ_STORE_PRIMARY ||
	    (!has_spool && null_strcmp(capture->reign, now) == 0))
		return 0;
	if (line_load(&capture->spool, REIGN_NAME, LINE_MAX_SIZE, &then,
		      &turn->err) < 0) {
		if (has_spool)
			return -1;
		e_error(turn->box->event, "mbj: %s", turn->err.message);
		return 0;
	}
	is_other = strcmp(then, now) != 0;
	if (is_other && has_spool && then[0] != '\0' &&
	    !account_is_applied(turn, identity))
		return reign_refuse(turn,
				    str_begins(then, REIGN_HEAD) ? then
								 : REIGN_HEAD
					    " unknown",
				    now);
	if ((is_other || !lock_is_marked(capture)) && reign_save(turn, now) < 0)
		return 0;
	if (null_strcmp(capture->reign, now) != 0)
		capture->reign = p_strdup(capture->user->pool, now);
	return 0;
}
