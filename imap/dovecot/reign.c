/*
 * Whether a spool belongs to what the journal has.  See reign.h.
 */
#include "reign.h"

#include <sys/stat.h>

#include <mbj/hash.h>
#include <mbj/sys.h>

#include "applied.h"

#define REIGN_HEAD "mbj-reign 1"
#define LOCK_HEAD  "lock "

enum {
	TEXT_MAX_SIZE = I_MAX(2048, APPLIED_LINE_MAX),
	APPLIED_MAX = 1 << 30,
};

/* "": there is none. */
static enum mbj_rc text_load(const char *dir, const char *name, size_t max,
			     const char **ret_text, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	enum mbj_rc rc;

	*ret_text = "";
	rc = mbj_path_join(path, dir, name, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&buf, max);
	rc = mbj_file_load(mbj_sys_posix(), path, max, &buf, err);
	if (rc == MBJ_OK && buf.n > 0)
		*ret_text = t_strndup(buf.p, I_MIN(buf.n, TEXT_MAX_SIZE));
	mbj_buf_done(&buf);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Its first line. */
static const char *line_of(const char *text)
{
	return t_strcut(text, '\n');
}

static const char *reign_text(const struct mbj_identity *identity)
{
	char lineage[MBJ_ID_TEXT_SIZE];

	mbj_id_print(identity->lineage, lineage);
	return t_strdup_printf(REIGN_HEAD " %s %llu", lineage,
			       (unsigned long long)identity->epoch.v);
}

/* What the user's own sessions leave: for who changes what he shares, too. */
static const char *mark_text(const struct capture_user *capture,
			     const char *reign)
{
	struct stat st;

	if (capture->lock_dir == NULL || stat(capture->lock_dir, &st) < 0)
		return t_strconcat(reign, "\n", NULL);
	return t_strdup_printf("%s\n" LOCK_HEAD "%llu %s\n", reign,
			       (unsigned long long)st.st_ino,
			       capture->account.name);
}

bool reign_mark_load(const char *dir, struct reign_mark *ret)
{
	const char *text, *rest, *const *words;
	struct mbj_error err;
	struct stat st;

	if (lstat(t_strconcat(dir, "/" REIGN_NAME, NULL), &st) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    text_load(dir, REIGN_NAME, TEXT_MAX_SIZE, &text, &err) < 0)
		return false;
	ret->reign = line_of(text);
	rest = strchr(text, '\n');
	if (rest == NULL || !str_begins(rest + 1, LOCK_HEAD))
		return false;
	words = t_strsplit(line_of(rest + 1 + strlen(LOCK_HEAD)), " ");
	if (words[0] == NULL || words[1] == NULL ||
	    str_to_uint64(words[0], &ret->lock) < 0)
		return false;
	/* A name may have blanks. */
	ret->account = strchr(line_of(rest + 1 + strlen(LOCK_HEAD)), ' ') + 1;
	return true;
}

bool turn_is_of_reign(const struct turn *turn, const char *reign)
{
	return strcmp(reign_text(mbj_client_identity(turn->account->client)),
		      reign) == 0;
}

static int mark_save(struct turn *turn, const char *text)
{
	const struct spool *spool = &turn->capture->spool;
	struct mailbox_list *list = turn->capture->inbox->list;
	struct mbj_error err;

	if (mailbox_list_mkdir_root(list, spool->dir,
				    MAILBOX_LIST_PATH_TYPE_CONTROL) < 0)
		(void)mbj_error_set(&err, MBJ_EIO, "%s",
				    mailbox_list_get_last_internal_error(list,
									 NULL));
	else if (mbj_file_replace(spool->sys, spool->dir, REIGN_NAME,
				  mbj_bytes_str(text), &err) == MBJ_OK)
		return 0;
	e_error(turn->box->event, "mbj: cannot write %s/" REIGN_NAME ": %s",
		spool->dir, err.message);
	return -1;
}

/* Runs of apply have brought all that is there now. */
static bool account_is_applied(struct turn *turn,
			       const struct mbj_identity *identity)
{
	struct mbj_account account;
	struct applied applied;
	struct mbj_error err;
	const char *text;

	return text_load(turn->capture->spool.dir, APPLIED_NAME, APPLIED_MAX,
			 &text, &err) == MBJ_OK &&
	       applied_parse(line_of(text), &applied) && applied.is_done &&
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
	const char *now = reign_text(identity), *text, *then;
	const char *mark;

	/* It takes no changes. */
	if (identity->role != MBJ_STORE_PRIMARY ||
	    (!has_spool && null_strcmp(capture->reign, now) == 0))
		return 0;
	if (text_load(capture->spool.dir, REIGN_NAME, TEXT_MAX_SIZE, &text,
		      &turn->err) < 0) {
		if (has_spool)
			return -1;
		e_error(turn->box->event, "mbj: %s", turn->err.message);
		return 0;
	}
	then = line_of(text);
	if (strcmp(then, now) != 0 && has_spool && then[0] != '\0' &&
	    !account_is_applied(turn, identity))
		return reign_refuse(turn,
				    str_begins(then, REIGN_HEAD) ? then
								 : REIGN_HEAD
					    " unknown",
				    now);
	mark = mark_text(capture, now);
	if (strcmp(text, mark) != 0 && mark_save(turn, mark) < 0)
		return 0;
	if (null_strcmp(capture->reign, now) != 0)
		capture->reign = p_strdup(capture->user->pool, now);
	return 0;
}
